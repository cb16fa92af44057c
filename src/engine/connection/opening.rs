//! From the first byte to the open: protocol headers, SASL, the opens of both sides.
//! Source: AMQP 1.0 part 2, 2.2 and 2.4; part 5, 5.3.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use fe2o3_amqp::frames::sasl;
use fe2o3_amqp_types::definitions::Fields;
use fe2o3_amqp_types::performatives::Open;
use fe2o3_amqp_types::primitives::{Array, Binary, Symbol, Value};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde_amqp::serde::Serialize;
use zeroize::Zeroize;

use super::{
    CHANNEL_MAX, CloseCause, Connection, Event, Login, MAX_FRAME_SIZE_OUT, PeerOpen, Phase, Role, Step, Waiting,
};
use crate::wire::frame::{AMQP_HEADER, MIN_MAX_FRAME_SIZE, SASL_HEADER};

impl Connection {
    /// Fewer than eight bytes that can no longer become a header: do not wait for the rest.
    pub(super) fn refuse_early_garbage(&mut self, buffer: &mut BytesMut) -> bool {
        let hopeless = !AMQP_HEADER.starts_with(&buffer[..buffer.len().min(4)]);
        if hopeless {
            let mut header = [0; 8];
            header[..buffer.len()].copy_from_slice(buffer);
            self.on_header(header);
        }
        hopeless
    }

    pub(super) fn on_header(&mut self, header: [u8; 8]) {
        match (self.phase, self.config.role) {
            (Phase::SaslHeader, Role::Client) if header == SASL_HEADER => self.phase = Phase::SaslStart,
            (Phase::SaslHeader, Role::Server) if header == SASL_HEADER => {
                self.shared.out.put_slice(&SASL_HEADER);
                self.put_sasl(&offered_mechanisms());
                self.phase = Phase::SaslStart;
            }
            (Phase::AmqpHeader, Role::Client) if header == AMQP_HEADER => self.phase = Phase::Open,
            (Phase::AmqpHeader, Role::Server) if header == AMQP_HEADER => {
                self.shared.out.put_slice(&AMQP_HEADER);
                self.phase = Phase::Open;
            }
            (_, role) => {
                if role == Role::Server {
                    // Source: AMQP 1.0 part 2, 2.2: answer with what is spoken here, then close.
                    let spoken = if self.phase == Phase::SaslHeader { SASL_HEADER } else { AMQP_HEADER };
                    self.shared.out.put_slice(&spoken);
                }
                self.closed(CloseCause::NotAmqp(header));
            }
        }
    }

    fn put_sasl(&mut self, performative: &impl Serialize) {
        let fits = self.shared.out.put_sasl(performative);
        debug_assert!(fits.is_ok(), "{fits:?}");
    }

    pub(super) fn on_sasl(&mut self, frame: sasl::Frame) {
        match (self.phase, self.config.role, frame) {
            (Phase::SaslStart, Role::Client, sasl::Frame::Mechanisms(offer)) => self.choose_mechanism(&offer),
            (Phase::SaslOutcome, Role::Client, sasl::Frame::Outcome(outcome)) => self.on_sasl_outcome(outcome.code),
            (Phase::SaslStart, Role::Server, sasl::Frame::Init(init)) => self.on_sasl_init(&init),
            _ => self.violation("amqp:connection:framing-error", "a SASL frame out of turn".into()),
        }
    }

    fn choose_mechanism(&mut self, offer: &SaslMechanisms) {
        let offered = &offer.sasl_server_mechanisms.0;
        let wanted = self.config.sasl.mechanism();
        if !offered.iter().any(|mechanism| mechanism.as_str() == wanted) {
            let offered = offered.iter().map(|mechanism| mechanism.as_str().to_owned()).collect();
            return self.closed(CloseCause::NoMechanism { wanted, offered });
        }
        if !self.config.is_optimistic {
            self.put_sasl_init();
        }
        self.phase = Phase::SaslOutcome;
    }

    /// After ANONYMOUS the hub asks for a token, over the `$cbs` links; after PLAIN it does not. Source: event-hubs-wire 4.1.
    pub(super) fn put_sasl_init(&mut self) {
        let init = SaslInit {
            mechanism: self.config.sasl.mechanism().into(),
            initial_response: Some(Binary::from(self.config.sasl.initial_response())),
            hostname: self.config.hostname.clone(),
        };
        self.put_sasl(&init);
        // It may hold a key. What is on its way to the stream is wiped by nobody.
        init.initial_response.map(Binary::into_vec).zeroize();
    }

    fn on_sasl_outcome(&mut self, code: SaslCode) {
        if code != SaslCode::Ok {
            return self.closed(CloseCause::SaslRefused(code as u8));
        }
        if !self.config.is_optimistic {
            self.put_greeting();
        }
        self.enter(Phase::AmqpHeader);
    }

