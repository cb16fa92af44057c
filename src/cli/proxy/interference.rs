//! What a client and a namespace say to each other, frame by frame, with faults in between: frames that are swallowed,
//! changed, held back, and frames of our own. Both sides keep numbers that are right for what each has seen.
//! Pure; the time is an argument.

mod blows;
mod deliveries;
mod order;
mod session;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::frame::Frame;
use super::rewriting::Unreadable;
use crate::emulator::{Stage, Trouble};
use crate::trace::{Frames, Piece};
use crate::wire::descriptors::codes as code;
use crate::wire::value::Value;
use order::{Backwards, Outcome};
use session::{Half, Link, Session};

/// From a close of ours to the client's.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Hub,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Hub,
            Self::Hub => Self::Client,
        }
    }
}

/// What of each side.
#[derive(Debug, Default)]
struct Both<T> {
    client: T,
    hub: T,
}

impl<T> Both<T> {
    fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Hub => &self.hub,
        }
    }

    fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Hub => &mut self.hub,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Interference {
    trouble: Trouble,
    /// Which edition of the faults was looked at.
    seen: u64,
    input: Both<Frames>,
    /// What each side is to be told.
    output: Both<BytesMut>,
    /// A frame, and all that its side says behind it, until then.
    paused: Both<Option<(Instant, Frame)>>,
    /// By the client's channel.
    sessions: BTreeMap<u16, Session>,
    /// The client's channel, by the namespace's.
    by_hub: BTreeMap<u16, u16>,
    /// Channels of sessions that we have ended, until the side itself ends them.
    ended: Both<BTreeSet<u16>>,
    /// Outcomes that are told later.
    held: Vec<(Instant, Outcome)>,
    /// What came together, and is told backwards.
    backwards: Backwards,
    end: End,
}

/// How far the connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// We have closed it; the client may answer until then.
    Closing(Instant),
    Over,
}

impl Interference {
    pub(super) fn new(trouble: Trouble) -> Self {
        Self {
            trouble,
            seen: 0,
            input: Both::default(),
            output: Both::default(),
            paused: Both::default(),
            sessions: BTreeMap::new(),
            by_hub: BTreeMap::new(),
            ended: Both::default(),
            held: Vec::new(),
            backwards: Backwards::default(),
            end: End::No,
        }
    }

    /// Told when [`turn`](Self::turn) has something to do.
    pub(super) fn news(&self) -> Arc<Notify> {
        self.trouble.news()
    }

    /// Takes what a side says.
    pub(super) fn hear(&mut self, from: Side, bytes: &[u8], now: Instant) -> Result<(), Unreadable> {
        self.input.of_mut(from).push(bytes);
        let heard = self.go_on(from, now);
        self.tell_backwards(now);
        heard
    }

    /// Whether what this side says has to wait.
    pub(super) fn is_paused(&self, from: Side) -> bool {
        self.paused.of(from).is_some()
    }

    /// What is to be told to this side.
    pub(super) fn take(&mut self, to: Side) -> Bytes {
        self.output.of_mut(to).split().freeze()
    }

    /// Whether the connection is to end, once all is told.
    pub(super) fn is_over(&self) -> bool {
        self.end == End::Over
    }

    /// When [`turn`](Self::turn) has something to do.
    pub(super) fn wake(&self) -> Option<Instant> {
        let pauses = [&self.paused.client, &self.paused.hub].into_iter().flatten().map(|(until, _)| *until);
        let held = self.held.iter().map(|(due, _)| *due);
        let closing = match self.end {
            End::Closing(until) => Some(until),
            End::No | End::Over => None,
        };
        pauses.chain(held).chain(closing).chain(self.trouble.next_change()).min()
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, now: Instant) -> Result<(), Unreadable> {
        let edition = self.trouble.turn(now);
        for (blow, aim) in self.trouble.strikes() {
            self.strike(&blow, &aim, now);
        }
        if edition != self.seen {
            self.seen = edition;
            self.look_at_credit(now);
        }
        self.tell_outcomes(now);
        if matches!(self.end, End::Closing(until) if until <= now) {
            self.end = End::Over;
        }
        for side in [Side::Client, Side::Hub] {
            if let Some((_, frame)) = self.paused.of_mut(side).take_if(|(until, _)| *until <= now) {
                self.pass(side, frame, now);
                self.go_on(side, now)?;
            }
        }
        self.tell_backwards(now);
        Ok(())
    }

