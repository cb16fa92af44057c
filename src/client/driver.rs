//! The one task of a connection: carries what callers ask for to the engine, and its events back to them. It outlives the
//! streams that it talks over: what is lost is restored here, whoever waits for it.

mod deadlines;
mod line;
mod links;
mod receiving;
mod sending;
mod waking;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::cbs::{Cbs, Verdict};
use super::credential::TokenSource;
use super::deadline::Deadline;
use super::error::{Error, Scope, Step};
use super::management::{AskRequest, Management};
use super::options::{IdleLinks, Options};
use super::random::Random;
use super::requests::{CBS, MANAGEMENT};
use super::status::{ConnectionEvent, Status};
use crate::clock;
use crate::engine::{Config, Connection as Engine, Delivery, DeliveryKey, Event, LinkId, Outcome, Sasl, SessionId};
use crate::pump::{BoxStream, Pump};
use crate::wire::frame::PeerError;
pub(super) use line::Connector;
use line::{Line, Outage};
use links::Links;
pub(super) use links::{AttachRequest, Attached, LinkTerms, ReceiverTerms, SlotId};
use receiving::Arrivals;
use sending::Sends;
pub(super) use sending::{SendRequest, Settlement, Told};
pub(crate) use waking::Slumber;
pub(super) use waking::WakeRequest;
use waking::Waking;

/// Commands taken in a row before the stream gets its turn: many, since what they send leaves in one write.
const COMMANDS_IN_A_ROW: usize = 128;

/// What a caller asks of the connection's task. A caller that went away is noticed when its reply finds nobody.
pub(super) enum Command {
    /// What is seldom asked stands apart: a command is as large as the largest.
    Attach(Box<AttachRequest>),
    Send(SendRequest),
    /// Told when every batch of the sender that came before has its outcome.
    Flush {
        slot: SlotId,
        reply: oneshot::Sender<()>,
    },
    Ask(Box<AskRequest>),
    /// A receiver has taken so many events, and can take as many more.
    Credit {
        slot: SlotId,
        taken: u32,
    },
    /// The caller gave up on this delivery: it need not leave any more.
    Forget(DeliveryKey),
    /// The sender or receiver is gone, or is being closed.
    Detach {
        slot: SlotId,
        /// Told when the hub has agreed; dropped when there is nothing to wait for.
        reply: Option<oneshot::Sender<()>>,
    },
    Close {
        deadline: Deadline,
        reply: oneshot::Sender<()>,
    },
    /// Ends the connection at once, without a goodbye.
    Abort,
}

/// What a driver goes by.
pub(super) struct Settings {
    pub(super) options: Options,
    /// What each connection says of itself.
    pub(super) config: Config,
    /// Leads to the next stream when one is lost; without it a lost stream is the end.
    pub(super) connector: Option<Connector>,
    pub(super) token_source: Arc<dyn TokenSource>,
}

/// What comes from the handles of a connection.
pub(super) struct Mailbox {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    /// Apart: a look at what a sleep has left comes before everything that was asked, however long ago.
    pub(super) wakes: mpsc::UnboundedReceiver<WakeRequest>,
}

struct Closing {
    deadline: Deadline,
    replies: Vec<oneshot::Sender<()>>,
    /// Our close has been asked for: what comes now is the end that was wanted.
    said: bool,
}

/// See the module. Ends when the connection has for good, or when every handle is gone.
pub(super) struct Driver {
    settings: Settings,
    status: Arc<Status>,
    mailbox: Mailbox,
    commands_in_a_row: usize,
    random: Random,
    pump: Pump<BoxStream>,
    line: Line,
    /// Since the connection was lost, until it is back.
    outage: Option<Outage>,
    /// Failures to keep a connection, in a row.
    attempts: u32,
    /// Why the stream is being given up, where that was decided here.
    doom: Option<Error>,
    cbs: Cbs,
    management: Management,
    /// Questions whose audience the hub has not taken a token for.
    unauthorized: Vec<AskRequest>,
    /// Of senders and receivers.
    session: Option<SessionId>,
    links: Links,
    sends: Sends,
    detaching: BTreeMap<LinkId, oneshot::Sender<()>>,
    arrivals: Arrivals,
    waking: Waking,
    closing: Option<Closing>,
    ended: bool,
}

