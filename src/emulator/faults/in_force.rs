//! The faults that are in force, which all connections share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::aim::Aim;
use super::{Blow, Fault, Run, Way, What};
use crate::emulator::mailbox::{Mailbox, Order};

/// Every fault that may still befall something. Costs one look at a flag while there is none.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Faults {
    list: Mutex<List>,
    is_any: AtomicBool,
    /// Grows with every change that connections have to look at.
    edition: AtomicU64,
    /// How often one befell something.
    fired: AtomicU64,
}

#[derive(Debug, Default)]
struct List {
    armed: Vec<Armed>,
    /// Those whose time has not come.
    scheduled: Vec<(Instant, Fault)>,
    connections: BTreeMap<u64, Arc<Mailbox>>,
    next_id: u64,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    fault: Fault,
    since: Instant,
    /// Occasions so far.
    met: u64,
    fired: u64,
    /// Connections that a state has come over. It stays with them when the link goes that brought it.
    connections: Vec<u64>,
}

/// A cut that a connection has to watch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct CutOrder {
    pub(super) id: u64,
    pub(super) way: Way,
    pub(super) bytes: u64,
}

impl Armed {
    fn ends_at(&self) -> Option<Instant> {
        match self.fault.run {
            // It lasts from when it begins.
            Run::Lasting(_) if self.fault.what == What::Silence && self.fault.nth.is_some() => None,
            Run::Lasting(span) => self.since.checked_add(span),
            Run::Times(_) | Run::Always => None,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.fault.run {
            Run::Times(times) => self.fired >= times,
            Run::Lasting(_) => self.ends_at().is_some_and(|end| end <= now),
            Run::Always => false,
        }
    }

    /// Whether it concerns a connection, now or since before.
    fn comes_over(&mut self, connection: u64, is_meant: impl Fn(&Aim) -> bool) -> bool {
        let is_known = self.connections.contains(&connection);
        let is_new = !is_known && is_meant(&self.fault.aim);
        self.connections.extend(is_new.then_some(connection));
        is_known || is_new
    }

    /// Counts an occasion; whether the fault's turn has come.
    fn meet(&mut self, now: Instant) -> bool {
        self.met += 1;
        self.met >= self.fault.nth.unwrap_or(1) && !self.is_over(now)
    }
}

impl Faults {
    pub(in crate::emulator) fn new(faults: Vec<Fault>, now: Instant) -> Self {
        let new = Self::default();
        faults.into_iter().for_each(|fault| new.inject(fault, now));
        new
    }

    pub(in crate::emulator) fn inject(&self, fault: Fault, now: Instant) {
        let mut list = self.list();
        match now.checked_add(fault.starts_in) {
            Some(at) if at > now => list.scheduled.push((at, fault)),
            Some(_) => self.begin(&mut list, fault, now),
            // Later than can be waited for.
            None => {}
        }
        self.publish(list);
    }

    pub(in crate::emulator) fn clear(&self) {
        let mut list = self.list();
        list.armed.clear();
        list.scheduled.clear();
        self.publish(list);
    }

    /// How often a fault befell something.
    pub(in crate::emulator) fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    pub(in crate::emulator) fn count(&self, times: u64) {
        self.fired.fetch_add(times, Ordering::Relaxed);
    }

    // ---- connections -------------------------------------------------------------------------------------------

    pub(in crate::emulator) fn enter(&self, connection: u64, mailbox: &Arc<Mailbox>) {
        self.list().connections.insert(connection, Arc::clone(mailbox));
    }

    /// A connection has gone, and what was aimed at it has nothing left to befall.
    pub(in crate::emulator) fn leave(&self, connection: u64) {
        let mut list = self.list();
        list.connections.remove(&connection);
        let armed_count = list.armed.len();
        list.armed.retain(|armed| armed.fault.aim.connection != Some(connection));
        list.armed.iter_mut().for_each(|armed| armed.connections.retain(|&other| other != connection));
        if list.armed.len() < armed_count {
            self.publish(list);
        }
    }

