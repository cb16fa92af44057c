//! The one task of a connection: carries what callers ask for to the engine, and its events back to them.

mod attaching;
mod receiving;

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::cbs::{Cbs, Verdict};
use super::deadline::Deadline;
use super::error::{self, Error, Scope, Step};
use super::management::{AskRequest, Management};
use super::requests::{CBS, MANAGEMENT};
use crate::clock;
use crate::engine::{Delivery, DeliveryKey, Event, LinkId, Outcome, Outgoing, SessionId, SettleMode};
use crate::pump::Pump;
use crate::wire::batch::MESSAGE_FORMAT;
use crate::wire::condition::UNAUTHORIZED_ACCESS;
use crate::wire::frame::PeerError;
pub(super) use attaching::{AttachRequest, Attached, LinkTerms, ReceiverTerms};
use attaching::{Attaching, Unauthorized};
use receiving::{Arrivals, Held};

/// Commands taken in a row before the stream gets its turn: many, since what they send leaves in one write.
const COMMANDS_IN_A_ROW: usize = 64;

/// What a caller asks of the connection's task. A caller that went away is noticed when its reply finds nobody.
pub(super) enum Command {
    Attach(AttachRequest),
    Send(SendRequest),
    Ask(AskRequest),
    /// A receiver has taken so many events, and can take as many more.
    Credit {
        link: LinkId,
        taken: u32,
    },
    /// The caller gave up on this delivery: it need not leave any more.
    Forget {
        link: LinkId,
        key: DeliveryKey,
    },
    /// The sender is gone, or is being closed.
    Detach {
        link: LinkId,
        /// Told when the hub has agreed; dropped when there is nothing to wait for.
        reply: Option<oneshot::Sender<()>>,
    },
    Close {
        deadline: Deadline,
        reply: oneshot::Sender<()>,
    },
}

pub(super) struct SendRequest {
    pub(super) link: LinkId,
    pub(super) key: DeliveryKey,
    pub(super) payload: Bytes,
    pub(super) deadline: Deadline,
    pub(super) reply: oneshot::Sender<Settlement>,
}

/// How a delivery ended.
#[derive(Debug)]
pub(super) enum Settlement {
    Accepted,
    Rejected { condition: String, description: String },
    NotSent(Error),
    Unknown(Error),
}

/// What the task leaves for handles that outlive it: why it ended.
#[derive(Debug, Default)]
pub(super) struct Epitaph(OnceLock<Error>);

impl Epitaph {
    pub(super) fn cause(&self) -> Error {
        self.0.get().cloned().unwrap_or(Error::ShutDown)
    }
}

struct Sending {
    link: LinkId,
    deadline: Deadline,
    reply: oneshot::Sender<Settlement>,
}

struct Closing {
    deadline: Deadline,
    replies: Vec<oneshot::Sender<()>>,
    /// Our close has been asked for: what comes now is the end that was wanted.
    said: bool,
}

/// See the module. Ends when the connection has, or when every handle is gone.
pub(super) struct Driver<S> {
    pump: Pump<S>,
    commands: mpsc::UnboundedReceiver<Command>,
    commands_in_a_row: usize,
    epitaph: Arc<Epitaph>,
    close_timeout: std::time::Duration,
    opening: Option<(Deadline, oneshot::Sender<Result<(), Error>>)>,
    cbs: Cbs,
    management: Management,
    session: Option<SessionId>,
    next_link_name: u32,
    /// What waits for the hub to take a token.
    unauthorized: Vec<Unauthorized>,
    attaching: Vec<Attaching>,
    sending: HashMap<DeliveryKey, Sending>,
    send_deadlines: BTreeSet<(Instant, DeliveryKey)>,
    detaching: HashMap<LinkId, oneshot::Sender<()>>,
    /// The links that somebody holds a handle of.
    held: HashMap<LinkId, Held>,
    arrivals: Arrivals,
    closing: Option<Closing>,
    ended: bool,
}