    fn go_on(&mut self, from: Side, now: Instant) -> Result<(), Unreadable> {
        while !self.is_paused(from) && self.end != End::Over {
            let Some(piece) = self.input.of_mut(from).next() else { return Ok(()) };
            match (piece, from) {
                (Piece::Header(bytes), _) => self.tell(from.other(), &bytes),
                (Piece::Strange(_), Side::Client) => return Err(Unreadable::NoAmqp),
                (Piece::Strange(_), Side::Hub) => return Err(Unreadable::NoAmqpOfHub),
                (Piece::Frame(bytes, len), Side::Client) if bytes.len() < len => return Err(Unreadable::Frame),
                (Piece::Frame(bytes, len), Side::Hub) if bytes.len() < len => return Err(Unreadable::FrameOfHub),
                (Piece::Frame(bytes, _), _) => match Frame::read(bytes.freeze()) {
                    Ok(frame) => self.on_frame(from, frame, now),
                    // A heartbeat, or what the other side may make of it.
                    Err(bytes) => self.tell(from.other(), &bytes),
                },
            }
        }
        Ok(())
    }

    /// A frame that may have to wait.
    fn on_frame(&mut self, from: Side, frame: Frame, now: Instant) {
        if let Some(until) = self.delay(from, &frame, now).and_then(|by| now.checked_add(by)) {
            *self.paused.of_mut(from) = Some((until, frame));
            return;
        }
        self.pass(from, frame, now);
    }

    /// A frame whose turn has come.
    fn pass(&mut self, from: Side, frame: Frame, now: Instant) {
        let is_of_links = [code::ATTACH, code::DETACH, code::END].contains(&frame.code);
        self.pass_on(from, frame, now);
        if is_of_links {
            self.tell_paths();
        }
    }

    /// Streams are aimed at by where the links on them lead.
    fn tell_paths(&self) {
        let links = self.sessions.values().flat_map(|session| session.links.values());
        self.trouble.lead_to(links.filter(|link| link.hub_handle.is_some()).map(|link| link.path.clone()));
    }

    fn pass_on(&mut self, from: Side, mut frame: Frame, now: Instant) {
        if self.end != End::No {
            if from == Side::Client && frame.code == code::CLOSE {
                self.end = End::Over;
            }
            return;
        }
        match frame.code {
            code::SASL_OUTCOME => return self.on_sasl_outcome(frame, now),
            code::OPEN => return self.on_open(from, frame, now),
            code::BEGIN => return self.on_begin(from, frame, now),
            code::CLOSE => self.tell_all_outcomes(None),
            code::ATTACH..=code::END if self.ended.of(from).contains(&frame.channel()) => {
                if frame.code == code::END {
                    self.ended.of_mut(from).remove(&frame.channel());
                }
                return;
            }
            code::ATTACH => return self.on_attach(from, frame, now),
            code::FLOW => self.on_flow(from, &mut frame, now),
            code::TRANSFER => return self.on_transfer(from, frame, now),
            code::DISPOSITION => return self.on_disposition(from, frame, now),
            code::DETACH => return self.on_detach(from, frame),
            code::END => self.on_end(from, &frame),
            _ => {}
        }
        self.tell_frame(from.other(), frame);
    }

    /// The client's channel of the session that a frame of this side's is for.
    fn channel(&self, from: Side, frame: &Frame) -> Option<u16> {
        match from {
            Side::Client => Some(frame.channel()).filter(|channel| self.sessions.contains_key(channel)),
            Side::Hub => self.by_hub.get(&frame.channel()).copied(),
        }
    }

    fn session(&mut self, from: Side, frame: &Frame) -> Option<&mut Session> {
        let channel = self.channel(from, frame)?;
        self.sessions.get_mut(&channel)
    }

