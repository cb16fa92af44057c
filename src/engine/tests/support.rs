//! One engine with a scripted peer, and two engines back to back.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use fe2o3_amqp::frames::{amqp::FrameBody, sasl};
use fe2o3_amqp_types::definitions::{self, Handle, Role as WireRole};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives;
use fe2o3_amqp_types::primitives::{Array, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslMechanisms, SaslOutcome};
use serde_amqp::serde::Serialize;

use crate::engine::ledger::Ledger;
use crate::engine::*;
use crate::wire::frame::{self, AMQP_HEADER, PeerError, SASL_HEADER, Summary, encoded, encoded_transfer};

/// The instant that all scripts begin at.
#[allow(clippy::disallowed_methods)]
pub(super) fn epoch() -> Instant {
    use std::sync::OnceLock;
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub(super) fn after(millis: u64) -> Instant {
    epoch() + Duration::from_millis(millis)
}

pub(super) fn config(role: Role) -> Config {
    Config {
        role,
        container_id: "us".into(),
        hostname: Some("host".into()),
        max_frame_size: 65_536,
        idle_timeout: None,
        properties: vec![("product", "hubwire".into())],
        sasl: Sasl::Anonymous,
        is_optimistic: false,
        first_number: 0,
    }
}

pub(super) fn outgoing(key: DeliveryKey, len: usize) -> Outgoing {
    let pattern: Vec<u8> = (0..251_u8).map(|at| at.wrapping_mul(31).wrapping_add(key as u8)).collect();
    let mut payload = pattern.repeat(len / pattern.len() + 1);
    payload.truncate(len);
    Outgoing { key, message_format: 0x8001_3700, payload: payload.into(), settle_mode: SettleMode::Unsettled }
}

pub(super) fn sender(name: &str) -> Attach {
    Attach {
        name: name.into(),
        role: LinkRole::Sender,
        source: Some("here".into()),
        target: Some("hub".into()),
        selector: None,
        max_message_size: 0,
        desired_capabilities: Vec::new(),
        properties: None,
    }
}

pub(super) fn receiver(name: &str) -> Attach {
    Attach { role: LinkRole::Receiver, ..sender(name) }
}

/// An engine, and what its peer sees of it.
pub(super) struct Script {
    pub(super) connection: Connection,
    pub(super) now: Instant,
    pub(super) ledger: Ledger,
    pub(super) events: Vec<Event>,
    input: BytesMut,
    output: BytesMut,
}

impl Script {
    pub(super) fn new(config: Config) -> Self {
        Self {
            connection: Connection::new(config, epoch()),
            now: epoch(),
            ledger: Ledger::default(),
            events: Vec::new(),
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// A client whose peer has opened: frames up to `max_frame_size`, all channels.
    pub(super) fn opened(config: Config, max_frame_size: u32) -> Self {
        let mut script = Self::new(config);
        let role = script.connection_role();
        if role == Role::Client {
            script.feed(&greeting());
        } else {
            script.feed(&client_greeting());
        }
        script.feed(&encoded(0, &open(max_frame_size)));
        assert!(matches!(script.events.pop(), Some(Event::Opened)));
        script.frames();
        script
    }

    fn connection_role(&self) -> Role {
        // A client speaks first.
        if self.connection.outbox().is_empty() { Role::Server } else { Role::Client }
    }

    /// A client with one session and one attached sender, `credit` deliveries granted.
    pub(super) fn sending(credit: u32) -> (Self, LinkId) {
        Self::sending_with(config(Role::Client), 65_536, credit)
    }

    pub(super) fn sending_with(config: Config, max_frame_size: u32, credit: u32) -> (Self, LinkId) {
        let mut script = Self::opened(config, max_frame_size);
        let session = script.connection.begin().expect("a channel");
        script.feed(&encoded(9, &begin(Some(0))));
        let link = script.attach(session, "a");
        script.answer_attach(9, "a", 7);
        script.grant(credit);
        script.frames();
        script.events.clear();
        (script, link)
    }

    pub(super) fn attach(&mut self, session: SessionId, name: &str) -> LinkId {
        self.connection.attach(session, &sender(name)).expect("it fits").expect("a handle")
    }

    /// The peer's yes to our sender `name`, with the peer's handle.
    pub(super) fn answer_attach(&mut self, channel: u16, name: &str, handle: u32) {
        self.feed(&encoded(channel, &attach(name, handle, WireRole::Receiver)));
    }

    /// A flow of the peer on its handle 7: `credit` from our present delivery-count on.
    pub(super) fn grant(&mut self, credit: u32) {
        self.feed(&encoded(9, &link_flow(7, None, credit)));
    }

    pub(super) fn send(&mut self, link: LinkId, key: DeliveryKey, len: usize) {
        assert!(self.try_send(link, outgoing(key, len)), "delivery {key} is taken");
    }

    pub(super) fn try_send(&mut self, link: LinkId, outgoing: Outgoing) -> bool {
        let key = outgoing.key;
        let taken = self.connection.send(link, outgoing).is_ok();
        if taken {
            self.ledger.sent(key, link);
        }
        taken
    }

    pub(super) fn cancel(&mut self, link: LinkId, key: DeliveryKey) -> Option<Outcome> {
        let outcome = self.connection.cancel(link, key);
        if outcome.is_some() {
            self.ledger.cancelled(key);
        }
        outcome
    }

    /// A detach that the owner asks for is its own cause.
    pub(super) fn detach(&mut self, link: LinkId) {
        self.connection.detach(link, None);
        self.ledger.detaching(link);
        self.note_events();
        self.ledger.detached(link);
    }

    pub(super) fn abandon(&mut self) {
        self.connection.abandon();
        self.note_events();
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.connection.receive(self.now, &mut self.input);
        self.note_events();
    }

    pub(super) fn wait_until(&mut self, now: Instant) {
        self.now = now;
        self.connection.handle_timeout(now);
        self.note_events();
    }

    pub(super) fn note_events(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.ledger.note(&event);
            self.events.push(event);
        }
    }

    /// Everything that the engine has to write, as bytes.
    pub(super) fn bytes(&mut self) -> BytesMut {
        loop {
            self.connection.pump();
            let taken = take_outbox(&mut self.connection, self.now, usize::MAX);
            if taken.is_empty() {
                return self.output.split();
            }
            self.output.extend_from_slice(&taken);
        }
    }

    /// Everything that the engine has to write, a line for each frame.
    pub(super) fn frames(&mut self) -> Vec<String> {
        let mut bytes = self.bytes();
        let lines = lines(&mut bytes);
        assert!(bytes.is_empty(), "a part of a frame: {bytes:02x?}");
        lines
    }

    #[track_caller]
    pub(super) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(self.frames(), lines);
    }

    /// Outcomes that have come, in the order of their keys.
    pub(super) fn outcomes(&self) -> Vec<(DeliveryKey, Outcome)> {
        self.ledger.outcomes.iter().map(|(key, outcome)| (*key, outcome.clone())).collect()
    }

    pub(super) fn unresolved(&self) -> Vec<DeliveryKey> {
        self.ledger.unresolved()
    }

    #[track_caller]
    pub(super) fn cause(&self) -> &CloseCause {
        let cause = self.events.iter().find_map(|event| match event {
            Event::Closed(cause) => Some(cause),
            _ => None,
        });
        cause.expect("closed")
    }
}

impl Drop for Script {
    /// Whatever the script was about: in the end no delivery stays without an outcome.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.abandon();
            assert_eq!(self.unresolved(), Vec::<u64>::new(), "without an outcome");
            assert!(self.connection.next_timeout().is_none());
        }
    }
}

