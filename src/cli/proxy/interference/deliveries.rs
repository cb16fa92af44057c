//! What becomes of the client's deliveries, and when it is told.

use std::time::Instant;

use super::blows::error_of;
use super::order::Outcome;
use super::session::{Current, Link, Owed, Session};
use super::{Interference, Side};
use crate::cli::proxy::frame::Frame;
use crate::emulator::{Fate, Trouble};
use crate::wire::descriptors::codes as code;
use crate::wire::value::Value;

/// Places of a transfer's fields. Source: AMQP 1.0 part 2, 2.7.5.
const HANDLE: usize = 0;
const DELIVERY_ID: usize = 1;
const SETTLED: usize = 4;
const MORE: usize = 5;
const ABORTED: usize = 9;
/// Of a disposition's. Source: 2.7.6.
const ROLE: usize = 0;
const FIRST: usize = 1;
const LAST: usize = 2;

/// Deliveries one behind the other of which the client is told the same, at the same time.
struct Run {
    first: u32,
    last: u32,
    due: Option<Instant>,
    is_backwards: bool,
}

impl Run {
    fn is_like(&self, other: &Self) -> bool {
        (self.due, self.is_backwards) == (other.due, other.is_backwards)
    }
}

impl Interference {
    pub(super) fn on_transfer(&mut self, from: Side, mut frame: Frame, now: Instant) {
        let found = self.channel(from, &frame).zip(frame.number(HANDLE));
        let Some((channel, handle)) = found else { return self.tell_frame(from.other(), frame) };
        if self.swallowed_on_a_cut_link(from, channel, handle, &frame) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        session.half.of_mut(from).transferred();
        let is_clients = session.link_mut(from, handle).is_some_and(|(_, link)| link.is_clients);
        if from == Side::Client && is_clients {
            return self.on_delivery(channel, handle, frame, now);
        }
        renumber(session, from, &mut frame);
        match from {
            Side::Client => self.tell_frame(Side::Hub, frame),
            Side::Hub => self.on_answer(channel, handle, frame, now),
        }
    }

    /// A transfer of the namespace's.
    fn on_answer(&mut self, channel: u16, hub_handle: u32, mut frame: Frame, now: Instant) {
        if !frame.is(MORE) {
            self.change_answer(&mut frame);
        }
        let link = self.sessions.get_mut(&channel).and_then(|session| session.link_mut(Side::Hub, hub_handle));
        let is_backwards = link.is_some_and(|(_, link)| {
            let is_whole = !frame.is(MORE) && !link.is_partial;
            link.is_partial = frame.is(MORE);
            is_whole && link.is_answers() && self.trouble.is_out_of_order(now, &link.path)
        });
        if !is_backwards {
            return self.tell_frame(Side::Client, frame);
        }
        let start = self.output.client.len();
        self.tell_frame(Side::Client, frame.clone());
        self.backwards.answered((channel, hub_handle), start..self.output.client.len(), frame);
    }

    /// A transfer over a link that we have detached, which its sender has not heard of yet.
    fn swallowed_on_a_cut_link(&mut self, from: Side, channel: u16, handle: u32, frame: &Frame) -> bool {
        let Some(session) = self.sessions.get_mut(&channel) else { return false };
        let Some(last) = session.cut.of_mut(from).get_mut(&handle) else { return false };
        let first_of = frame.number(DELIVERY_ID).filter(|id| *last != Some(*id));
        *last = first_of.or(*last);
        session.half.of_mut(from).transferred();
        session.numbers.of_mut(from).swallow(first_of);
        if !frame.is(MORE) {
            self.tell_flow(channel, from, None);
        }
        true
    }

    /// A transfer of the client's: the whole of a delivery goes on, or nothing of it.
    fn on_delivery(&mut self, channel: u16, handle: u32, mut frame: Frame, now: Instant) {
        self.look_at_token(&frame, now);
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Some(link) = session.links.get_mut(&handle) else { return };
        let is_first = link.current.is_none();
        let mut current = link.current.take().unwrap_or_else(|| begin(link, &frame, &self.trouble, now));
        current.is_settled |= frame.is(SETTLED);
        let is_swallowed = !matches!(current.fate, None | Some(Fate::NeverSettle));
        if is_swallowed {
            link.swallowed = link.swallowed.wrapping_add(u32::from(is_first));
            session.numbers.client.swallow(is_first.then_some(current.id));
        } else {
            renumber(session, Side::Client, &mut frame);
        }
        let (is_last, is_aborted) = (!frame.is(MORE), frame.is(ABORTED));
        if !is_swallowed {
            self.tell_frame(Side::Hub, frame);
        }
        if is_last || is_aborted {
            self.delivered(channel, handle, &current, is_aborted, now);
        } else if let Some(link) = self.sessions.get_mut(&channel).and_then(|session| session.links.get_mut(&handle)) {
            link.current = Some(current);
        }
    }

