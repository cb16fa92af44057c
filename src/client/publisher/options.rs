//! What a publisher goes by.

use std::time::Duration;

/// Who finds the partition of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySpread {
    /// The hub: each key has batches of its own, and each event carries its key. With many keys, batches are small.
    #[default]
    Hub,
    /// The publisher, by [`partition_for_key`](crate::wire::partition::partition_for_key), which is how other SDKs' buffered
    /// producers do it: keys of one partition share its batches and its link. The key itself does not travel, for a hub
    /// takes none on a partition's link; and should the hub spread keys otherwise, events that others publish with the
    /// same key lie elsewhere.
    Here,
}

/// How a [`Publisher`](crate::Publisher) makes batches. Each setter tells its default.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    pub(super) connections: usize,
    pub(super) linger: Duration,
    pub(super) max_batch_events: usize,
    pub(super) max_batch_len: usize,
    pub(super) max_held_bytes: usize,
    pub(super) key_spread: KeySpread,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            connections: 1,
            linger: Duration::from_millis(5),
            max_batch_events: usize::MAX,
            max_batch_len: usize::MAX,
            max_held_bytes: 64 * 1_048_576,
            key_spread: KeySpread::default(),
        }
    }
}

impl PublisherOptions {
    /// Connections, each with a link to the hub, that batches are spread over. Default 1; one is enough until its hub, or
    /// one core of this machine, is not.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How long the first event of a batch waits for others at most. Default 5 ms. Zero sends what comes in one turn of the
    /// runtime; longer makes fewer, larger batches.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    pub(crate) fn linger_time(&self) -> Duration {
        self.linger
    }

    /// Events of a batch at most. Default: as many as fit.
    #[must_use]
    pub fn max_batch_events(mut self, events: usize) -> Self {
        self.max_batch_events = events;
        self
    }

    /// Bytes of a batch at most. Default, and never more than: what the hub takes in one message.
    #[must_use]
    pub fn max_batch_len(mut self, bytes: usize) -> Self {
        self.max_batch_len = bytes;
        self
    }

    /// Bytes of events that have no outcome yet, at most; further ones wait before they are taken. One event more is always
    /// taken when there is none. Default 64 MiB.
    #[must_use]
    pub fn max_held_bytes(mut self, bytes: usize) -> Self {
        self.max_held_bytes = bytes;
        self
    }

    /// Who finds the partition of a key. Default [`KeySpread::Hub`].
    #[must_use]
    pub fn key_spread(mut self, key_spread: KeySpread) -> Self {
        self.key_spread = key_spread;
        self
    }
}
