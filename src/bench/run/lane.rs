//! A link, and the events that go over it: due, packed, sent, ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::alarm::Alarm;
use super::missed::Missed;
use super::open::{Open, OpenBatches};
use super::tally::{Load, Tally};
use crate::bench::generator::{Draw, Generator, Material};
use crate::bench::mark::{self, Mark};
use crate::bench::pacer::Pacer;
use crate::bench::stop::Stop;
use crate::bench::workload::{Route, Workload};
use crate::{Accepted, Batch, Event, SendError, Sender, Ticket, TryAdd, clock};

/// How late an event may leave its place: later, it is missed. Timers are no better than a millisecond, and a burst of so
/// much is none.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);
/// Events between two looks at the clock, where there is no rate.
const EVENTS_BETWEEN_LOOKS: u32 = 64;
/// Events in a row that are missed before others have their turn: nothing else waits in between.
const MISSED_BETWEEN_YIELDS: u64 = 256;
/// Batches' worth of bytes that many keys may hold open together.
const MAX_OPEN_BATCHES_LEN: usize = 4;

/// What all lanes of a round share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) workload: Arc<Workload>,
    pub(super) material: Arc<Material>,
    pub(super) tally: Tally,
    pub(super) stop: Stop,
    pub(super) alarm: Alarm,
    /// When events begin to be due.
    pub(super) start: Instant,
    /// Of this round, among all that ever read here.
    pub(super) run: u64,
}

/// One of the lanes that share a workload.
pub(super) struct Lane {
    shared: Shared,
    number: u32,
    /// To the hub or its partition; one for each partition where events go to all.
    senders: Vec<Sender>,
    generator: Generator,
    pacer: Option<Pacer>,
    linger: Option<Duration>,
    /// Ends it: events and bytes that are left, and how long it is measured.
    left: Option<u64>,
    bytes_left: Option<u64>,
    end: Option<Duration>,
    sequence: u64,
    /// Events are bodies alone.
    is_plain: bool,
    open: OpenBatches,
    missed: Missed,
    /// Events that were missed, those of the warm-up among them.
    passed_over: u64,
    in_flight: FuturesUnordered<InFlight>,
    /// The time when it last looked, where there is no rate; since the start.
    looked: Duration,
    until_look: u32,
}

/// A batch on its way.
struct InFlight {
    ticket: Ticket,
    load: Option<Load>,
    sent_at: Instant,
}

struct Landed {
    load: Load,
    outcome: Result<Accepted, SendError>,
    sent_at: Instant,
    at: Instant,
}

impl Future for InFlight {
    type Output = Landed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Landed> {
        let outcome = ready!(Pin::new(&mut self.ticket).poll(cx));
        let load = self.load.take().unwrap_or_default();
        Poll::Ready(Landed { load, outcome, sent_at: self.sent_at, at: clock::now() })
    }
}

/// What comes next.
enum Next {
    Event {
        draw: Draw,
        due: Option<Duration>,
        is_measured: bool,
    },
    /// It was due while nothing could be sent.
    Missed(Duration),
    /// The same in the warm-up.
    Skipped,
    Nothing,
}

impl Lane {
    pub(super) fn new(shared: Shared, number: u32, senders: Vec<Sender>) -> Self {
        let workload = &shared.workload;
        let place = (number, workload.lanes());
        let seed = workload.seed;
        let pacer = workload.rate.as_ref().map(|rate| {
            let schedule = rate.clone().warmed_up(workload.warm_up);
            // Another stream of draws than the events'.
            Pacer::new(&schedule, workload.is_poisson, place, !seed.wrapping_add(u64::from(number) << 32))
        });
        let share = |all: u64| all / u64::from(place.1) + u64::from(all % u64::from(place.1) > u64::from(number));
        Self {
            generator: Generator::new(Arc::clone(&shared.material), place, seed),
            pacer,
            linger: workload.effective_linger(),
            left: workload.events.map(share),
            bytes_left: workload.bytes.map(share),
            end: workload.span(),
            sequence: 0,
            is_plain: workload.properties.is_empty() && !workload.receive,
            open: OpenBatches::default(),
            missed: Missed::default(),
            passed_over: 0,
            in_flight: FuturesUnordered::new(),
            looked: Duration::ZERO,
            until_look: 0,
            number,
            senders,
            shared,
        }
    }