    fn on_begin(&mut self, from: Side, frame: Frame, now: Instant) {
        let half = Half::of_begin(&frame);
        match from {
            Side::Client => {
                self.sessions.insert(frame.channel(), Session::new(half));
            }
            Side::Hub => {
                let remote = frame.number(0).and_then(|channel| u16::try_from(channel).ok());
                let channel = remote.filter(|channel| self.sessions.contains_key(channel));
                if let Some(channel) = channel {
                    self.by_hub.insert(frame.channel(), channel);
                    if let Some(session) = self.sessions.get_mut(&channel) {
                        session.answer(frame.channel(), half);
                    }
                }
                self.tell_frame(Side::Client, frame);
                if let Some(error) = channel.and_then(|_| self.trouble.refusal(now, Stage::Begin))
                    && let Some(channel) = channel
                {
                    self.end_session(channel, &error);
                }
                return;
            }
        }
        self.tell_frame(from.other(), frame);
    }

    fn on_end(&mut self, from: Side, frame: &Frame) {
        let Some(channel) = self.channel(from, frame) else { return };
        self.tell_all_outcomes(Some(channel));
        if let Some(session) = self.sessions.get_mut(&channel)
            && session.ends(from)
        {
            self.by_hub.retain(|_, client| *client != channel);
            self.sessions.remove(&channel);
        }
    }

    fn on_detach(&mut self, from: Side, frame: Frame) {
        let channel = self.channel(from, &frame);
        if let (Some(channel), Some(handle)) = (channel, frame.number(0)) {
            let Some(session) = self.sessions.get_mut(&channel) else { return };
            if session.cut.of_mut(from).remove(&handle).is_some() {
                return;
            }
            session.detach(from, handle);
            self.tell_all_outcomes(Some(channel));
        }
        self.tell_frame(from.other(), frame);
    }

    /// Puts the numbers of session and link into those that the other side counts by.
    fn on_flow(&mut self, from: Side, frame: &mut Frame, now: Instant) {
        let Some(channel) = self.channel(from, frame) else { return };
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        session.half.of_mut(from).heard(frame);
        session.translate(from, frame);
        let Some(handle) = frame.number(4) else { return };
        if session.cut.of(from).contains_key(&handle) {
            // The link has gone; the session's numbers are still news.
            (4..=9).for_each(|place| frame.set(place, Value::Null));
            return;
        }
        let Some((_, link)) = session.link_mut(from, handle) else { return };
        if link.is_clients {
            Self::flow_of_link(&self.trouble, from, link, frame, now);
        }
    }

    /// On a link that the client sends over.
    fn flow_of_link(trouble: &Trouble, from: Side, link: &mut Link, frame: &mut Frame, now: Instant) {
        match from {
            Side::Client => {
                link.sent = frame.number(5).unwrap_or(link.sent);
                frame.add(5, link.swallowed.wrapping_neg());
            }
            Side::Hub => {
                link.granted = frame.number(5).zip(frame.number(6)).or(link.granted);
                frame.add(5, link.swallowed);
                let is_withheld = trouble.is_credit_withheld(now, &link.path);
                link.withhold(is_withheld, trouble);
                if is_withheld && frame.number(6).is_some() {
                    frame.set(5, link.sent);
                    frame.set(6, 0_u32);
                }
            }
        }
    }

    fn look_at_credit(&mut self, now: Instant) {
        let mut told = Vec::new();
        for (channel, session) in &mut self.sessions {
            for (handle, link) in session.links.iter_mut().filter(|(_, link)| link.is_clients && link.granted.is_some())
            {
                if link.withhold(self.trouble.is_credit_withheld(now, &link.path), &self.trouble) {
                    told.push((*channel, *handle));
                }
            }
        }
        for (channel, handle) in told {
            self.tell_flow(channel, Side::Client, Some(handle));
        }
    }

    /// Tells a side where the session stands, and how much a link of the client's may send.
    fn tell_flow(&mut self, channel: u16, to: Side, handle: Option<u32>) {
        let flow = self.sessions.get(&channel).and_then(|session| session.flow(channel, to, handle));
        if let Some(flow) = flow {
            self.tell_frame(to, flow);
        }
    }

    fn tell_frame(&mut self, to: Side, frame: Frame) {
        self.tell(to, &frame.into_bytes());
    }

    fn tell(&mut self, to: Side, bytes: &[u8]) {
        self.output.of_mut(to).extend_from_slice(bytes);
    }
}