/// Takes up to `len` bytes from the outbox, as a stream does.
pub(super) fn take_outbox(connection: &mut Connection, now: Instant, len: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = connection.outbox().slices(&mut slices);
    let mut taken: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
    taken.truncate(len);
    connection.wrote(now, taken.len());
    taken
}

/// Cuts whole headers and frames from `bytes`, a line for each.
pub(super) fn lines(bytes: &mut BytesMut) -> Vec<String> {
    let mut lines = Vec::new();
    while bytes.len() >= 8 {
        if bytes.starts_with(b"AMQP") {
            lines.push(format!("header {}", bytes[4]));
            bytes.advance(8);
            continue;
        }
        let is_sasl = bytes[5] == 1;
        let Some(raw) = frame::take(bytes, u32::MAX).expect("a frame") else { break };
        lines.push(if is_sasl {
            sasl_line(&raw.into_sasl().expect("a SASL frame"))
        } else {
            let (channel, body) = raw.into_amqp().expect("an AMQP frame");
            format!("{channel} {}", Summary(&body))
        });
    }
    lines
}

fn sasl_line(frame: &sasl::Frame) -> String {
    match frame {
        sasl::Frame::Mechanisms(offer) => format!("sasl-mechanisms {}", offer.sasl_server_mechanisms.0.len()),
        sasl::Frame::Init(init) => format!("sasl-init {}", init.mechanism.as_str()),
        sasl::Frame::Outcome(outcome) => format!("sasl-outcome {:?}", outcome.code),
        _ => "sasl".into(),
    }
}

