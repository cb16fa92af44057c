//! Packets -> segments of TCP. Source of the link types: <https://www.tcpdump.org/linktypes.html>.

use std::net::SocketAddr;

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// What a packet holds.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Segment(Segment<'a>),
    /// A part of an IP packet.
    Fragment,
    /// Anything else.
    Nothing,
    /// Packets of a kind of link that is not known.
    UnknownLink,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence_number: u32,
    /// SYN: the first of a client.
    pub(super) opens: bool,
    /// SYN with ACK: the first of a server.
    pub(super) accepts: bool,
    pub(super) payload: &'a [u8],
}

pub(super) fn segment(link_type: u32, data: &[u8]) -> Found<'_> {
    let sliced = match link_type {
        // BSD's loopback, in either byte order: the family of addresses first. What it is, IP says as well.
        0 | 108 => data.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok()),
        1 => LaxSlicedPacket::from_ethernet(data).ok(),
        12 | 14 | 101 | 228 | 229 => LaxSlicedPacket::from_ip(data).ok(),
        113 => cooked(data, 14, 16),
        276 => cooked(data, 0, 20),
        _ => return Found::UnknownLink,
    };
    sliced.map_or(Found::Nothing, |packet| of_packet(&packet))
}

/// Linux' `any` interface: the protocol stands at `protocol_at`, the packet at `start`.
fn cooked(data: &[u8], protocol_at: usize, start: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = data.get(protocol_at..)?.first_chunk()?;
    Some(LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(*protocol)), data.get(start..)?))
}

fn of_packet<'a>(packet: &LaxSlicedPacket<'a>) -> Found<'a> {
    let (source, destination, is_fragment) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into(), ip.is_payload_fragmented())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into(), ip.is_payload_fragmented())
        }
        _ => return Found::Nothing,
    };
    match &packet.transport {
        _ if is_fragment => Found::Fragment,
        Some(TransportSlice::Tcp(tcp)) => Found::Segment(Segment {
            source: SocketAddr::new(source, tcp.source_port()),
            destination: SocketAddr::new(destination, tcp.destination_port()),
            sequence_number: tcp.sequence_number(),
            opens: tcp.syn() && !tcp.ack(),
            accepts: tcp.syn() && tcp.ack(),
            payload: tcp.payload(),
        }),
        _ => Found::Nothing,
    }
}
