//! Captures made by hand: a conversation as packets of TCP, in any container, byte order and kind of link.

/// Who says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Server,
}

/// What packets are wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Null,
    Ethernet,
    Vlan,
    Raw,
    Cooked,
    Cooked2,
}

impl Link {
    pub(crate) const ALL: [Self; 6] = [Self::Null, Self::Ethernet, Self::Vlan, Self::Raw, Self::Cooked, Self::Cooked2];

    fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet | Self::Vlan => 1,
            Self::Raw => 101,
            Self::Cooked => 113,
            Self::Cooked2 => 276,
        }
    }

    fn wrap(self, ip: &[u8]) -> Vec<u8> {
        let is_v4 = ip[0] >> 4 == 4;
        let protocol: &[u8] = if is_v4 { &[0x08, 0x00] } else { &[0x86, 0xdd] };
        let head = match self {
            Self::Null => vec![if is_v4 { 2 } else { 30 }, 0, 0, 0],
            Self::Ethernet => [&[2; 12], protocol].concat(),
            Self::Vlan => [&[2; 12], &[0x81, 0x00, 0x00, 0x07][..], protocol].concat(),
            Self::Raw => Vec::new(),
            Self::Cooked => [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], protocol].concat(),
            Self::Cooked2 => [protocol, &[0; 18]].concat(),
        };
        [&head, ip].concat()
    }
}

/// A conversation between port 50000 and port 5672 of a machine, as IP packets in the order they were sent.
pub(crate) struct Conversation {
    pub(crate) packets: Vec<Vec<u8>>,
    is_v6: bool,
    server_port: u16,
    next: [u32; 2],
}

impl Conversation {
    pub(crate) fn new(is_v6: bool) -> Self {
        Self::with_port(is_v6, 5672)
    }

    pub(crate) fn with_port(is_v6: bool, server_port: u16) -> Self {
        // The client's numbers wrap early on.
        let mut conversation = Self { packets: Vec::new(), is_v6, server_port, next: [u32::MAX - 20, 7_000] };
        conversation.send(From::Client, 0x02, &[]);
        conversation.send(From::Server, 0x12, &[]);
        conversation
    }

    /// Says `bytes`, in segments of `segment_len`.
    pub(crate) fn say(&mut self, from: From, bytes: &[u8], segment_len: usize) {
        bytes.chunks(segment_len).for_each(|segment| self.send(from, 0x18, segment));
    }

    fn send(&mut self, from: From, flags: u8, payload: &[u8]) {
        let index = usize::from(from == From::Server);
        let (client, server) = (50_000_u16.to_be_bytes(), self.server_port.to_be_bytes());
        let ports = if from == From::Client { [client, server] } else { [server, client] };
        let mut tcp = ports.concat();
        tcp.extend_from_slice(&self.next[index].to_be_bytes());
        tcp.extend_from_slice(&self.next[1 - index].to_be_bytes());
        tcp.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(payload);
        let syn = u32::from(flags & 0x02 != 0);
        self.next[index] = self.next[index].wrapping_add(payload.len() as u32 + syn);
        self.packets.push(self.ip(from, &tcp));
    }

    fn ip(&self, from: From, tcp: &[u8]) -> Vec<u8> {
        let (source, destination) = if from == From::Client { (1, 2) } else { (2, 1) };
        let (mut head, address): (Vec<u8>, &[u8]) = if self.is_v6 {
            let len = (tcp.len() as u16).to_be_bytes();
            (vec![0x60, 0, 0, 0, len[0], len[1], 6, 64], &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        } else {
            let len = (20 + tcp.len() as u16).to_be_bytes();
            (vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, 6, 0, 0], &[10, 0, 0])
        };
        for last in [source, destination] {
            head.extend_from_slice(address);
            head.push(last);
        }
        [&head, tcp].concat()
    }

    pub(crate) fn pcap(&self, link: Link, is_big_endian: bool, has_nanos: bool) -> Vec<u8> {
        let n32 = |number: u32| if is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let magic = if has_nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        // Version 2.4, as two shorts.
        let version = if is_big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        let mut out = [n32(magic), version, n32(0), n32(0), n32(65_535), n32(link.number().into())].concat();
        for (index, packet) in self.packets.iter().map(|packet| link.wrap(packet)).enumerate() {
            let ticks = if has_nanos { 1_000_000 } else { 1_000 } * index as u32;
            let len = n32(packet.len() as u32);
            out.extend([n32(1_700_000_000), n32(ticks), len, len].concat());
            out.extend(packet);
        }
        out
    }

    /// In sections of their own: first packets with times, then as simple ones.
    pub(crate) fn pcapng(&self, link: Link, is_big_endian: bool) -> Vec<u8> {
        let (first, second) = self.packets.split_at(self.packets.len() / 2);
        let mut out = section(link, is_big_endian, first, true);
        out.extend(section(link, !is_big_endian, second, false));
        out
    }
}

fn section(link: Link, is_big_endian: bool, packets: &[Vec<u8>], has_times: bool) -> Vec<u8> {
    let n32 = |number: u32| if is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let n16 = |number: u16| if is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let len = n32(body.len() as u32 + 12);
        [&n32(kind)[..], &len, &body, &len].concat()
    };
    let header = [&n32(0x1a2b_3c4d)[..], &n16(1), &n16(0), &[0xff; 8]].concat();
    // Times in milliseconds.
    let resolution = [&n16(9)[..], &n16(1), &[3, 0, 0, 0], &n32(0)].concat();
    let interface = [&n16(link.number())[..], &n16(0), &n32(0), &resolution].concat();
    let mut out = [block(0x0a0d_0d0a, header), block(1, interface)].concat();
    // A block that nobody knows is passed over.
    out.extend(block(0x0000_0bad, vec![1, 2, 3]));
    for (index, packet) in packets.iter().map(|packet| link.wrap(packet)).enumerate() {
        let len = n32(packet.len() as u32);
        let millis = 1_700_000_000_000_u64 + index as u64;
        let times = [n32(0), n32((millis >> 32) as u32), n32(millis as u32), len, len].concat();
        out.extend(if has_times {
            block(6, [times, packet].concat())
        } else {
            block(3, [len.to_vec(), packet].concat())
        });
    }
    out
}
