//! What a peer says: frames that are well made, with fields that need not make sense.

use bytes::Bytes;
use fe2o3_amqp_types::definitions::{Error, Handle, Role};
use fe2o3_amqp_types::messaging::{
    Accepted, DeliveryState, Modified, Received, Rejected, Released, Source, Target, TargetArchetype,
};
use fe2o3_amqp_types::performatives::{Attach, Begin, Close, Detach, Disposition, End, Flow, Open, Transfer};
use fe2o3_amqp_types::primitives::{Array, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};

use super::input::Input;
use crate::wire::frame::{AMQP_HEADER, HEARTBEAT, PeerError, SASL_HEADER, encoded, encoded_transfer, put_sasl};

/// A peer's own channel and handles in [`greeting`] and after it: near enough to each other to be confused.
const CHANNELS: usize = 3;
const HANDLES: usize = 5;

/// The next thing that a peer says.
pub(super) fn next(input: &mut Input<'_>) -> Bytes {
    let channel = input.below(CHANNELS) as u16;
    match input.below(16) {
        0 => encoded(channel, &open(input)),
        1 | 2 => encoded(channel, &begin(input)),
        3 | 4 => encoded(channel, &attach(input)),
        5 | 6 => encoded(channel, &flow(input)),
        7..=9 => encoded_transfer(channel, &transfer(input), input.bytes()),
        10 => encoded(channel, &disposition(input)),
        11 => encoded(channel, &Detach { handle: handle(input), closed: input.is_chosen(), error: error(input) }),
        12 => encoded(channel, &End { error: error(input) }),
        13 => encoded(channel, &Close { error: error(input) }),
        14 => sasl(input),
        _ => Bytes::copy_from_slice([HEARTBEAT, AMQP_HEADER, SASL_HEADER][input.below(3)].as_slice()),
    }
}

/// All that a server, or a client, says until it is open; what its open says is chosen.
pub(super) fn greeting(is_server: bool, input: &mut Input<'_>) -> Vec<u8> {
    let steps =
        if is_server { [mechanisms("ANONYMOUS"), outcome(SaslCode::Ok)].concat() } else { init("ANONYMOUS").into() };
    let open = encoded(0, &open(input));
    [&SASL_HEADER[..], &steps, &AMQP_HEADER, &open].concat()
}

fn sasl(input: &mut Input<'_>) -> Bytes {
    let name = ["ANONYMOUS", "PLAIN", "x"][input.below(3)];
    match input.below(3) {
        0 => mechanisms(name),
        1 => init(name),
        _ => outcome([SaslCode::Ok, SaslCode::Auth, SaslCode::Sys][input.below(3)].clone()),
    }
}

fn mechanisms(name: &str) -> Bytes {
    sasl_frame(&SaslMechanisms { sasl_server_mechanisms: Array(vec![Symbol::from(name)]) })
}

fn init(name: &str) -> Bytes {
    sasl_frame(&SaslInit { mechanism: name.into(), initial_response: None, hostname: None })
}

fn outcome(code: SaslCode) -> Bytes {
    sasl_frame(&SaslOutcome { code, additional_data: None })
}

fn sasl_frame(performative: &impl serde_amqp::serde::Serialize) -> Bytes {
    let mut out = bytes::BytesMut::new();
    put_sasl(&mut out, performative).expect("it fits");
    out.freeze()
}

/// A session on channel 0, and in it two links, of handles 0 and 1 and of either direction. Those that a client has asked
/// for are answered in this way, and a server is asked for them: `remote_channel` tells which.
pub(super) fn session(remote_channel: Option<u16>) -> Vec<u8> {
    let nothing = &mut Input::new(&[]);
    let begin = Begin { remote_channel, incoming_window: 100, handle_max: Handle(3), ..begin(nothing) };
    let attach = |handle: u32, role: Role, nothing: &mut Input<'_>| Attach {
        name: ["a", "b"][handle as usize].into(),
        handle: Handle(handle),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        role,
        source: Some(Box::default()),
        target: Some(Box::new(TargetArchetype::Target(Target::default()))),
        ..attach(nothing)
    };
    let (to_peer, to_us) = (attach(0, Role::Receiver, nothing), attach(1, Role::Sender, nothing));
    [encoded(0, &begin), encoded(0, &to_peer), encoded(0, &to_us)].concat()
}