    pub(in crate::emulator) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    pub(in crate::emulator) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// When a connection has to look again.
    pub(in crate::emulator) fn next_change(&self) -> Option<Instant> {
        if !self.is_any() {
            return None;
        }
        let list = self.list();
        let starts = list.scheduled.iter().map(|(at, _)| *at);
        starts.chain(list.armed.iter().filter_map(Armed::ends_at)).min()
    }

    /// Begins what is due, and drops what is over.
    pub(in crate::emulator) fn turn(&self, now: Instant) {
        if !self.is_any() {
            return;
        }
        let mut list = self.list();
        let (due, later): (Vec<_>, Vec<_>) = list.scheduled.drain(..).partition(|(at, _)| *at <= now);
        list.scheduled = later;
        let armed_count = list.armed.len();
        list.armed.retain(|armed| !armed.is_over(now));
        let is_changed = !due.is_empty() || list.armed.len() < armed_count;
        for (at, fault) in due {
            self.begin(&mut list, fault, at);
        }
        if is_changed {
            self.publish(list);
        }
    }

    // ---- what befalls ------------------------------------------------------------------------------------------

    /// What befalls an occasion, by the first fault whose turn it is. Every one that is meant counts the occasion.
    pub(in crate::emulator) fn befall<T>(
        &self,
        now: Instant,
        is_meant: impl Fn(&Aim) -> bool,
        pick: impl Fn(&What) -> Option<T>,
    ) -> Option<T> {
        if !self.is_any() {
            return None;
        }
        let mut list = self.list();
        let mut befallen = None;
        for armed in &mut list.armed {
            let Some(found) = pick(&armed.fault.what).filter(|_| is_meant(&armed.fault.aim)) else { continue };
            if armed.meet(now) && befallen.is_none() {
                armed.fired += 1;
                befallen = Some(found);
            }
        }
        self.count(u64::from(befallen.is_some()));
        befallen
    }

    /// What a delivery on the link to `path` sets off. Silence and cuts begin by themselves.
    pub(in crate::emulator) fn after_delivery(&self, now: Instant, connection: u64, path: &str) -> Vec<Blow> {
        if !self.is_any() {
            return Vec::new();
        }
        let (mut list, mut blows, mut cuts) = (self.list(), Vec::new(), Vec::new());
        for armed in &mut list.armed {
            if !armed.fault.waits_for_deliveries() || !armed.fault.aim.is_link(connection, path) || !armed.meet(now) {
                continue;
            }
            match &armed.fault.what {
                What::Blow(blow) => blows.push(blow.clone()),
                What::Cut(..) => cuts.push(Fault { run: Run::Times(1), ..armed.fault.now_on(connection) }),
                // A state: it has begun, and goes on.
                _ => {
                    (armed.fault, armed.since) = (armed.fault.now_on(connection), now);
                    continue;
                }
            }
            armed.fired += 1;
        }
        cuts.into_iter().for_each(|cut| self.begin(&mut list, cut, now));
        self.count(blows.len() as u64);
        blows
    }

    /// Whether the state `what` holds for a link that is meant.
    pub(in crate::emulator) fn holds(&self, now: Instant, what: &What, is_meant: impl Fn(&Aim) -> bool) -> bool {
        let is_it = |armed: &Armed| armed.fault.what == *what && !armed.is_over(now) && is_meant(&armed.fault.aim);
        self.is_any() && self.list().armed.iter().any(is_it)
    }

    /// Whether the state `what` has come over a connection.
    pub(in crate::emulator) fn has_come_over(
        &self,
        now: Instant,
        what: &What,
        connection: u64,
        is_meant: impl Fn(&Aim) -> bool,
    ) -> bool {
        let is_it =
            |armed: &Armed| armed.fault.what == *what && !armed.fault.waits_for_deliveries() && !armed.is_over(now);
        self.is_any()
            && self.list().armed.iter_mut().any(|armed| is_it(armed) && armed.comes_over(connection, &is_meant))
    }