/// The bodies of the AMQP frames in `bytes`.
pub(super) fn bodies(mut bytes: BytesMut) -> Vec<FrameBody> {
    let mut bodies = Vec::new();
    while let Some(raw) = frame::take(&mut bytes, u32::MAX).expect("a frame") {
        bodies.push(raw.into_amqp().expect("an AMQP frame").1);
    }
    bodies
}

// ---- what the peer says -------------------------------------------------------------------------------------------

pub(super) fn sasl_frame(performative: &impl Serialize) -> BytesMut {
    let mut out = BytesMut::new();
    frame::put_sasl(&mut out, performative).expect("it fits");
    out
}

pub(super) fn mechanisms(names: &[&str]) -> BytesMut {
    let names = names.iter().map(|name| Symbol::from(*name)).collect();
    sasl_frame(&SaslMechanisms { sasl_server_mechanisms: Array(names) })
}

pub(super) fn sasl_outcome(code: SaslCode) -> BytesMut {
    sasl_frame(&SaslOutcome { code, additional_data: None })
}

/// A server's way to the open, in one piece.
pub(super) fn greeting() -> Vec<u8> {
    [&SASL_HEADER[..], &mechanisms(&["ANONYMOUS"]), &sasl_outcome(SaslCode::Ok), &AMQP_HEADER].concat()
}

/// A client's way to the open, in one piece.
pub(super) fn client_greeting() -> Vec<u8> {
    let init =
        fe2o3_amqp_types::sasl::SaslInit { mechanism: "ANONYMOUS".into(), initial_response: None, hostname: None };
    [&SASL_HEADER[..], &sasl_frame(&init), &AMQP_HEADER].concat()
}