/// The peer takes so many deliveries on the link of handle 0.
pub(super) fn credit(credit: u32) -> Vec<u8> {
    let nothing = &mut Input::new(&[]);
    let flow = Flow { handle: Some(Handle(0)), link_credit: Some(credit), incoming_window: 100, ..flow(nothing) };
    encoded(0, &flow).into()
}

/// Without input: frames of 512 bytes, channel 0 alone.
fn open(input: &mut Input<'_>) -> Open {
    Open {
        container_id: "peer".into(),
        hostname: input.option(Input::text),
        max_frame_size: input.number().saturating_add(if input.below(16) == 15 { 0 } else { 512 }).into(),
        channel_max: (input.number() as u16).into(),
        idle_time_out: input.option(Input::number),
        outgoing_locales: None,
        incoming_locales: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

fn begin(input: &mut Input<'_>) -> Begin {
    Begin {
        remote_channel: input.option(|input| input.below(CHANNELS) as u16),
        next_outgoing_id: input.number(),
        incoming_window: input.number(),
        outgoing_window: input.number(),
        handle_max: Handle(input.number()),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

fn attach(input: &mut Input<'_>) -> Attach {
    let target = |input: &mut Input<'_>| {
        Box::new(TargetArchetype::Target(Target { address: input.option(Input::text), ..Target::default() }))
    };
    Attach {
        name: name(input).into(),
        handle: handle(input),
        role: role(input),
        snd_settle_mode: Default::default(),
        rcv_settle_mode: Default::default(),
        source: input.option(|input| Box::new(Source { address: input.option(Input::text), ..Source::default() })),
        target: input.option(target),
        unsettled: None,
        incomplete_unsettled: input.is_chosen(),
        initial_delivery_count: input.option(Input::number),
        max_message_size: input.option(|input| input.number().into()),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

/// The name of a link: both sides choose from the same few.
pub(super) fn name(input: &mut Input<'_>) -> &'static str {
    ["a", "b", "c"][input.below(3)]
}

fn handle(input: &mut Input<'_>) -> Handle {
    Handle(input.below(HANDLES) as u32)
}

fn role(input: &mut Input<'_>) -> Role {
    if input.is_chosen() { Role::Receiver } else { Role::Sender }
}

fn flow(input: &mut Input<'_>) -> Flow {
    Flow {
        next_incoming_id: input.option(Input::number),
        incoming_window: input.number(),
        next_outgoing_id: input.number(),
        outgoing_window: input.number(),
        handle: input.option(handle),
        delivery_count: input.option(Input::number),
        link_credit: input.option(Input::number),
        available: input.option(Input::number),
        drain: input.is_chosen(),
        echo: input.is_chosen(),
        properties: None,
    }
}

fn transfer(input: &mut Input<'_>) -> Transfer {
    let flags = input.byte();
    let delivery_id = input.option(Input::number);
    Transfer {
        handle: handle(input),
        delivery_id,
        delivery_tag: delivery_id.map(|id| id.to_be_bytes().to_vec().into()),
        message_format: input.option(Input::number),
        settled: (flags & 1 == 0).then_some(flags & 2 == 0),
        more: flags & 4 != 0,
        rcv_settle_mode: None,
        state: state(input),
        resume: flags & 8 != 0,
        aborted: flags & 0x30 == 0x30,
        batchable: false,
    }
}

fn disposition(input: &mut Input<'_>) -> Disposition {
    Disposition {
        role: role(input),
        first: input.number(),
        last: input.option(Input::number),
        settled: input.is_chosen(),
        state: state(input),
        batchable: false,
    }
}

fn state(input: &mut Input<'_>) -> Option<DeliveryState> {
    Some(match input.below(8) {
        0 => DeliveryState::Accepted(Accepted {}),
        1 => DeliveryState::Rejected(Rejected { error: error(input) }),
        2 => DeliveryState::Released(Released {}),
        3 => DeliveryState::Modified(Modified {
            delivery_failed: None,
            undeliverable_here: None,
            message_annotations: None,
        }),
        4 => DeliveryState::Received(Received { section_number: 0, section_offset: 0 }),
        _ => return None,
    })
}

fn error(input: &mut Input<'_>) -> Option<Error> {
    input.option(|input| Error::from(&PeerError::new("amqp:internal-error", input.text())))
}