    /// The cuts that a connection has to watch for.
    pub(in crate::emulator) fn cuts(
        &self,
        now: Instant,
        connection: u64,
        is_meant: impl Fn(&Aim) -> bool,
    ) -> Vec<CutOrder> {
        if !self.is_any() {
            return Vec::new();
        }
        let order = |armed: &mut Armed| match armed.fault.what {
            What::Cut(way, bytes) if !armed.fault.waits_for_deliveries() && !armed.is_over(now) => {
                armed.comes_over(connection, &is_meant).then_some(CutOrder { id: armed.id, way, bytes })
            }
            _ => None,
        };
        self.list().armed.iter_mut().filter_map(order).collect()
    }

    /// A connection has come to where it is to be cut; whether that still holds.
    pub(super) fn take_cut(&self, id: u64) -> bool {
        let mut list = self.list();
        let cut = list.armed.iter_mut().find(|armed| armed.id == id);
        let cut = cut.filter(|armed| !matches!(armed.fault.run, Run::Times(times) if armed.fired >= times));
        let Some(armed) = cut else { return false };
        armed.fired += 1;
        self.count(1);
        true
    }

    // ---- helpers -----------------------------------------------------------------------------------------------

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that holds the lock can leave the list half-changed.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, list: &mut List, fault: Fault, since: Instant) {
        if let What::Blow(blow) = &fault.what
            && fault.strikes_at_once()
        {
            for mailbox in list.connections.values() {
                mailbox.post(Order::Strike(blow.clone(), fault.aim.clone()));
            }
            return;
        }
        list.next_id += 1;
        list.armed.push(Armed { id: list.next_id, fault, since, met: 0, fired: 0, connections: Vec::new() });
    }

    /// Has every connection look at the list.
    fn publish(&self, list: MutexGuard<'_, List>) {
        self.is_any.store(!list.armed.is_empty() || !list.scheduled.is_empty(), Ordering::Release);
        self.edition.fetch_add(1, Ordering::Release);
        list.connections.values().for_each(|mailbox| mailbox.news.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::emulator::faults::Fate;
    use std::time::Duration;

    fn fate(faults: &Faults, now: Instant) -> Option<Fate> {
        faults.befall(
            now,
            |_| true,
            |what| match what {
                What::Outcome(fate) => Some(fate.clone()),
                _ => None,
            },
        )
    }

    #[test]
    fn each_fault_counts_its_own_occasions_and_one_befalls_each() {
        let now = clock::now();
        let faults = Faults::new(vec![Fault::release().nth(2).times(2), Fault::modify().nth(2), Fault::silence()], now);
        let fates: Vec<_> = (0..5).map(|_| fate(&faults, now)).collect();
        assert_eq!(fates, [None, Some(Fate::Release), Some(Fate::Release), Some(Fate::Modify), None]);
        assert_eq!(faults.fired(), 3);
    }

    #[test]
    fn a_fault_with_a_span_begins_and_ends_in_time_and_a_cleared_one_at_once() {
        let start = clock::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let busy = Fault::server_busy().starting_in(Duration::from_secs(10)).lasting(Duration::from_secs(5));
        let faults = Faults::new(vec![busy, Fault::lose().always().starting_in(Duration::MAX)], start);
        for (secs, expected) in [(0, None), (10, Some(Fate::ServerBusy)), (14, Some(Fate::ServerBusy)), (15, None)] {
            faults.turn(at(secs));
            assert_eq!(fate(&faults, at(secs)), expected, "at {secs} s");
        }
        assert!(!faults.is_any(), "what is over leaves nothing behind");
        faults.inject(Fault::lose().always(), at(16));
        assert_eq!(fate(&faults, at(16)), Some(Fate::Lose));
        faults.clear();
        assert_eq!((fate(&faults, at(16)), faults.next_change()), (None, None));
    }

    #[test]
    fn of_two_connections_that_come_to_a_cut_one_is_cut() {
        let now = clock::now();
        let faults = Faults::new(vec![Fault::cut_after_bytes(9)], now);
        let [cut] = faults.cuts(now, 1, |_| true)[..] else { panic!("one cut") };
        assert_eq!((cut.way, cut.bytes), (Way::Written, 9));
        assert!(faults.take_cut(cut.id) && !faults.take_cut(cut.id));
    }
}