    /// Offers events until there is nothing more to offer, or it is stopped; then waits for every outcome.
    ///
    /// Cancel: what is under way is not told of.
    pub(super) async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Event { draw, due, is_measured } => self.offer(&draw, due, is_measured).await,
                Next::Missed(due) => self.miss(due).await,
                Next::Skipped => self.let_others_run().await,
                Next::Nothing => break,
            }
        }
        if self.pacer.is_some() {
            self.until_due(Some(self.looked)).await;
        }
        let offered_until = self.offered_until();
        self.shared.tally.offer_until(offered_until);
        while let Some(route) = self.open.any() {
            self.depart(route).await;
        }
        while let Some(landed) = self.in_flight.next().await {
            self.land(landed);
        }
        self.shared.tally.miss(&self.missed, clock::now());
    }

    /// Until when it had events to offer. At a given rate that is the time of the event behind its last one, or the end.
    fn offered_until(&mut self) -> Instant {
        let (now, start) = (clock::now(), self.shared.start);
        let is_all_offered = self.is_all_offered();
        let until = match (&mut self.pacer, self.end) {
            (Some(pacer), _) if is_all_offered => {
                let gap = pacer.next(0).map_or(Duration::ZERO, |next| next.saturating_sub(self.looked));
                // Lanes take turns: the next one is another's.
                start + self.looked + gap / self.shared.workload.lanes()
            }
            (Some(_), Some(end)) => start + self.shared.workload.warm_up + end,
            _ => now,
        };
        if self.shared.stop.is_stopped() { until.min(now) } else { until }
    }

    async fn miss(&mut self, due: Duration) {
        self.missed.push(due);
        self.let_others_run().await;
    }

    /// Has what shares the thread go on, now and then, while events are passed over.
    async fn let_others_run(&mut self) {
        self.passed_over += 1;
        if self.passed_over.is_multiple_of(MISSED_BETWEEN_YIELDS) {
            tokio::task::yield_now().await;
        }
    }

    /// The next event, once it is due.
    async fn next(&mut self) -> Next {
        match self.pacer {
            None => self.next_at_once().await,
            Some(_) if self.is_all_offered() => Next::Nothing,
            Some(_) => self.next_due().await,
        }
    }

    /// As fast as possible: the clock is looked at now and then, and what waits for nothing is packed on the way.
    async fn next_at_once(&mut self) -> Next {
        while !self.is_all_offered() {
            if self.until_look == 0 {
                self.until_look = EVENTS_BETWEEN_LOOKS;
                self.land_ready();
                self.looked = clock::now().saturating_duration_since(self.shared.start);
                self.depart_overdue().await;
                if self.shared.stop.is_stopped() || self.is_over(self.looked) {
                    return Next::Nothing;
                }
            }
            let is_measured = self.looked >= self.shared.workload.warm_up;
            if let Some(draw) = self.pack_until_look(is_measured) {
                return Next::Event { draw, due: None, is_measured };
            }
            self.make_room(None).await;
        }
        Next::Nothing
    }

    /// Packs bodies into batches that are there, in a loop without a wait: what an event costs here is measured with what a client
    /// costs. Ends at the next look, or with an event that needs more than that.
    fn pack_until_look(&mut self, is_measured: bool) -> Option<Draw> {
        let (secs, most) = (self.looked.as_secs_f64(), self.shared.workload.max_batch_events.unwrap_or(u64::MAX));
        while self.until_look > 0 && !self.is_all_offered() && !self.holds_too_much() {
            self.until_look -= 1;
            let draw = self.generator.draw(secs);
            let route = self.route(&draw);
            let body = self.shared.material.body(&draw.body);
            let Some(Open { batch, load, .. }) = self.open.get_mut(route) else { return Some(draw) };
            // An event that fills its batch makes it leave.
            let is_one_of_many = self.is_plain && load.is_measured == is_measured && load.events + 1 < most;
            let before = batch.encoded_len();
            if !is_one_of_many || !batch.try_add(body).is_added() {
                return Some(draw);
            }
            let added = batch.encoded_len() - before;
            load.book(body.len(), added);
            self.open.grow(added);
            self.sequence += 1;
            self.spend(&draw, is_measured);
        }
        None
    }

    fn is_all_offered(&self) -> bool {
        self.left == Some(0) || self.bytes_left == Some(0)
    }

    async fn next_due(&mut self) -> Next {
        let guess = self.looked.as_secs_f64();
        let draw = self.generator.draw(guess);
        let len = self.shared.material.body(&draw.body).len() as u64;
        let Some(due) = self.pacer.as_mut().and_then(|pacer| pacer.next(len)).filter(|due| !self.is_over(*due)) else {
            return Next::Nothing;
        };
        let is_measured = due >= self.shared.workload.warm_up;
        if !self.depart_before(due).await {
            return Next::Nothing;
        }
        (self.looked, self.until_look) = (due, EVENTS_BETWEEN_LOOKS);
        let late = clock::now().saturating_duration_since(self.shared.start + due);
        if late > PATIENCE && !self.shared.workload.catch_up {
            return if is_measured { Next::Missed(due) } else { Next::Skipped };
        }
        Next::Event { draw, due: Some(due), is_measured }
    }

    fn is_over(&self, since_start: Duration) -> bool {
        self.end.is_some_and(|end| since_start >= self.shared.workload.warm_up + end)
    }

    /// Has every batch leave that is to before an event is due, each in its time; whether it goes on.
    ///
    /// Events are packed ahead of their time, up to the next batch that leaves: a lane is woken once for each batch, and not
    /// for each event, and no batch leaves earlier for it.
    async fn depart_before(&mut self, due: Duration) -> bool {
        let due = self.shared.start + due;
        while let Some(at) = self.open.overdue_at(self.linger).filter(|at| *at <= due) {
            if !self.wait_until(at).await {
                return false;
            }
            if let Some(route) = self.open.oldest() {
                self.depart(route).await;
            }
        }
        !self.shared.stop.is_stopped()
    }

    /// Waits until an event is due, where events are: what it makes leave does not leave before, not even when it is stopped, or
    /// it would be measured as faster than it is.
    async fn until_due(&mut self, due: Option<Duration>) {
        let Some(due) = due else { return };
        let (at, stop) = (self.shared.start + due, self.shared.stop.clone());
        tokio::select! {
            biased;
            () = stop.given_up() => {}
            () = self.wait(at) => {}
        }
    }

    /// Waits until `at`; whether it goes on.
    async fn wait_until(&mut self, at: Instant) -> bool {
        let stop = self.shared.stop.clone();
        tokio::select! {
            biased;
            () = stop.stopped() => false,
            () = self.wait(at) => !stop.is_stopped(),
        }
    }

    /// Waits until `at`, and books the outcomes that come in between.
    async fn wait(&mut self, at: Instant) {
        self.land_ready();
        while clock::now() < at {
            tokio::select! {
                biased;
                Some(landed) = self.in_flight.next(), if !self.in_flight.is_empty() => self.land(landed),
                () = self.shared.alarm.at(at) => {}
            }
        }
    }

    /// Puts an event into its batch; sends that when it is full.
    async fn offer(&mut self, draw: &Draw, due: Option<Duration>, is_measured: bool) {
        let route = self.route(draw);
        if self.open.get(route).is_some_and(|open| open.load.is_measured != is_measured) {
            self.until_due(due).await;
            self.depart(route).await;
        }
        self.spend(draw, is_measured);
        // Once more in an empty batch, if there is no room in this one.
        for _ in 0..2 {
            if self.shared.workload.is_sequential && self.open.get(route).is_none() {
                self.until_room(1).await;
            }
            if !self.begin_batch(route, due, is_measured) {
                return;
            }
            match self.pack(route, draw, due) {
                Added::Yes => {
                    if self.is_full(route) {
                        self.until_due(due).await;
                        self.depart(route).await;
                    }
                    return self.make_room(due).await;
                }
                Added::Full => {
                    self.until_due(due).await;
                    self.depart(route).await;
                }
                Added::Never(message) => {
                    self.until_look = 0;
                    let load = Load { lane: self.number, is_measured, events: 1, ..Load::default() };
                    return self.shared.tally.refuse_event(&load, message);
                }
            }
        }
    }

    /// Events of one route share a batch, and keep their order.
    fn route(&self, draw: &Draw) -> u32 {
        match self.shared.workload.route {
            Route::EachPartition => (self.sequence % self.senders.len() as u64) as u32,
            _ => draw.key.unwrap_or(0),
        }
    }

    fn sender(&self, route: u32) -> &Sender {
        match self.shared.workload.route {
            Route::EachPartition => &self.senders[route as usize],
            _ => &self.senders[0],
        }
    }

    /// An event is one of those that are to be offered.
    fn spend(&mut self, draw: &Draw, is_measured: bool) {
        if is_measured {
            let len = self.shared.material.body(&draw.body).len() as u64;
            self.left = self.left.map(|left| left - 1);
            self.bytes_left = self.bytes_left.map(|left| left.saturating_sub(len.max(1)));
        }
    }

    /// Whether there is a batch now that the route's events go into.
    fn begin_batch(&mut self, route: u32, due: Option<Duration>, is_measured: bool) -> bool {
        if self.open.get(route).is_none() {
            let Some(batch) = self.new_batch(route) else { return false };
            let begun = due.map_or_else(clock::now, |due| self.shared.start + due);
            let load = Load { lane: self.number, is_measured, ..Load::default() };
            self.open.grow(batch.encoded_len());
            self.open.insert(route, Open { batch, begun, load });
        }
        true
    }

    fn new_batch(&self, route: u32) -> Option<Batch> {
        let sender = self.sender(route);
        let has_key = self.shared.workload.keys != crate::bench::Keys::None;
        let batch = match has_key {
            // Keys that were made up, or checked when they were read.
            true => sender.batch_with_partition_key(&self.shared.material.key(route)).ok()?,
            false => sender.batch(),
        };
        let limit = self.shared.workload.max_batch_bytes.map_or(usize::MAX, |bytes| bytes as usize);
        Some(batch.with_limit(limit))
    }

    /// Adds an event to its route's batch, and books it.
    fn pack(&mut self, route: u32, draw: &Draw, due: Option<Duration>) -> Added {
        let event = (!self.is_plain).then(|| self.event(route, draw, due));
        let body = self.shared.material.body(&draw.body);
        let Some(Open { batch, load, .. }) = self.open.get_mut(route) else { return Added::Full };
        let before = batch.encoded_len();
        let added = match event {
            Some(event) => Added::of(batch.try_add(event)),
            None => Added::of(batch.try_add(body)),
        };
        if matches!(added, Added::Yes) {
            let added_len = batch.encoded_len() - before;
            load.book(body.len(), added_len);
            load.due.extend(due);
            if load.is_measured {
                load.missed.append(&mut self.missed);
            }
            if self.shared.workload.receive {
                load.sequences.push(self.sequence);
            }
            self.open.grow(added_len);
            self.sequence += 1;
        }
        added
    }

    fn event(&self, route: u32, draw: &Draw, due: Option<Duration>) -> Event {
        let mut event = Event::new(self.shared.material.shared_body(&draw.body));
        for (name, value) in &self.shared.workload.properties {
            event = event.with_property(name, value.as_str());
        }
        if self.shared.workload.receive {
            let due = due.unwrap_or(self.looked);
            let mark = Mark { run: self.shared.run, lane: self.number, route, sequence: self.sequence, due };
            event = event.with_property(mark::NAME, mark.value());
        }
        event
    }

    fn is_full(&self, route: u32) -> bool {
        let most = self.shared.workload.max_batch_events;
        self.open.get(route).is_some_and(|open| most.is_some_and(|most| open.load.events >= most))
    }

    /// Many keys do not hold more than so much: the oldest leaves as it is.
    async fn make_room(&mut self, due: Option<Duration>) {
        while self.holds_too_much() {
            self.until_due(due).await;
            let Some(route) = self.open.oldest() else { return };
            self.depart(route).await;
        }
    }

    fn holds_too_much(&self) -> bool {
        self.open.is_beyond(MAX_OPEN_BATCHES_LEN * self.senders[0].max_message_size())
    }

    async fn depart_overdue(&mut self) {
        while let Some(route) = self.open.overdue(self.linger, clock::now()) {
            self.depart(route).await;
        }
    }

    /// Sends a route's batch, as soon as there is room in the window.
    async fn depart(&mut self, route: u32) {
        let Some(Open { batch, load, .. }) = self.open.take(route) else { return };
        if batch.is_empty() {
            return;
        }
        self.until_room(self.shared.workload.window()).await;
        let sent_at = clock::now();
        let enqueued = self.sender(route).enqueue(batch).await;
        match enqueued {
            Ok(ticket) => {
                self.shared.tally.take_off();
                self.in_flight.push(InFlight { ticket, load: Some(load), sent_at });
            }
            Err(error) => self.shared.tally.refuse(&load, error, clock::now()),
        }
    }

    /// Waits until fewer than `window` batches are without an outcome.
    async fn until_room(&mut self, window: usize) {
        if self.in_flight.len() < window {
            return;
        }
        let began = clock::now();
        while self.in_flight.len() >= window
            && let Some(landed) = self.in_flight.next().await
        {
            self.land(landed);
        }
        self.shared.tally.wait_for_window(began, clock::now());
    }

    /// Books every outcome that is there, without waiting.
    fn land_ready(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(landed)) = self.in_flight.poll_next_unpin(&mut cx) {
            self.land(landed);
        }
    }

    fn land(&self, Landed { load, outcome, sent_at, at }: Landed) {
        self.shared.tally.land(&load, &outcome, sent_at, at);
    }
}

enum Added {
    Yes,
    Full,
    Never(String),
}

impl Added {
    fn of<E>(added: TryAdd<E>) -> Self {
        match added {
            TryAdd::Added => Self::Yes,
            TryAdd::Full(_) => Self::Full,
            TryAdd::TooLarge(_) => Self::Never(
                "an event does not fit into a batch of its own: make --size smaller, or --batch-bytes larger"
                    .to_owned(),
            ),
            TryAdd::Invalid(_, why) => Self::Never(format!("an event cannot be encoded: {why}")),
        }
    }
}