    /// The last transfer of a delivery has come.
    fn delivered(&mut self, channel: u16, handle: u32, current: &Current, is_aborted: bool, now: Instant) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let owes = !current.is_settled && !is_aborted;
        match &current.fate {
            None | Some(Fate::NeverSettle) if owes => {
                let is_withheld = current.fate.is_some();
                session.owe(current.id, Owed { link: handle, is_withheld });
            }
            None | Some(Fate::NeverSettle) => {}
            Some(fate) => {
                if let Some(state) = state(fate).filter(|_| owes) {
                    self.tell_outcome(channel, current.id, state);
                }
                // It took credit, and room in the session, that nobody gives back.
                self.tell_flow(channel, Side::Client, Some(handle));
            }
        }
        if !is_aborted {
            self.after_delivery(channel, handle, current.id, now);
        }
    }

    fn after_delivery(&mut self, channel: u16, handle: u32, id: u32, now: Instant) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Some(path) = session.links.get(&handle).map(|link| link.path.clone()) else { return };
        let blows = self.trouble.after_delivery(now, &path);
        session.pending.extend(blows.into_iter().map(|blow| (blow, handle, id)));
        self.deal_pending(channel, now);
    }

    /// Deals the blows for which all outcomes have been told.
    fn deal_pending(&mut self, channel: u16, now: Instant) {
        let Some(session) = self.sessions.get_mut(&channel).filter(|session| !session.pending.is_empty()) else {
            return;
        };
        let pending = std::mem::take(&mut session.pending);
        let is_held = self.held.iter().any(|(_, held)| held.channel == channel) || self.backwards.has_any_of(channel);
        let is_due = |(_, link, id): &(_, u32, u32)| !is_held && session.is_settled(*link, *id);
        let (due, waiting): (Vec<_>, Vec<_>) = pending.into_iter().partition(is_due);
        session.pending = waiting;
        for (blow, link, _) in due {
            self.deal(&blow, channel, link, now);
        }
    }

    fn tell_outcome(&mut self, channel: u16, id: u32, state: Value) {
        let Some(hub_channel) = self.sessions.get(&channel).and_then(|session| session.hub_channel) else { return };
        let fields = vec![true.into(), id.into(), id.into(), true.into(), state];
        self.tell_frame(Side::Client, Frame::new(hub_channel, code::DISPOSITION, fields));
    }

    pub(super) fn on_disposition(&mut self, from: Side, frame: Frame, now: Instant) {
        let range = frame.number(FIRST).map(|first| (first, frame.number(LAST).unwrap_or(first)));
        let Some((channel, (first, last))) = self.channel(from, &frame).zip(range) else {
            return self.tell_frame(from.other(), frame);
        };
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        // A receiver speaks of what the other side has sent, by the numbers that it has got them with.
        if frame.is(ROLE) {
            let ranges = session.numbers.of(from.other()).back(first, last);
            for (first, last) in ranges {
                self.settled(from, channel, &frame, first, last, now);
            }
            self.deal_pending(channel, now);
            return;
        }
        let numbers = session.numbers.of(from);
        let (first, behind) = (numbers.onward(first), numbers.onward(last.wrapping_add(1)));
        if first != behind {
            self.tell_frame(from.other(), of_range(&frame, first, behind.wrapping_sub(1)));
        }
    }

    /// What a receiver says of these deliveries of the other side.
    fn settled(&mut self, from: Side, channel: u16, frame: &Frame, first: u32, last: u32, now: Instant) {
        if from == Side::Client {
            return self.tell_frame(Side::Hub, of_range(frame, first, last));
        }
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        for Run { first, last, due, is_backwards } in runs(session, &self.trouble, frame, first, last, now) {
            let outcome = Outcome { channel, first, last, is_backwards, frame: frame.clone() };
            match due {
                Some(due) => self.held.push((due, outcome)),
                None => self.tell_outcome_of(outcome),
            }
        }
    }

    /// Tells the outcomes that were held back until now.
    pub(super) fn tell_outcomes(&mut self, now: Instant) {
        self.tell_held(|due, _| due <= now);
    }

    /// Tells all outcomes of a session, or of all: what comes next is the end of whatever they are of.
    pub(super) fn tell_all_outcomes(&mut self, of: Option<u16>) {
        self.tell_held(|_, channel| of.is_none_or(|of| of == channel));
        self.turn_around();
    }

    fn tell_held(&mut self, is_due: impl Fn(Instant, u16) -> bool) {
        let held = std::mem::take(&mut self.held);
        let (due, later): (Vec<_>, Vec<_>) = held.into_iter().partition(|(due, held)| is_due(*due, held.channel));
        self.held = later;
        for (_, outcome) in due {
            self.tell_outcome_of(outcome);
        }
    }

    /// Deals blows that waited for outcomes which were held back.
    pub(super) fn deal_all_pending(&mut self, now: Instant) {
        for channel in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.deal_pending(channel, now);
        }
    }
}

