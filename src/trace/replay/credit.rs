//! How much the client of today lets the server send on each link.

use std::collections::BTreeMap;

use crate::trace::performative::Composite;
use crate::wire::descriptors::codes as code;

/// Channel and handle.
type Place = (u16, u32);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// The client's links, by name.
    heard: BTreeMap<Place, String>,
    /// Deliveries that each may have brought, by a number that wraps.
    limits: BTreeMap<String, u32>,
    /// The server's links, by the name that the client of today gives them.
    said: BTreeMap<Place, String>,
    /// Deliveries that each has brought.
    counts: BTreeMap<String, u32>,
}

impl Credit {
    /// The client has said this.
    pub(super) fn hear(&mut self, channel: u16, performative: &Composite) {
        let Some(handle) = performative.number("handle") else { return };
        match performative.code {
            code::ATTACH => {
                let name = performative.text("name").unwrap_or_default();
                self.heard.insert((channel, handle), name.to_owned());
            }
            code::FLOW => {
                let Some(name) = self.heard.get(&(channel, handle)) else { return };
                let Some(credit) = performative.number("link-credit") else { return };
                let count = performative.number("delivery-count").unwrap_or_default();
                self.limits.insert(name.clone(), count.wrapping_add(credit));
            }
            _ => {}
        }
    }

    /// Whether the server may say this now. If so, it counts.
    pub(super) fn take(&mut self, channel: u16, performative: &Composite) -> bool {
        let Some(handle) = performative.number("handle") else { return true };
        match performative.code {
            code::ATTACH => {
                let name = performative.text("name").unwrap_or_default();
                let count = performative.number("initial-delivery-count").unwrap_or_default();
                self.counts.insert(name.to_owned(), count);
                self.said.insert((channel, handle), name.to_owned());
                true
            }
            // The first transfer of a delivery; what goes on has an id no more, or the same.
            code::TRANSFER if performative.get("delivery-tag").is_some() => self.spend((channel, handle)),
            _ => true,
        }
    }

    fn spend(&mut self, place: Place) -> bool {
        let Some(name) = self.said.get(&place) else { return true };
        let count = self.counts.entry(name.clone()).or_default();
        let left = self.limits.get(name).map_or(0, |limit| limit.wrapping_sub(*count));
        let has_credit = (1..=u32::MAX / 2).contains(&left);
        *count = count.wrapping_add(u32::from(has_credit));
        has_credit
    }
}
