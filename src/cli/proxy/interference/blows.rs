//! Links detached, sessions ended, connections closed.

use std::time::Instant;

use super::{CLOSE_WITHIN, End, Interference, Side};
use crate::cli::proxy::frame::Frame;
use crate::emulator::{Aim, Blow};
use crate::wire::descriptors::codes as code;
use crate::wire::frame::PeerError;
use crate::wire::value::Value;

impl Interference {
    /// Deals a blow to whatever it is aimed at on this connection.
    pub(super) fn strike(&mut self, blow: &Blow, aim: &Aim, now: Instant) {
        if self.end != End::No {
            return;
        }
        let struck = match blow {
            Blow::Detach(error) => {
                let links = self.links_at(aim);
                links.iter().for_each(|(channel, handle)| self.detach_link(*channel, *handle, error));
                links.len()
            }
            Blow::End(error) => {
                let channels = self.sessions_at(aim);
                channels.iter().for_each(|channel| self.end_session(*channel, error));
                channels.len()
            }
            Blow::Close(error) => {
                let paths = self.sessions.values().flat_map(|session| session.links.values());
                let is_meant = self.trouble.is_connection(aim, paths.map(|link| link.path.as_str()));
                // Before its first session it is not open yet.
                let is_struck = is_meant && self.end == End::No && !self.sessions.is_empty();
                if is_struck {
                    self.close(error, now);
                }
                usize::from(is_struck)
            }
        };
        self.trouble.count(struck as u64);
        self.tell_paths();
    }

    fn links_at(&self, aim: &Aim) -> Vec<(u16, u32)> {
        let links = self
            .sessions
            .iter()
            .flat_map(|(channel, session)| session.links.iter().map(move |(h, l)| (*channel, *h, l)));
        links
            .filter(|(_, _, link)| self.trouble.is_link(aim, &link.path))
            .map(|(channel, handle, _)| (channel, handle))
            .collect()
    }

    fn sessions_at(&self, aim: &Aim) -> Vec<u16> {
        let is_meant = |session: &super::Session| {
            let mut paths = session.links.values().map(|link| link.path.as_str());
            paths.any(|path| self.trouble.is_connection(aim, [path]))
        };
        self.sessions.iter().filter(|(_, session)| is_meant(session)).map(|(channel, _)| *channel).collect()
    }

    /// Deals the blow that a delivery on this link has set off.
    pub(super) fn deal(&mut self, blow: &Blow, channel: u16, handle: u32, now: Instant) {
        // Behind a close there is nothing.
        if self.end != End::No {
            return;
        }
        match blow {
            Blow::Detach(error) => self.detach_link(channel, handle, error),
            Blow::End(error) => self.end_session(channel, error),
            Blow::Close(error) => self.close(error, now),
        }
        self.tell_paths();
    }

    /// Detaches a link on both sides. What either still says of it is swallowed until it detaches it as well.
    pub(super) fn detach_link(&mut self, channel: u16, handle: u32, error: &PeerError) {
        self.tell_all_outcomes(Some(channel));
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        // Without the namespace's half there is nothing to detach yet.
        let hub_handle = session.links.get(&handle).and_then(|link| link.hub_handle);
        let (Some(hub_channel), Some(hub_handle)) = (session.hub_channel, hub_handle) else { return };
        let Some(link) = session.links.remove(&handle) else { return };
        session.by_hub.remove(&hub_handle);
        session.cut.client.insert(handle, link.current.filter(|_| link.is_clients).map(|current| current.id));
        session.cut.hub.insert(hub_handle, None);
        // Nobody hears of them any more.
        session.owed.values_mut().filter(|owed| owed.link == handle).for_each(|owed| owed.is_withheld = true);
        let detach = |handle: u32, error| vec![handle.into(), true.into(), error];
        self.tell_frame(Side::Client, Frame::new(hub_channel, code::DETACH, detach(hub_handle, error_of(error))));
        self.tell_frame(Side::Hub, Frame::new(channel, code::DETACH, detach(handle, Value::Null)));
    }

    /// Ends a session on both sides, likewise.
    pub(super) fn end_session(&mut self, channel: u16, error: &PeerError) {
        self.tell_all_outcomes(Some(channel));
        let Some(hub_channel) = self.sessions.get(&channel).and_then(|session| session.hub_channel) else { return };
        self.sessions.remove(&channel);
        self.by_hub.remove(&hub_channel);
        self.ended.client.insert(channel);
        self.ended.hub.insert(hub_channel);
        self.tell_frame(Side::Client, Frame::new(hub_channel, code::END, vec![error_of(error)]));
        self.tell_frame(Side::Hub, Frame::new(channel, code::END, vec![Value::Null]));
    }

    /// Closes the connection on both sides. Nothing passes any more.
    pub(super) fn close(&mut self, error: &PeerError, now: Instant) {
        self.tell_all_outcomes(None);
        self.end = End::Closing(now + CLOSE_WITHIN);
        self.tell_frame(Side::Client, Frame::new(0, code::CLOSE, vec![error_of(error)]));
        self.tell_frame(Side::Hub, Frame::new(0, code::CLOSE, vec![Value::Null]));
    }
}

/// Source: AMQP 1.0 part 2, 2.8.14.
pub(super) fn error_of(error: &PeerError) -> Value {
    let description = error.description.as_deref().map_or(Value::Null, Value::from);
    Value::described(code::ERROR, vec![Value::symbol(error.condition.as_str()), description, Value::Null])
}