fn begin(link: &mut Link, frame: &Frame, trouble: &Trouble, now: Instant) -> Current {
    link.sent = link.sent.wrapping_add(1);
    let fate = trouble.fate(now, &link.path);
    Current { id: frame.number(DELIVERY_ID).unwrap_or_default(), fate, is_settled: false }
}

/// Gives a transfer the number that the other side counts by.
fn renumber(session: &Session, from: Side, frame: &mut Frame) {
    if let Some(id) = frame.number(DELIVERY_ID) {
        frame.renumber(DELIVERY_ID, session.numbers.of(from).onward(id));
    }
}

/// Of which of these deliveries the client is told, and when. Those that are settled are forgotten.
fn runs(session: &mut Session, trouble: &Trouble, frame: &Frame, first: u32, last: u32, now: Instant) -> Vec<Run> {
    // Ids wrap; a range that is upside down goes through zero.
    let parts = if first <= last { vec![(first, last)] } else { vec![(first, u32::MAX), (0, last)] };
    let known =
        parts.into_iter().flat_map(|(first, last)| session.owed.range(first..=last).map(|(id, owed)| (*id, *owed)));
    let known: Vec<(u32, Owed)> = known.collect();
    let mut runs: Vec<Run> = Vec::new();
    let mut at = first;
    for (id, owed) in known {
        let path = session.links.get(&owed.link).map(|link| link.path.as_str());
        let due = path.and_then(|path| trouble.outcome_delay(now, path)).and_then(|by| now.checked_add(by));
        let is_backwards = path.is_some_and(|path| trouble.is_out_of_order(now, path));
        if at != id {
            add(&mut runs, Run { first: at, last: id.wrapping_sub(1), due: None, is_backwards: false });
        }
        if !owed.is_withheld {
            add(&mut runs, Run { first: id, last: id, due, is_backwards });
        }
        at = id.wrapping_add(1);
        if frame.is(3) {
            session.owed.remove(&id);
        }
    }
    if at != last.wrapping_add(1) {
        add(&mut runs, Run { first: at, last, due: None, is_backwards: false });
    }
    runs
}

fn add(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(before) if before.is_like(&run) && before.last.wrapping_add(1) == run.first => before.last = run.last,
        _ => runs.push(run),
    }
}

pub(super) fn of_range(frame: &Frame, first: u32, last: u32) -> Frame {
    let mut frame = frame.clone();
    frame.set(FIRST, first);
    if frame.get(LAST).is_some() || first != last {
        frame.set(LAST, last);
    }
    frame
}

/// What the client is told of a delivery that does not go on, if anything.
fn state(fate: &Fate) -> Option<Value> {
    match fate {
        Fate::Reject(error) => Some(Value::described(code::REJECTED, vec![error_of(error)])),
        Fate::Release => Some(Value::described(code::RELEASED, Vec::<Value>::new())),
        Fate::Modify => Some(Value::described(code::MODIFIED, vec![true.into(), Value::Null, Value::Null])),
        // The second has become a rejection by now.
        Fate::NeverSettle | Fate::ServerBusy | Fate::Lose => None,
    }
}
