//! Sessions by their channels: which frame is whose, begin and end of both sides. Source: AMQP 1.0 part 2, 2.5.

use fe2o3_amqp::frames::amqp::FrameBody;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::performatives::{self, End};

use super::{CHANNEL_MAX, Connection, Event, Role, Step, Waiting};
use crate::engine::SessionId;
use crate::engine::session::{Breach, Session, SessionState};
use crate::wire::frame::PeerError;

impl Connection {
    pub(super) fn on_session_frame(&mut self, remote_channel: u16, body: FrameBody) {
        if let FrameBody::Begin(begin) = body {
            return self.on_begin(remote_channel, &begin);
        }
        let Some(&channel) = self.channels.get(&remote_channel) else {
            if !self.ended.contains(&remote_channel) {
                let text = format!("a frame on channel {remote_channel}, where no session has begun");
                self.violation("amqp:not-allowed", text);
            }
            return;
        };
        if let FrameBody::End(end) = body {
            return self.on_end(remote_channel, channel, &end);
        }
        let Some(session) = self.sessions[usize::from(channel)].as_mut() else { return };
        if session.state == SessionState::EndSent {
            return;
        }
        let shared = &mut self.shared;
        let result = match body {
            FrameBody::Attach(attach) => session.on_attach(shared, Box::new(attach)),
            FrameBody::Transfer { performative, payload } => session.on_transfer(shared, &performative, payload),
            FrameBody::Flow(flow) => {
                session.on_flow(shared, &flow);
                Ok(())
            }
            FrameBody::Disposition(disposition) => {
                session.on_disposition(shared, &disposition);
                Ok(())
            }
            FrameBody::Detach(detach) => {
                session.on_detach(shared, &detach);
                Ok(())
            }
            _ => Err(Breach(PeerError::new("amqp:not-allowed", "a connection frame on a session's channel"))),
        };
        if let Err(Breach(error)) = result {
            self.end_session(channel, error);
        }
    }

    fn on_begin(&mut self, remote_channel: u16, begin: &performatives::Begin) {
        if self.channels.contains_key(&remote_channel) {
            return self.violation("amqp:not-allowed", format!("channel {remote_channel} has begun already"));
        }
        match begin.remote_channel {
            Some(channel) => self.on_begin_answer(remote_channel, channel, begin),
            None if self.asks => self.wait_with(Step::Begin, Waiting::Begin(remote_channel, Box::new(begin.clone()))),
            None => drop(self.on_begin_request(remote_channel, begin)),
        }
    }

    fn on_begin_answer(&mut self, remote_channel: u16, channel: u16, begin: &performatives::Begin) {
        let session = self.sessions.get_mut(usize::from(channel)).and_then(Option::as_mut);
        let Some(session) = session.filter(|session| session.remote_channel.is_none()) else {
            let text = format!("a begin that answers channel {channel}, where none waits");
            return self.violation("amqp:not-allowed", text);
        };
        let ending = session.state == SessionState::EndSent;
        session.on_begin(remote_channel, begin);
        if ending {
            session.state = SessionState::EndSent;
        }
        self.channels.insert(remote_channel, channel);
    }

    /// The session, unless it breaks the rules.
    pub(super) fn on_begin_request(&mut self, remote_channel: u16, begin: &performatives::Begin) -> Option<SessionId> {
        if self.config.role == Role::Client {
            self.violation("amqp:not-allowed", "this container takes no sessions".into());
            return None;
        }
        if remote_channel > CHANNEL_MAX {
            self.violation("amqp:not-allowed", format!("channel-max is {CHANNEL_MAX}"));
            return None;
        }
        let Some(channel) = self.free_channel(self.peer_channel_max) else {
            self.violation("amqp:resource-limit-exceeded", "no channel is left".into());
            return None;
        };
        Some(self.take_session(channel, remote_channel, begin))
    }

    fn take_session(&mut self, channel: u16, remote_channel: u16, begin: &performatives::Begin) -> SessionId {
        let mut session = self.new_session(channel);
        let id = session.id;
        session.on_begin(remote_channel, begin);
        self.shared.put_or_end(channel, &session.begin());
        self.sessions[usize::from(channel)] = Some(session);
        self.channels.insert(remote_channel, channel);
        id
    }

    fn on_end(&mut self, remote_channel: u16, channel: u16, end: &End) {
        self.channels.remove(&remote_channel);
        self.ended.insert(remote_channel);
        let Some(mut session) = self.sessions[usize::from(channel)].take() else { return };
        if session.state == SessionState::EndSent {
            return;
        }
        let error = end.error.as_ref().map(PeerError::from);
        self.shared.put_or_end(channel, &End { error: None });
        self.shared.events.push_back(Event::SessionEnded { session: session.id, error });
        session.resolve_all(&mut self.shared, None);
    }

    /// Ends a session whose peer broke its rules.
    pub(super) fn end_session(&mut self, channel: u16, error: PeerError) {
        let Some(session) = self.sessions[usize::from(channel)].as_mut() else { return };
        session.state = SessionState::EndSent;
        self.shared.put_or_end(channel, &End { error: Some(Error::from(&error)) });
        self.shared.events.push_back(Event::SessionEnded { session: session.id, error: Some(error) });
        session.resolve_all(&mut self.shared, None);
    }

    pub(super) fn free_channel(&mut self, max: u16) -> Option<u16> {
        let channel = self.sessions.iter().position(Option::is_none).unwrap_or(self.sessions.len());
        let channel = u16::try_from(channel).ok().filter(|&channel| channel <= max)?;
        if usize::from(channel) == self.sessions.len() {
            self.sessions.push(None);
        }
        Some(channel)
    }

    pub(super) fn new_session(&mut self, channel: u16) -> Session {
        let id = SessionId { channel, serial: self.shared.next_serial() };
        Session::new(id, self.config.first_number)
    }
}
