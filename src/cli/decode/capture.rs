//! Captures of packets -> connections -> streams.

mod connection;
mod container;
mod packet;
mod reassembly;

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::time::SystemTime;

use super::super::failure::Failure;
use super::super::output;
use super::{Printer, unreadable};
use crate::wire::dissect::Secrets;
use connection::{Connection, Half};
use container::Packets;
use packet::Segment;

/// Connections that are followed at a time; beyond, the one that was heard of longest ago is given up.
const MAX_CONNECTIONS: usize = 1_024;

/// Decodes every connection that speaks AMQP; tells of those that may, and cannot be read.
pub(super) fn decode(input: impl Read, secrets: Secrets, printer: &mut Printer) -> Result<(), Failure> {
    let mut packets = Packets::new(input).map_err(unreadable)?;
    let mut connections = Connections::new(secrets);
    while let Some(packet) = packets.next().map_err(unreadable)? {
        match packet::segment(packet.link_type, &packet.data) {
            packet::Found::Segment(segment) => connections.take(&segment, packet.time, printer)?,
            packet::Found::Fragment => connections.fragments += 1,
            packet::Found::UnknownLink => return Err(unknown_link(packet.link_type)),
            packet::Found::Nothing => {}
        }
        connections.cut_short += u64::from(packet.is_cut_short);
    }
    if packets.is_cut_short() {
        output::warn("the capture ends in the middle of a packet");
    }
    connections.finish(printer)
}

fn unknown_link(link_type: u32) -> Failure {
    Failure::input(format!(
        "packets of link type {link_type} cannot be taken apart; capture on Ethernet, loopback, `any` or a raw IP \
         interface, or export the TCP stream as raw bytes"
    ))
}

/// The connections of a capture, by the addresses of their ends, the smaller first.
struct Connections {
    open: HashMap<[SocketAddr; 2], Connection>,
    secrets: Secrets,
    /// How many there were.
    count: u64,
    /// How many of them spoke AMQP.
    decoded: u64,
    /// How many could not be read, and why the last of them.
    refused: (u64, &'static str),
    fragments: u64,
    cut_short: u64,
    /// Segments seen, as a clock.
    now: u64,
}

impl Connections {
    fn new(secrets: Secrets) -> Self {
        let open = HashMap::new();
        Self { open, secrets, count: 0, decoded: 0, refused: (0, ""), fragments: 0, cut_short: 0, now: 0 }
    }

    fn take(&mut self, segment: &Segment<'_>, time: Option<SystemTime>, printer: &mut Printer) -> Result<(), Failure> {
        let mut ends = [segment.source, segment.destination];
        ends.sort_unstable();
        self.now += 1;
        // The same ports again, for another connection.
        if segment.opens && self.open.get(&ends).is_some_and(|it| it.has_spoken()) {
            self.close(ends, printer)?;
        }
        if !self.open.contains_key(&ends) {
            self.make_room(printer)?;
            self.count += 1;
            self.open.insert(ends, Connection::new(self.count, segment, self.secrets));
        }
        match self.open.get_mut(&ends) {
            Some(connection) => connection.take(segment, time, self.now, printer),
            None => Ok(()),
        }
    }

    fn make_room(&mut self, printer: &mut Printer) -> Result<(), Failure> {
        if self.open.len() < MAX_CONNECTIONS {
            return Ok(());
        }
        match self.open.iter().min_by_key(|(_, connection)| connection.last_heard).map(|(ends, _)| *ends) {
            Some(oldest) => self.close(oldest, printer),
            None => Ok(()),
        }
    }

    fn close(&mut self, ends: [SocketAddr; 2], printer: &mut Printer) -> Result<(), Failure> {
        let Some(mut connection) = self.open.remove(&ends) else { return Ok(()) };
        connection.end(printer)?;
        if connection.halves().any(Half::is_amqp) {
            self.decoded += 1;
        } else if let Some(why) = connection.halves().find_map(Half::refused) {
            self.refused = (self.refused.0 + 1, why);
        }
        Ok(())
    }

    /// Ends what is open, and tells what was not decoded.
    fn finish(mut self, printer: &mut Printer) -> Result<(), Failure> {
        let mut open: Vec<_> = self.open.iter().map(|(ends, connection)| (connection.number, *ends)).collect();
        open.sort_unstable_by_key(|(number, _)| *number);
        for (_, ends) in open {
            self.close(ends, printer)?;
        }
        let (refused, why) = self.refused;
        match (self.count, self.decoded, refused) {
            (0, ..) => {
                return Err(Failure::input("no TCP in the capture; capture the port that the client connects to"));
            }
            (count, 0, 0) => {
                return Err(Failure::input(format!(
                    "no AMQP in the capture: its TCP connections, {count}, speak something else"
                )));
            }
            (_, 0, _) => return Err(Failure::input(format!("the capture is of {why}"))),
            (.., 0) => {}
            _ => output::warn(format_args!("connections that are not decoded: {refused}; {why}")),
        }
        self.warn_of_losses();
        Ok(())
    }

    fn warn_of_losses(&self) {
        if self.cut_short > 0 {
            output::warn(format_args!(
                "packets that were captured in part: {}; capture with a larger snap length",
                self.cut_short
            ));
        }
        if self.fragments > 0 {
            output::warn(format_args!("IP fragments, which are not put together: {}", self.fragments));
        }
    }
}