/// What woke the task.
enum Woken {
    Slept(WakeRequest),
    Command(Command),
    /// Every handle is gone.
    Abandoned,
    Engine,
    Connected(Result<BoxStream, Error>),
    Verdict(Verdict),
    /// An owner that slept waits, and all that came meanwhile has been taken.
    Caught,
}

impl Driver {
    /// Opens a connection over `stream`; `opened` is told how that went, by `deadline`.
    pub(super) fn new(
        settings: Settings,
        status: Arc<Status>,
        mailbox: Mailbox,
        stream: BoxStream,
        opening: (Deadline, oneshot::Sender<Result<(), Error>>),
    ) -> Self {
        let now = clock::now();
        let mut random = Random::new(settings.options.seed);
        let wall_clock = settings.options.wall_clock.clone();
        let is_needed = matches!(settings.config.sasl, Sasl::Anonymous);
        let cbs = Cbs::new(settings.token_source.clone(), wall_clock, random.split(), is_needed);
        let pump = line::pump(&settings, stream, now);
        let (deadline, opened) = opening;
        Self {
            settings,
            status,
            mailbox,
            commands_in_a_row: 0,
            random,
            pump,
            line: Line::Opening { deadline, first: Some(opened) },
            outage: None,
            attempts: 0,
            doom: None,
            cbs,
            management: Management::default(),
            unauthorized: Vec::new(),
            session: None,
            links: Links::default(),
            sends: Sends::default(),
            detaching: BTreeMap::new(),
            arrivals: Arrivals::default(),
            waking: Waking::default(),
            closing: None,
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        self.cbs.attach(&mut self.pump.engine);
        while !self.ended {
            match self.wait().await {
                Woken::Slept(request) => self.on_wake(request),
                Woken::Command(command) => self.on_commands(command),
                Woken::Abandoned => self.close(Deadline::after(self.close_timeout()), None),
                Woken::Connected(result) => self.on_connected(result),
                Woken::Verdict(verdict) => self.on_verdict(verdict),
                Woken::Caught => self.on_caught_up(),
                Woken::Engine => {}
            }
            self.take_events();
            self.arrivals.settle(&mut self.pump.engine);
            self.take_time();
            self.close_when_settled();
        }
        self.refuse_what_still_comes().await;
        let closing = self.closing.take();
        let limit = closing.as_ref().map_or(self.close_timeout(), |closing| closing.deadline.left());
        self.pump.finish(limit).await;
        self.status.tell(&ConnectionEvent::Closed { cause: self.status.cause() });
        for reply in closing.into_iter().flat_map(|closing| closing.replies) {
            let _ = reply.send(());
        }
    }

    fn close_timeout(&self) -> Duration {
        self.settings.options.close_timeout
    }

    async fn wait(&mut self) -> Woken {
        if self.waking.begins() {
            // The runtime asks the system what has come, before it is looked at. A task that yields goes on after that, and this
            // one would with whatever else it is woken for.
            let _ = tokio::spawn(tokio::task::yield_now()).await;
        }
        let wake = self.next_wake();
        poll_fn(|cx| self.poll(cx, wake)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, wake: Option<Instant>) -> Poll<Woken> {
        if let Poll::Ready(Some(request)) = self.mailbox.wakes.poll_recv(cx) {
            return Poll::Ready(Woken::Slept(request));
        }
        if self.waking.is_asked() {
            return self.poll_catching_up(cx);
        }
        let abandoned = self.closing.is_some() && self.mailbox.commands.is_closed();
        if self.commands_in_a_row == COMMANDS_IN_A_ROW {
            cx.waker().wake_by_ref();
        } else {
            match self.mailbox.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => {
                    self.commands_in_a_row += 1;
                    return Poll::Ready(Woken::Command(command));
                }
                Poll::Ready(None) if !abandoned => return Poll::Ready(Woken::Abandoned),
                _ => {}
            }
        }
        self.commands_in_a_row = 0;
        if let Poll::Ready(verdict) = self.cbs.poll(cx, &mut self.pump.engine, clock::now()) {
            return Poll::Ready(Woken::Verdict(verdict));
        }
        if let Line::Connecting(connecting) = &mut self.line
            && let Poll::Ready(result) = connecting.as_mut().poll(cx)
        {
            return Poll::Ready(Woken::Connected(result));
        }
        let polled = if self.line.is_up() { self.pump.poll(cx, wake) } else { self.pump.poll_wake(cx, wake) };
        polled.map(|()| Woken::Engine)
    }

    // ---- commands ----------------------------------------------------------------------------------------------

    /// Takes a command and those behind it, up to [`COMMANDS_IN_A_ROW`].
    fn on_commands(&mut self, first: Command) {
        let now = clock::now();
        let mut next = Some(first);
        while let Some(command) = next {
            self.on_command(command, now);
            next = None;
            if self.commands_in_a_row < COMMANDS_IN_A_ROW && !self.ended {
                next = self.mailbox.commands.try_recv().ok();
                self.commands_in_a_row += usize::from(next.is_some());
            }
        }
    }

    fn on_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Attach(request) => self.on_attach(*request),
            Command::Send(request) => self.on_send(request, now),
            Command::Flush { slot, reply } => self.sends.flush(slot, reply),
            Command::Ask(request) => self.on_ask(*request),
            Command::Credit { slot, taken } => self.on_credit(slot, taken),
            Command::Forget(key) => self.on_forget(key),
            Command::Detach { slot, reply } => self.on_detach(slot, reply),
            Command::Close { deadline, reply } => self.close(deadline, Some(reply)),
            Command::Abort => self.end(Error::ShutDown),
        }
    }

    /// Goes on when the hub has taken a token, or has refused one.
    fn on_ask(&mut self, request: AskRequest) {
        if self.closing.is_some() {
            return request.end(Err(Error::ShutDown));
        }
        if !self.line.is_open() {
            // Asked as soon as the connection is back.
            self.unauthorized.push(request);
            return self.wake_line();
        }
        match self.cbs.authorize(&mut self.pump.engine, &request.audience, clock::now()) {
            Some(Ok(())) => self.management.ask(&mut self.pump.engine, request, &self.cbs),
            Some(Err(error)) => request.end(Err(error)),
            None => self.unauthorized.push(request),
        }
    }

    fn close(&mut self, deadline: Deadline, reply: Option<oneshot::Sender<()>>) {
        let closing = self.closing.get_or_insert_with(|| Closing { deadline, replies: Vec::new(), said: false });
        closing.deadline.at = closing.deadline.at.min(deadline.at);
        closing.replies.extend(reply);
    }

    /// Says goodbye once everything that was sent has its outcome.
    fn close_when_settled(&mut self) {
        let Some(closing) = self.closing.as_mut().filter(|_| self.sends.is_empty() && !self.ended) else { return };
        closing.said = true;
        if self.line.is_open() {
            self.pump.engine.close(None);
        } else {
            // Nobody is there to say goodbye to.
            self.end(Error::ShutDown);
        }
    }

    /// Commands that reach a task that has ended.
    async fn refuse_what_still_comes(&mut self) {
        let cause = self.status.cause();
        for request in rest(&mut self.mailbox.wakes).await {
            request.end(Err(cause.clone()));
        }
        for command in rest(&mut self.mailbox.commands).await {
            match command {
                Command::Attach(request) => request.end(Err(cause.clone())),
                Command::Send(request) => self.refuse(request, cause.clone()),
                Command::Ask(request) => request.end(Err(cause.clone())),
                Command::Close { reply, .. } | Command::Flush { reply, .. } => drop(reply.send(())),
                Command::Forget(_) | Command::Detach { .. } | Command::Credit { .. } | Command::Abort => {}
            }
        }
    }

    // ---- events ------------------------------------------------------------------------------------------------

    fn take_events(&mut self) {
        // One reading of the clock for what one read brought.
        let mut now = None;
        while let Some(event) = self.pump.engine.poll_event() {
            self.on_event(event, *now.get_or_insert_with(clock::now));
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened => self.on_opened(),
            // Nothing can follow from it any more; the reason is yet to come.
            Event::Attached { .. } if self.pump.engine.is_closed() => {}
            Event::Attached { link, max_message_size } => self.on_attached(link, max_message_size),
            Event::Detached { link, error } => self.on_detached(link, Error::closed(Scope::Link, error)),
            Event::Outcome { link, key, outcome } => self.on_outcome(link, key, outcome, now),
            Event::Delivery { link, delivery } => self.on_delivery(link, delivery),
            Event::SessionEnded { session, error } => self.on_session_ended(session, error),
            Event::Closed(cause) => {
                let wanted = self.closing.as_ref().is_some_and(|closing| closing.said);
                let cause = self.doom.take().unwrap_or_else(|| Error::of_cause(cause, self.pump.failure()));
                self.on_closed(if wanted { Error::ShutDown } else { cause });
            }
            // A client takes no links, and is not asked for more.
            Event::Asked(_) | Event::AttachRequest { .. } | Event::Sendable { .. } => {}
        }
    }

    fn on_attached(&mut self, link: LinkId, max_message_size: Option<u64>) {
        let engine = &mut self.pump.engine;
        if self.cbs.owns_link(link) {
            self.cbs.on_attached(engine, link, clock::now());
        } else if self.management.owns_link(link) {
            self.management.on_attached(engine, link, &self.cbs);
        } else {
            self.on_link_attached(link, max_message_size);
        }
    }

    fn on_delivery(&mut self, link: LinkId, delivery: Delivery) {
        let engine = &mut self.pump.engine;
        if self.cbs.owns_link(link) {
            let verdict = self.cbs.on_delivery(engine, link, delivery, clock::now());
            self.on_verdicts(verdict);
        } else if self.management.owns_link(link) {
            self.management.on_delivery(engine, link, delivery);
        } else {
            self.arrivals.note(engine, link.session, &delivery);
            self.links.deliver(link, delivery);
        }
    }

    fn on_detached(&mut self, link: LinkId, cause: Error) {
        if self.cbs.owns_link(link) {
            let verdicts = self.cbs.on_lost(&mut self.pump.engine, &cause);
            return self.on_verdicts(verdicts);
        }
        if self.management.owns_link(link) {
            return self.management.on_lost(&mut self.pump.engine, &cause);
        }
        if let Some(reply) = self.detaching.remove(&link) {
            let _ = reply.send(());
        }
        if let Some(slot) = self.links.lose_link(link) {
            self.fail(slot, cause);
        }
    }

    fn on_session_ended(&mut self, session: SessionId, error: Option<PeerError>) {
        let cause = Error::closed(Scope::Session, error);
        if self.cbs.owns_session(session) {
            let verdicts = self.cbs.on_session_lost(&mut self.pump.engine, &cause);
            self.on_verdicts(verdicts);
        }
        if self.management.owns_session(session) {
            self.management.on_session_lost(&mut self.pump.engine, &cause);
        }
        if self.session == Some(session) {
            self.session = None;
        }
        self.detaching.retain(|link, _| link.session != session);
        for slot in self.links.lose_session(session) {
            self.fail(slot, cause.clone());
        }
    }

    fn on_verdicts(&mut self, verdicts: impl IntoIterator<Item = Verdict>) {
        for verdict in verdicts {
            self.on_verdict(verdict);
        }
    }

    fn on_verdict(&mut self, verdict: Verdict) {
        self.tell_verdict(&verdict);
        let Verdict { audience, result, is_renewal } = verdict;
        if is_renewal {
            return;
        }
        let is_its = |request: &mut AskRequest| request.audience == audience;
        for request in self.unauthorized.extract_if(.., is_its).collect::<Vec<_>>() {
            match &result {
                Ok(()) => self.management.ask(&mut self.pump.engine, request, &self.cbs),
                Err(error) => request.end(Err(error.clone())),
            }
        }
        for slot in self.links.unauthorized(&audience) {
            match &result {
                Ok(()) => self.attach(slot),
                Err(error) => self.fail(slot, error.clone()),
            }
        }
    }

    fn tell_verdict(&self, Verdict { audience, result, is_renewal }: &Verdict) {
        let audience = audience.clone();
        let (renew_in, expires_at) = self.cbs.terms(&audience, clock::now());
        match result {
            Ok(()) => self.status.tell(&ConnectionEvent::Authorized { audience, renew_in, expires_at }),
            Err(cause) if *is_renewal => self.status.tell(&ConnectionEvent::RenewalFailed {
                audience,
                cause: cause.clone(),
                retry_in: renew_in.unwrap_or_default(),
            }),
            // Told to whoever asked.
            Err(_) => {}
        }
    }

    fn on_outcome(&mut self, link: LinkId, key: DeliveryKey, outcome: Outcome, now: Instant) {
        if CBS.owns_key(key) {
            let verdict = self.cbs.on_outcome(&mut self.pump.engine, key, outcome, now);
            self.on_verdicts(verdict);
        } else if MANAGEMENT.owns_key(key) {
            self.management.on_outcome(key, outcome);
        } else {
            self.on_send_outcome(link, key, outcome, now);
        }
    }

    // ---- time --------------------------------------------------------------------------------------------------

    fn next_wake(&self) -> Option<Instant> {
        let asking = self.unauthorized.iter().map(|request| request.deadline.at).min();
        let closing = self.closing.as_ref().map(|closing| closing.deadline.at);
        [
            self.line.next_wake(),
            self.links.next_wake(),
            self.sends.next_deadline(),
            self.management.next_deadline(),
            self.cbs.next_wake().filter(|_| self.line.is_open()),
            asking,
            closing,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn take_time(&mut self) {
        let now = clock::now();
        if self.line.is_open() {
            let verdict = self.cbs.take_time(&mut self.pump.engine, now);
            self.on_verdicts(verdict);
        }
        self.take_links_time(now);
        self.expire_asking(now);
        self.management.expire(&mut self.pump.engine, now);
        self.expire_sending(now);
        self.take_line_time(now);
        if self.closing.as_ref().is_some_and(|closing| closing.deadline.at <= now) {
            self.end(Error::ShutDown);
        }
    }

    fn expire_asking(&mut self, now: Instant) {
        let is_late = |request: &mut AskRequest| request.deadline.at <= now;
        for request in self.unauthorized.extract_if(.., is_late).collect::<Vec<_>>() {
            self.unwant(&request.audience);
            let step = if self.line.is_open() { Step::Authorize } else { Step::Recovery };
            let error = request.deadline.passed(step);
            request.end(Err(error));
        }
    }

    /// Somebody who waited for `audience` does not any more.
    fn unwant(&mut self, audience: &str) {
        let is_wanted = self.unauthorized.iter().any(|request| request.audience == audience)
            || !self.links.unauthorized(audience).is_empty();
        if !is_wanted {
            self.cbs.unwant(&mut self.pump.engine, audience);
        }
    }
}

/// What is in a mailbox, and what is on its way into it; nothing more is taken. Whoever saw their message go has it read: one that
/// is being put there while this looks is waited for.
async fn rest<T>(mailbox: &mut mpsc::UnboundedReceiver<T>) -> Vec<T> {
    mailbox.close();
    let mut rest = Vec::new();
    while let Some(message) = mailbox.recv().await {
        rest.push(message);
    }
    rest
}