/// What woke the task.
enum Woken {
    Command(Command),
    /// Every handle is gone.
    Abandoned,
    Engine,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn new(
        pump: Pump<S>,
        cbs: Cbs,
        commands: mpsc::UnboundedReceiver<Command>,
        epitaph: Arc<Epitaph>,
        opening: (Deadline, oneshot::Sender<Result<(), Error>>),
        close_timeout: std::time::Duration,
    ) -> Self {
        Self {
            pump,
            commands,
            commands_in_a_row: 0,
            epitaph,
            close_timeout,
            opening: Some(opening),
            cbs,
            management: Management::default(),
            session: None,
            next_link_name: 0,
            unauthorized: Vec::new(),
            attaching: Vec::new(),
            sending: HashMap::new(),
            send_deadlines: BTreeSet::new(),
            detaching: HashMap::new(),
            held: HashMap::new(),
            arrivals: Arrivals::default(),
            closing: None,
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        self.cbs.attach(&mut self.pump.engine);
        while !self.ended {
            match self.wait().await {
                Woken::Command(command) => self.on_command(command),
                Woken::Abandoned => self.close(Deadline::after(self.close_timeout), None),
                Woken::Engine => {}
            }
            self.take_events();
            self.arrivals.settle(&mut self.pump.engine);
            self.take_time();
            self.close_when_settled();
        }
        self.refuse_what_still_comes();
        let closing = self.closing.take();
        let limit = closing.as_ref().map_or(self.close_timeout, |closing| closing.deadline.left());
        self.pump.finish(limit).await;
        for reply in closing.into_iter().flat_map(|closing| closing.replies) {
            let _ = reply.send(());
        }
    }

    async fn wait(&mut self) -> Woken {
        let wake = self.next_wake();
        let abandoned = self.closing.is_some() && self.commands.is_closed();
        poll_fn(|cx| {
            if self.commands_in_a_row == COMMANDS_IN_A_ROW {
                cx.waker().wake_by_ref();
            } else {
                match self.commands.poll_recv(cx) {
                    Poll::Ready(Some(command)) => {
                        self.commands_in_a_row += 1;
                        return Poll::Ready(Woken::Command(command));
                    }
                    Poll::Ready(None) if !abandoned => return Poll::Ready(Woken::Abandoned),
                    _ => {}
                }
            }
            self.commands_in_a_row = 0;
            self.pump.poll(cx, wake).map(|()| Woken::Engine)
        })
        .await
    }

    // ---- commands ----------------------------------------------------------------------------------------------

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Attach(request) => self.authorize(Unauthorized::Attach(request)),
            Command::Send(request) => self.on_send(request),
            Command::Ask(request) => self.authorize(Unauthorized::Ask(request)),
            Command::Credit { link, taken } => {
                let credit = self.pump.engine.credit(link).saturating_add(taken);
                self.pump.engine.set_credit(link, credit);
            }
            Command::Forget { link, key } => {
                self.pump.engine.cancel(link, key);
                self.forget(key);
            }
            Command::Detach { link, reply } => self.on_detach(link, reply),
            Command::Close { deadline, reply } => self.close(deadline, Some(reply)),
        }
    }

    fn on_send(&mut self, request: SendRequest) {
        let SendRequest { link, key, payload, deadline, reply } = request;
        let outgoing = Outgoing { key, message_format: MESSAGE_FORMAT, payload, settle_mode: SettleMode::Unsettled };
        let refused = self.closing.is_some().then_some(Error::ShutDown);
        let refused = refused.or_else(|| self.pump.engine.send(link, outgoing).err().map(|_| self.cause(link)));
        if let Some(cause) = refused {
            let _ = reply.send(Settlement::NotSent(cause));
            return;
        }
        self.sending.insert(key, Sending { link, deadline, reply });
        self.send_deadlines.insert((deadline.at, key));
    }

    /// Nobody holds the link any more.
    fn on_detach(&mut self, link: LinkId, reply: Option<oneshot::Sender<()>>) {
        self.held.remove(&link);
        if !self.pump.engine.is_attached(link) {
            return;
        }
        self.pump.engine.detach(link, None);
        if let Some(reply) = reply {
            self.detaching.insert(link, reply);
        }
    }

    fn close(&mut self, deadline: Deadline, reply: Option<oneshot::Sender<()>>) {
        let closing = self.closing.get_or_insert_with(|| Closing { deadline, replies: Vec::new(), said: false });
        closing.deadline.at = closing.deadline.at.min(deadline.at);
        closing.replies.extend(reply);
    }

    /// Says goodbye once everything that was sent has its outcome.
    fn close_when_settled(&mut self) {
        let Some(closing) = self.closing.as_mut().filter(|_| self.sending.is_empty() && !self.ended) else { return };
        closing.said = true;
        if self.opening.is_some() {
            // Nobody is there yet to say goodbye to.
            self.abandon(Error::ShutDown);
        } else {
            self.pump.engine.close(None);
        }
    }

    /// Commands that reach a task that has ended.
    fn refuse_what_still_comes(&mut self) {
        self.commands.close();
        let cause = self.epitaph.cause();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Attach(request) => drop(request.reply.send(Err(cause.clone()))),
                Command::Send(request) => drop(request.reply.send(Settlement::NotSent(cause.clone()))),
                Command::Ask(request) => request.end(Err(cause.clone())),
                Command::Close { reply, .. } => drop(reply.send(())),
                Command::Forget { .. } | Command::Detach { .. } | Command::Credit { .. } => {}
            }
        }
    }

    // ---- events ------------------------------------------------------------------------------------------------

    fn take_events(&mut self) {
        while let Some(event) = self.pump.engine.poll_event() {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Opened => {
                if let Some((_, reply)) = self.opening.take()
                    && reply.send(Ok(())).is_err()
                {
                    self.close(Deadline::after(self.close_timeout), None);
                }
            }
            // Nothing can follow from it any more; the reason is yet to come.
            Event::Attached { .. } if self.pump.engine.is_closed() => {}
            Event::Attached { link, max_message_size } => self.on_attached(link, max_message_size),
            Event::Detached { link, error } => self.on_detached(link, Error::closed(Scope::Link, error)),
            Event::Outcome { link, key, outcome } => self.on_outcome(link, key, outcome),
            Event::Delivery { link, delivery } => self.on_delivery(link, delivery),
            Event::SessionEnded { session, error } => self.on_session_ended(session, error),
            Event::Closed(cause) => {
                let wanted = self.closing.as_ref().is_some_and(|closing| closing.said);
                let cause = Error::of_cause(cause, self.pump.failure());
                self.on_closed(if wanted { Error::ShutDown } else { cause });
            }
            // A client takes no links, and is not asked for more.
            Event::Asked(_) | Event::AttachRequest { .. } | Event::Sendable { .. } => {}
        }
    }

    fn on_attached(&mut self, link: LinkId, max_message_size: Option<u64>) {
        let engine = &mut self.pump.engine;
        if self.cbs.owns_link(link) {
            let verdicts = self.cbs.on_attached(engine, link, clock::now());
            return self.on_verdicts(verdicts);
        }
        if self.management.owns_link(link) {
            return self.management.on_attached(engine, link, &self.cbs);
        }
        let waiting = self.attaching.iter().position(|attaching| attaching.link == link);
        match waiting.and_then(|index| self.attaching.swap_remove(index).succeed(engine, max_message_size)) {
            Some(held) => drop(self.held.insert(link, held)),
            // Whoever asked is gone: leave nothing behind.
            None => self.pump.engine.detach(link, None),
        }
    }

    fn on_delivery(&mut self, link: LinkId, delivery: Delivery) {
        let engine = &mut self.pump.engine;
        if self.cbs.owns_link(link) {
            let verdict = self.cbs.on_delivery(engine, link, delivery, clock::now());
            return self.on_verdicts(verdict);
        }
        if self.management.owns_link(link) {
            return self.management.on_delivery(engine, link, delivery);
        }
        self.arrivals.note(engine, link.session, &delivery);
        if let Some(Held::Receiver { events }) = self.held.get(&link) {
            // A receiver that went away is followed by its detach.
            let _ = events.send(receiving::event_of(delivery));
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
        if let Some(index) = self.attaching.iter().position(|attaching| attaching.link == link) {
            let attaching = self.attaching.swap_remove(index);
            if cause.condition() == Some(UNAUTHORIZED_ACCESS) {
                // Whatever was granted holds no longer: the next caller puts a fresh token.
                self.cbs.revoke(&attaching.request.audience);
            }
            attaching.request.end(Err(cause.clone()));
        }
        self.lose(&cause, |lost| lost == link);
    }

    /// Keeps the first cause for those whose link is gone.
    fn lose(&mut self, cause: &Error, is_lost: impl Fn(LinkId) -> bool) {
        for (_, held) in self.held.iter_mut().filter(|(link, _)| is_lost(**link)) {
            held.lose(cause);
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
        let in_session = |attaching: &mut Attaching| attaching.link.session == session;
        for attaching in self.attaching.extract_if(.., in_session).collect::<Vec<_>>() {
            attaching.request.end(Err(cause.clone()));
        }
        self.detaching.retain(|link, _| link.session != session);
        self.lose(&cause, |link| link.session == session);
    }

    /// The connection is over: everybody who waits is told the first cause.
    fn on_closed(&mut self, cause: Error) {
        // Set already when it was given up here, for a better reason than the end that this brought about.
        let cause = self.epitaph.0.get_or_init(|| cause).clone();
        self.ended = true;
        if let Some((_, reply)) = self.opening.take() {
            let _ = reply.send(Err(cause.clone()));
        }
        for waiting in self.unauthorized.drain(..) {
            waiting.fail(cause.clone());
        }
        for attaching in self.attaching.drain(..) {
            attaching.request.end(Err(cause.clone()));
        }
        self.management.fail_all(&cause);
        self.lose(&cause, |_| true);
        self.detaching.clear();
    }

    fn on_outcome(&mut self, link: LinkId, key: DeliveryKey, outcome: Outcome) {
        if CBS.owns_key(key) {
            let verdict = self.cbs.on_outcome(key, outcome, clock::now());
            return self.on_verdicts(verdict);
        }
        if MANAGEMENT.owns_key(key) {
            return self.management.on_outcome(key, outcome);
        }
        let Some(sending) = self.forget(key) else { return };
        let settlement = match outcome {
            Outcome::Accepted => Settlement::Accepted,
            Outcome::Rejected(error) => {
                let (condition, description) = error::words(error);
                Settlement::Rejected { condition, description }
            }
            Outcome::Released | Outcome::Modified => Settlement::NotSent(Error::Released),
            Outcome::NotSent => Settlement::NotSent(self.cause(link)),
            Outcome::Unknown => Settlement::Unknown(self.cause(link)),
        };
        let _ = sending.reply.send(settlement);
    }

    fn forget(&mut self, key: DeliveryKey) -> Option<Sending> {
        let sending = self.sending.remove(&key)?;
        self.send_deadlines.remove(&(sending.deadline.at, key));
        Some(sending)
    }

    /// Why `link` is of no more use: the first cause.
    fn cause(&self, link: LinkId) -> Error {
        let known = self.held.get(&link).and_then(Held::lost);
        known.cloned().unwrap_or_else(|| self.epitaph.cause())
    }

    // ---- time --------------------------------------------------------------------------------------------------

    fn next_wake(&self) -> Option<Instant> {
        let opening = self.opening.as_ref().map(|(deadline, _)| deadline.at);
        let unauthorized = self.unauthorized.iter().map(|waiting| waiting.deadline().at).min();
        let attaching = self.attaching.iter().map(|attaching| attaching.request.deadline.at).min();
        let sending = self.send_deadlines.first().map(|(at, _)| *at);
        let closing = self.closing.as_ref().map(|closing| closing.deadline.at);
        let asking = self.management.next_deadline();
        let renewal = self.cbs.next_renewal();
        [opening, unauthorized, attaching, sending, asking, closing, renewal].into_iter().flatten().min()
    }

    fn take_time(&mut self) {
        let now = clock::now();
        self.cbs.renew(&mut self.pump.engine, now);
        self.expire_unauthorized(now);
        self.expire_attaching(now);
        self.management.expire(&mut self.pump.engine, now);
        self.expire_sending(now);
        if let Some((deadline, _)) = self.opening.as_ref().filter(|(deadline, _)| deadline.at <= now) {
            let cause = deadline.passed(Step::Open);
            self.abandon(cause);
        }
        if self.closing.as_ref().is_some_and(|closing| closing.deadline.at <= now) {
            self.abandon(Error::ShutDown);
        }
    }

    fn expire_sending(&mut self, now: Instant) {
        while self.send_deadlines.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.send_deadlines.pop_first()
        {
            let Some(sending) = self.sending.remove(&key) else { continue };
            let engine = &mut self.pump.engine;
            let settlement = match engine.cancel(sending.link, key) {
                Some(Outcome::NotSent) => {
                    let starved = engine.credit(sending.link) == 0;
                    let step = if starved { Step::Credit } else { Step::Write };
                    Settlement::NotSent(sending.deadline.passed(step))
                }
                _ => Settlement::Unknown(sending.deadline.passed(Step::Outcome)),
            };
            let _ = sending.reply.send(settlement);
        }
    }

    /// Gives the connection up without waiting for the peer.
    fn abandon(&mut self, cause: Error) {
        let _ = self.epitaph.0.set(cause);
        self.pump.engine.close(None);
        self.pump.engine.abandon();
        self.take_events();
    }
}
