//! SASL, open, begin, attach and put-token: refused, or later.

use std::time::{Duration, Instant};

use super::session::{Link, name_of};
use super::{End, Interference, Side};
use crate::cli::proxy::frame::Frame;
use crate::emulator::{Stage, Trouble};
use crate::wire::descriptors::codes as code;
use crate::wire::event::Event;
use crate::wire::value::Value;

/// Places of an attach's fields. Source: AMQP 1.0 part 2, 2.7.3.
const SOURCE: usize = 5;
const TARGET: usize = 6;

impl Interference {
    /// How long a frame has to wait. What its side says behind it waits with it: order is what AMQP lives by.
    pub(super) fn delay(&mut self, from: Side, frame: &Frame, now: Instant) -> Option<Duration> {
        match (from, frame.code) {
            (Side::Hub, code::SASL_OUTCOME) => self.trouble.delay(now, Stage::Sasl),
            (Side::Hub, code::OPEN) => self.trouble.delay(now, Stage::Open),
            (Side::Hub, code::BEGIN) => self.trouble.delay(now, Stage::Begin),
            (Side::Hub, code::ATTACH) => {
                let path = self.answered(frame)?;
                self.trouble.attach_delay(now, &path)
            }
            (Side::Client, code::TRANSFER) => {
                let message = self.put_token(frame)?;
                self.trouble.token_delay(now, audience(&message))
            }
            _ => None,
        }
    }

    pub(super) fn on_sasl_outcome(&mut self, mut frame: Frame, now: Instant) {
        if let Some(refused) = self.trouble.sasl_refusal(now) {
            frame.set(0, refused);
            self.end = End::Over;
        }
        self.tell_frame(Side::Client, frame);
    }

    pub(super) fn on_open(&mut self, from: Side, frame: Frame, now: Instant) {
        self.tell_frame(from.other(), frame);
        if let Some(error) = (from == Side::Hub).then(|| self.trouble.refusal(now, Stage::Open)).flatten() {
            self.close(&error, now);
        }
    }

    /// What the link leads to that the namespace answers for.
    fn answered(&mut self, attach: &Frame) -> Option<String> {
        let name = name_of(attach);
        let session = self.session(Side::Hub, attach)?;
        // The namespace says what it is itself: if it sends, the client receives.
        let is_clients = attach.is(2);
        let mut links = session.links.values();
        links.find(|link| is_half(link, &name, is_clients)).map(|link| link.path.clone())
    }

    pub(super) fn on_attach(&mut self, from: Side, frame: Frame, now: Instant) {
        match from {
            Side::Client => {
                self.attach(&frame);
                self.tell_frame(Side::Hub, frame);
            }
            Side::Hub => self.answer_attach(frame, now),
        }
    }

    fn attach(&mut self, frame: &Frame) {
        let is_clients = !frame.is(2);
        let address = frame.address(if is_clients { TARGET } else { SOURCE }).unwrap_or_default();
        let link = Link::of_attach(frame, is_clients, Trouble::path_of(&address).to_owned());
        let handle = frame.number(1);
        if let (Some(session), Some(handle)) = (self.session(Side::Client, frame), handle) {
            session.links.insert(handle, link);
        }
    }

    fn answer_attach(&mut self, mut frame: Frame, now: Instant) {
        let (name, is_clients, hub_handle) = (name_of(&frame), frame.is(2), frame.number(1));
        let channel = self.channel(Side::Hub, &frame);
        let found = channel.and_then(|channel| self.sessions.get_mut(&channel)).zip(hub_handle).and_then(
            |(session, hub_handle)| {
                let mut links = session.links.iter_mut();
                let (handle, link) = links.find(|(_, link)| is_half(link, &name, is_clients))?;
                link.hub_handle = Some(hub_handle);
                session.by_hub.insert(hub_handle, *handle);
                Some((*handle, link.path.clone()))
            },
        );
        let refusal = found.as_ref().and_then(|(_, path)| self.trouble.attach_refusal(now, path));
        if refusal.is_some() {
            // An attach without what was asked for is a no, and the detach behind it says why.
            frame.set(if is_clients { TARGET } else { SOURCE }, Value::Null);
        }
        self.tell_frame(Side::Client, frame);
        if let (Some(error), Some(channel), Some((handle, _))) = (refusal, channel, found) {
            self.detach_link(channel, handle, &error);
        }
    }

    /// The token that a transfer of the client's puts, if it does and is all of it.
    fn put_token(&mut self, frame: &Frame) -> Option<Event> {
        let handle = frame.number(0)?;
        let (_, link) = self.session(Side::Client, frame)?.link_mut(Side::Client, handle)?;
        let is_whole = link.current.is_none() && !frame.is(5) && !frame.is(9);
        let is_put = is_whole && link.is_clients && link.path.eq_ignore_ascii_case("$cbs");
        is_put.then(|| Event::decode(&frame.payload).ok()).flatten()
    }

    /// A token that is to be refused: the namespace takes it, and what it answers is changed.
    pub(super) fn look_at_token(&mut self, frame: &Frame, now: Instant) {
        let Some(message) = self.put_token(frame) else { return };
        let id = message.properties().and_then(|properties| properties.message_id.clone());
        let refusal = self.trouble.token_refusal(now, audience(&message));
        if let Some(session) = self.session(Side::Client, frame)
            && let Some(refusal) = refusal
        {
            session.refused.push((id, refusal));
        }
    }

    /// Changes the answer of the namespace's for a token that is to be refused.
    pub(super) fn change_answer(&mut self, frame: &mut Frame) {
        let Some(handle) = frame.number(0) else { return };
        let Some(session) = self.session(Side::Hub, frame).filter(|session| !session.refused.is_empty()) else {
            return;
        };
        let is_answers =
            session.link_mut(Side::Hub, handle).is_some_and(|(_, link)| link.path.eq_ignore_ascii_case("$cbs"));
        let Ok(answer) = Event::decode(&frame.payload) else { return };
        let to = answer.properties().and_then(|properties| properties.correlation_id.clone());
        let place = session.refused.iter().position(|(id, _)| to.is_none() || *id == to).filter(|_| is_answers);
        let Some((_, (status, text))) = place.map(|place| session.refused.remove(place)) else { return };
        let answer = answer.with_property("status-code", status).with_property("status-description", text);
        if let Ok(payload) = answer.encode() {
            frame.set_payload(payload);
        }
    }
}

fn is_half(link: &Link, name: &str, is_clients: bool) -> bool {
    link.hub_handle.is_none() && link.is_clients == is_clients && link.name == name
}

/// What a token is for.
fn audience(message: &Event) -> &str {
    message.property("name").and_then(Value::as_str).unwrap_or_default()
}
