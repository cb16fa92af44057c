//! What can befall each kind of occasion.

use std::time::{Duration, Instant};

use super::aim::Aim;
use super::{Fate, Faults, Stage, What};
use crate::wire::frame::PeerError;

impl Faults {
    /// The code that SASL is to end with.
    pub(in crate::emulator) fn sasl_refusal(&self, now: Instant, is_meant: impl Fn(&Aim) -> bool) -> Option<u8> {
        self.befall(now, is_meant, |what| match what {
            What::RefuseSasl(code) => Some(*code),
            _ => None,
        })
    }

    pub(in crate::emulator) fn refusal(
        &self,
        now: Instant,
        stage: Stage,
        is_meant: impl Fn(&Aim) -> bool,
    ) -> Option<PeerError> {
        self.befall(now, is_meant, |what| match what {
            What::Refuse(refused, error) if *refused == stage => Some(error.clone()),
            _ => None,
        })
    }

    /// Status and words for a token that is put.
    pub(in crate::emulator) fn token_refusal(
        &self,
        now: Instant,
        is_meant: impl Fn(&Aim) -> bool,
    ) -> Option<(i32, String)> {
        self.befall(now, is_meant, |what| match what {
            What::RefusePutToken(status, text) => Some((*status, text.clone())),
            _ => None,
        })
    }

    pub(in crate::emulator) fn delay(
        &self,
        now: Instant,
        stage: Stage,
        is_meant: impl Fn(&Aim) -> bool,
    ) -> Option<Duration> {
        self.befall(now, is_meant, |what| match what {
            What::Delay(delayed, by) if *delayed == stage => Some(*by),
            _ => None,
        })
    }

    pub(in crate::emulator) fn fate(&self, now: Instant, is_meant: impl Fn(&Aim) -> bool) -> Option<Fate> {
        self.befall(now, is_meant, |what| match what {
            What::Outcome(fate) => Some(fate.clone()),
            _ => None,
        })
    }

    pub(in crate::emulator) fn outcome_delay(&self, now: Instant, is_meant: impl Fn(&Aim) -> bool) -> Option<Duration> {
        self.befall(now, is_meant, |what| match what {
            What::DelayOutcomes(by) => Some(*by),
            _ => None,
        })
    }
}