    /// Header, open, and all that was asked for so far leave in one write. Source: sdk-handshakes, order of things.
    pub(super) fn put_greeting(&mut self) {
        self.shared.out.put_slice(&AMQP_HEADER);
        self.put_open();
        if let Some(mut held) = self.shared.held.take() {
            self.shared.out.append(&mut held);
        }
    }

    fn on_sasl_init(&mut self, init: &SaslInit) {
        let mechanism = init.mechanism.as_str();
        let response = init.initial_response.as_ref().filter(|_| mechanism == "PLAIN");
        let login = response.and_then(|response| Login::of_initial_response(response));
        if !MECHANISMS.contains(&mechanism) || (mechanism == "PLAIN" && login.is_none()) {
            self.end_sasl(SaslCode::Auth);
            self.closed(CloseCause::SaslRefused(SaslCode::Auth as u8));
        } else if self.asks {
            self.wait_with(Step::Sasl, Waiting::Sasl(login));
        } else {
            self.end_sasl(SaslCode::Ok);
        }
    }

    pub(super) fn end_sasl(&mut self, code: SaslCode) {
        self.put_sasl(&SaslOutcome { code, additional_data: None });
        self.phase = Phase::AmqpHeader;
    }

    /// Our open, in a frame that the peer must take: properties go overboard first.
    fn put_open(&mut self) {
        let mut open = self.open();
        if self.shared.out.put_amqp(0, &open, MIN_MAX_FRAME_SIZE).is_err() {
            open.properties = None;
            if let Err(error) = self.shared.out.put_amqp(0, &open, MIN_MAX_FRAME_SIZE) {
                self.closed(CloseCause::OpenTooLong(error));
            }
        }
    }

    /// Goes on to `phase`, unless the connection has ended meanwhile.
    pub(super) fn enter(&mut self, phase: Phase) {
        if self.phase != Phase::Closed {
            self.phase = phase;
        }
    }

    fn open(&self) -> Open {
        let properties: Fields =
            self.config.properties.iter().map(|(key, value)| (Symbol::from(*key), value.clone().into())).collect();
        let announced = self.config.idle_timeout.map(|timeout| (timeout / 2).as_millis().try_into());
        Open {
            container_id: self.config.container_id.clone(),
            hostname: self.config.hostname.clone(),
            max_frame_size: self.config.max_frame_size.into(),
            channel_max: CHANNEL_MAX.into(),
            idle_time_out: announced.map(|millis: Result<u32, _>| millis.unwrap_or(u32::MAX)),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: (!properties.is_empty()).then_some(properties),
        }
    }

    pub(super) fn on_open(&mut self, now: Instant, open: &Open) {
        let max_frame_size = open.max_frame_size.0;
        if (max_frame_size as usize) < MIN_MAX_FRAME_SIZE {
            let text = format!("max-frame-size {max_frame_size}: the least is {MIN_MAX_FRAME_SIZE}");
            return self.violation("amqp:invalid-field", text);
        }
        self.shared.max_frame_size = max_frame_size.min(MAX_FRAME_SIZE_OUT) as usize;
        self.peer = Some(PeerOpen::of(open));
        self.peer_channel_max = open.channel_max.0.min(CHANNEL_MAX);
        self.heartbeat_every = heartbeat_interval(open.idle_time_out);
        self.last_written = now;
        if self.config.role == Role::Server {
            self.put_open();
        }
        if self.phase == Phase::Open {
            self.phase = Phase::Opened;
            self.shared.events.push_back(Event::Opened);
        }
    }
}

impl PeerOpen {
    fn of(open: &Open) -> Self {
        let property = |name: &str| {
            let value = open.properties.as_ref()?.iter().find(|(key, _)| key.as_str() == name)?.1;
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Symbol(text) => Some(text.as_str().to_owned()),
                _ => None,
            }
        };
        Self {
            container_id: open.container_id.clone(),
            product: property("product"),
            version: property("version"),
            user_agent: property("user-agent"),
        }
    }
}

/// What the service offers. Source: event-hubs-wire 4.1.
const MECHANISMS: [&str; 4] = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];

fn offered_mechanisms() -> SaslMechanisms {
    SaslMechanisms { sasl_server_mechanisms: Array(MECHANISMS.map(Symbol::from).to_vec()) }
}

/// Half of the peer's idle time-out, and never busier than ten times a second.
/// Source: AMQP 1.0 part 2, 2.4.5.
fn heartbeat_interval(idle_time_out_millis: Option<u32>) -> Option<Duration> {
    let millis = idle_time_out_millis.filter(|&millis| millis > 0)?;
    Some(Duration::from_millis(u64::from(millis) / 2).max(Duration::from_millis(100)))
}
