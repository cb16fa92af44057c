//! One connection of a capture: its two streams, as far as they are AMQP.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::super::super::failure::Failure;
use super::super::Printer;
use super::super::form;
use super::super::stream::Stream;
use super::super::unit::{Origin, Side, Time};
use super::packet::Segment;
use super::reassembly::{Piece, Reassembly};
use crate::wire::dissect::{self, Secrets};

/// The ports of AMQP, with and without TLS.
const PORTS: [u16; 2] = [5671, 5672];
/// Bytes that tell whether a stream that was captured from its middle on is AMQP.
const LEAD_LEN: usize = 12;

pub(super) struct Connection {
    /// In the order they were seen, from 1.
    pub(super) number: u64,
    client: SocketAddr,
    server: SocketAddr,
    to_server: Half,
    to_client: Half,
    pub(super) last_heard: u64,
}

impl Connection {
    pub(super) fn new(number: u64, first: &Segment<'_>, secrets: Secrets) -> Self {
        let is_from_client = if first.opens || first.accepts {
            first.opens
        } else if PORTS.contains(&first.source.port()) != PORTS.contains(&first.destination.port()) {
            PORTS.contains(&first.destination.port())
        } else {
            first.source.port() >= first.destination.port()
        };
        let ends = (first.source, first.destination);
        let (client, server) = if is_from_client { ends } else { (ends.1, ends.0) };
        let half = || Half::new(secrets, PORTS.contains(&server.port()));
        Self { number, client, server, to_server: half(), to_client: half(), last_heard: 0 }
    }

    pub(super) fn take(
        &mut self,
        segment: &Segment<'_>,
        time: Option<SystemTime>,
        now: u64,
        printer: &mut Printer,
    ) -> Result<(), Failure> {
        self.last_heard = now;
        let side = if segment.source == self.client { Side::Client } else { Side::Server };
        let origin = self.origin(side, time);
        let mut pieces = Vec::new();
        let half = self.half(side);
        half.reassembly.push(segment, &mut pieces);
        pieces.into_iter().try_for_each(|piece| half.piece(piece, &origin, printer))
    }

    pub(super) fn end(&mut self, printer: &mut Printer) -> Result<(), Failure> {
        for side in [Side::Client, Side::Server] {
            let origin = self.origin(side, None);
            self.half(side).end(&origin, printer)?;
        }
        Ok(())
    }

    pub(super) fn has_spoken(&self) -> bool {
        self.halves().any(|half| !half.lead.is_empty() || half.speech != Speech::Unknown)
    }

    pub(super) fn halves(&self) -> impl Iterator<Item = &Half> {
        [&self.to_server, &self.to_client].into_iter()
    }

    fn half(&mut self, from: Side) -> &mut Half {
        match from {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        }
    }

    fn origin(&self, from: Side, time: Option<SystemTime>) -> Origin {
        let peers = Some([self.client.to_string(), self.server.to_string()]);
        Origin { connection: Some(self.number), from: Some(from), peers, time: time.map(Time::At) }
    }
}

/// One direction.
pub(super) struct Half {
    reassembly: Reassembly,
    stream: Stream,
    speech: Speech,
    /// The first bytes, until they tell what is spoken.
    lead: Vec<u8>,
    has_amqp_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Unknown,
    Amqp,
    /// What cannot be read, and what to do.
    Refused(&'static str),
    Other,
}

impl Half {
    fn new(secrets: Secrets, has_amqp_port: bool) -> Self {
        let (reassembly, stream) = (Reassembly::default(), Stream::new(secrets));
        Self { reassembly, stream, speech: Speech::Unknown, lead: Vec::new(), has_amqp_port }
    }

    pub(super) fn is_amqp(&self) -> bool {
        self.speech == Speech::Amqp
    }

    pub(super) fn refused(&self) -> Option<&'static str> {
        match self.speech {
            Speech::Refused(why) => Some(why),
            _ => None,
        }
    }

    fn piece(&mut self, piece: Piece, origin: &Origin, printer: &mut Printer) -> Result<(), Failure> {
        match (self.speech, piece) {
            (Speech::Amqp, Piece::Bytes(bytes)) => self.stream.push(&bytes, &mut |unit| printer.unit(&unit, origin)),
            (Speech::Amqp, Piece::Gap(len)) => self.stream.gap(len, &mut |unit| printer.unit(&unit, origin)),
            (Speech::Unknown, Piece::Bytes(bytes)) => {
                self.lead.extend_from_slice(&bytes);
                self.listen(LEAD_LEN, origin, printer)
            }
            _ => Ok(()),
        }
    }

    /// Finds out what is spoken, if so many bytes are there.
    fn listen(&mut self, enough: usize, origin: &Origin, printer: &mut Printer) -> Result<(), Failure> {
        let lead = &self.lead[..];
        self.speech = if lead.len() >= 8 && lead.starts_with(b"AMQP") || dissect::is_start(lead) {
            Speech::Amqp
        } else if let Some(why) = form::other_protocol(lead) {
            Speech::Refused(why)
        } else if lead.len() < enough {
            return Ok(());
        } else if self.has_amqp_port {
            self.stream.look_for_start();
            Speech::Amqp
        } else {
            Speech::Other
        };
        let lead = std::mem::take(&mut self.lead);
        self.piece(Piece::Bytes(lead), origin, printer)
    }

    fn end(&mut self, origin: &Origin, printer: &mut Printer) -> Result<(), Failure> {
        let mut pieces = Vec::new();
        self.reassembly.end(&mut pieces);
        pieces.into_iter().try_for_each(|piece| self.piece(piece, origin, printer))?;
        if self.speech == Speech::Unknown && !self.lead.is_empty() {
            self.listen(0, origin, printer)?;
        }
        if self.speech == Speech::Amqp {
            self.stream.end(&mut |unit| printer.unit(&unit, origin))?;
        }
        Ok(())
    }
}
