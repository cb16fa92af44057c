//! What others ask of a connection's task.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::engine::LinkId;
use crate::wire::frame::PeerError;

use super::faults::{Aim, Blow};

/// An order to the task of a connection.
#[derive(Debug)]
pub(super) enum Order {
    /// End this link, if it is still there.
    Detach(LinkId, PeerError),
    /// End what this is aimed at.
    Strike(Blow, Aim),
}

/// A connection, to others: where it takes orders, and how it is woken.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    orders: Mutex<Vec<Order>>,
    /// Told of orders, and of events in partitions that its readers wait at.
    pub(super) news: Arc<Notify>,
}

impl Mailbox {
    pub(super) fn post(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        self.news.notify_one();
    }

    pub(super) fn take(&self) -> Vec<Order> {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
