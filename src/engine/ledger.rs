//! Holds an engine to its word: each delivery has one outcome, or was given back; and what ends it comes first.

use std::collections::{BTreeMap, HashSet};

use super::{DeliveryKey, Event, LinkId, Outcome, SessionId};

/// What an engine was asked to send, and what it has told since.
#[derive(Default)]
pub(crate) struct Ledger {
    open: BTreeMap<DeliveryKey, LinkId>,
    pub(crate) outcomes: BTreeMap<DeliveryKey, Outcome>,
    ended_links: HashSet<LinkId>,
    ended_sessions: HashSet<SessionId>,
    closed: bool,
}

impl Ledger {
    /// The engine has taken this delivery.
    pub(crate) fn sent(&mut self, key: DeliveryKey, link: LinkId) {
        assert!(self.open.insert(key, link).is_none(), "delivery {key} is sent twice");
    }

    /// The engine gave this delivery back.
    pub(crate) fn cancelled(&mut self, key: DeliveryKey) {
        assert!(self.open.remove(&key).is_some(), "delivery {key} was resolved before");
    }

    /// The owner ends the link: that is cause enough for what comes until [`detached`](Self::detached).
    pub(crate) fn detaching(&mut self, link: LinkId) {
        self.ended_links.insert(link);
    }

    pub(crate) fn detached(&mut self, link: LinkId) {
        self.ended_links.remove(&link);
    }

    pub(crate) fn note(&mut self, event: &Event) {
        assert!(!self.closed || matches!(event, Event::Outcome { .. }), "{event:?} behind the end");
        match event {
            Event::Detached { link, .. } => assert!(self.ended_links.insert(*link), "{link:?} ended twice"),
            Event::SessionEnded { session, .. } => assert!(self.ended_sessions.insert(*session), "{session:?}"),
            Event::Closed(_) => self.closed = true,
            Event::Outcome { link, key, outcome } => {
                assert_eq!(self.open.remove(key), Some(*link), "outcome {outcome:?} of delivery {key}");
                let ended =
                    self.closed || self.ended_links.contains(link) || self.ended_sessions.contains(&link.session);
                assert!(ended || *outcome != Outcome::NotSent, "delivery {key}: no cause came before");
                self.outcomes.insert(*key, outcome.clone());
            }
            _ => {}
        }
    }

    /// Whether the delivery is under way on the link.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn is_open(&self, key: DeliveryKey, link: LinkId) -> bool {
        self.open.get(&key) == Some(&link)
    }

    /// Deliveries without an outcome.
    pub(crate) fn unresolved(&self) -> Vec<DeliveryKey> {
        self.open.keys().copied().collect()
    }
}