pub(super) fn open(max_frame_size: u32) -> performatives::Open {
    performatives::Open {
        container_id: "peer".into(),
        hostname: None,
        max_frame_size: max_frame_size.into(),
        channel_max: u16::MAX.into(),
        idle_time_out: None,
        outgoing_locales: None,
        incoming_locales: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(super) fn begin(remote_channel: Option<u16>) -> performatives::Begin {
    performatives::Begin {
        remote_channel,
        next_outgoing_id: 0,
        incoming_window: 5_000,
        outgoing_window: 5_000,
        handle_max: Handle(u32::MAX),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

/// An attach of the peer, `role` being the peer's.
pub(super) fn attach(name: &str, handle: u32, role: WireRole) -> performatives::Attach {
    performatives::Attach {
        name: name.into(),
        handle: Handle(handle),
        initial_delivery_count: (role == WireRole::Sender).then_some(0),
        role,
        snd_settle_mode: Default::default(),
        rcv_settle_mode: Default::default(),
        source: Some(Box::new(Source::default())),
        target: Some(Box::new(TargetArchetype::Target(Target { address: Some("hub".into()), ..Target::default() }))),
        unsettled: None,
        incomplete_unsettled: false,
        max_message_size: Some(1_048_576),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(super) fn session_flow(next_incoming_id: u32, incoming_window: u32) -> performatives::Flow {
    performatives::Flow {
        next_incoming_id: Some(next_incoming_id),
        incoming_window,
        next_outgoing_id: 0,
        outgoing_window: 5_000,
        handle: None,
        delivery_count: None,
        link_credit: None,
        available: None,
        drain: false,
        echo: false,
        properties: None,
    }
}

/// A flow on the peer's `handle`; its window is out of the way.
pub(super) fn link_flow(handle: u32, delivery_count: Option<u32>, credit: u32) -> performatives::Flow {
    performatives::Flow {
        handle: Some(Handle(handle)),
        delivery_count,
        link_credit: Some(credit),
        ..session_flow(0, 1_000_000)
    }
}

pub(super) fn transfer(handle: u32, delivery_id: Option<u32>, more: bool) -> performatives::Transfer {
    performatives::Transfer {
        handle: Handle(handle),
        delivery_id,
        delivery_tag: delivery_id.map(|id| id.to_be_bytes().to_vec().into()),
        message_format: delivery_id.map(|_| 0),
        settled: None,
        more,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    }
}

pub(super) fn transfer_frame(channel: u16, handle: u32, delivery_id: Option<u32>, more: bool, payload: &[u8]) -> Bytes {
    encoded_transfer(channel, &transfer(handle, delivery_id, more), payload)
}

/// The peer's word, as receiver and settled, on our deliveries `first..=last`.
pub(super) fn disposition(first: u32, last: Option<u32>, state: Option<DeliveryState>) -> performatives::Disposition {
    performatives::Disposition { role: WireRole::Receiver, first, last, settled: true, state, batchable: false }
}

pub(super) fn accepted() -> Option<DeliveryState> {
    Some(DeliveryState::Accepted(Accepted {}))
}

pub(super) fn detach(handle: u32, closed: bool, error: Option<&str>) -> performatives::Detach {
    performatives::Detach { handle: Handle(handle), closed, error: error.map(wire_error) }
}

pub(super) fn end(error: Option<&str>) -> performatives::End {
    performatives::End { error: error.map(wire_error) }
}

pub(super) fn close(error: Option<&str>) -> performatives::Close {
    performatives::Close { error: error.map(wire_error) }
}

pub(super) fn wire_error(condition: &str) -> definitions::Error {
    definitions::Error::from(&PeerError::new(condition, "so it is"))
}

// ---- two engines --------------------------------------------------------------------------------------------------

/// A client and a server back to back; streams hand over `chunk` bytes at a time.
pub(super) struct Pair {
    pub(super) client: Script,
    pub(super) server: Script,
    pub(super) chunk: usize,
    /// What the server grants on each link that it accepts, and again when half of it is used.
    pub(super) credit: u32,
    pub(super) received: Vec<Delivery>,
    /// Bytes that the client wrote.
    pub(super) written: BytesMut,
    used: u32,
}

impl Pair {
    pub(super) fn new(client: Config, server: Config, chunk: usize, credit: u32) -> Self {
        let (client, server) = (Script::new(client), Script::new(server));
        Self { client, server, chunk, credit, received: Vec::new(), written: BytesMut::new(), used: 0 }
    }

    pub(super) fn link(&mut self) -> LinkId {
        let session = self.client.connection.begin().expect("a channel");
        let link = self.client.attach(session, "a");
        self.run();
        link
    }

    /// Carries bytes until both ends have nothing to say.
    pub(super) fn run(&mut self) {
        loop {
            self.client.connection.pump();
            self.server.connection.pump();
            let up = take_outbox(&mut self.client.connection, epoch(), self.chunk);
            let down = take_outbox(&mut self.server.connection, epoch(), self.chunk);
            if up.is_empty() && down.is_empty() {
                return;
            }
            self.written.extend_from_slice(&up);
            self.server.feed(&up);
            self.serve();
            self.client.feed(&down);
        }
    }

    /// Accepts every link and every delivery.
    fn serve(&mut self) {
        for event in std::mem::take(&mut self.server.events) {
            match event {
                Event::AttachRequest { link, .. } => {
                    self.server.connection.accept(link, &Accept::default());
                    self.server.connection.set_credit(link, self.credit);
                }
                Event::Delivery { link, delivery } => {
                    let (id, state) = (delivery.delivery_id, accepted().expect("a state"));
                    self.server.connection.settle(link.session, id, id, state);
                    self.received.push(delivery);
                    self.used += 1;
                    if self.used >= self.credit.div_ceil(2) {
                        self.used = 0;
                        self.server.connection.set_credit(link, self.credit);
                    }
                }
                _ => {}
            }
        }
    }
}
