//! What is found beside a tree: faults, secrets, and what could not be read.

use std::ops::Range;

use bytes::Bytes;

use super::{Dissection, Fault, MAX_NODES, Node, Secrets, token};
use crate::wire::secret::secret_ranges;

/// What a walk finds besides its tree.
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    /// What could not be read.
    pub(super) rests: Vec<Range<usize>>,
    secrets: Vec<Range<usize>>,
    mode: Secrets,
    /// How much a tree may grow.
    pub(super) nodes_left: usize,
}

impl Findings {
    pub(super) fn new(mode: Secrets) -> Self {
        Self { faults: Vec::new(), rests: Vec::new(), secrets: Vec::new(), mode, nodes_left: MAX_NODES }
    }

    pub(super) fn into_dissection(mut self, input: &Bytes, nodes: Vec<Node>) -> Dissection {
        for rest in self.rests.clone() {
            // What was not read may hold anything; a token that looks like none stands behind words that are known.
            self.look_through(&input[rest.clone()], rest.start);
            if let Some(at) = token::announced(&input[rest.clone()]) {
                self.hide(rest.start + at..rest.end);
            }
        }
        self.faults.sort_by_key(|fault| fault.at);
        Dissection { nodes, faults: self.faults, secrets: self.secrets, rests: self.rests }
    }

    /// Notes a fault behind which nothing of `rest` is read.
    pub(super) fn stop(&mut self, fault: Fault, rest: Range<usize>) {
        self.faults.push(fault);
        self.rests.push(rest);
    }

    /// Takes what could not be read for secret, from the `first` on.
    pub(super) fn hide_rests(&mut self, first: usize) {
        if self.masks() {
            self.secrets.extend_from_slice(&self.rests[first..]);
        }
    }

    pub(super) fn masks(&self) -> bool {
        self.mode == Secrets::Masked
    }

    /// Notes that a secret stands there.
    pub(super) fn hide(&mut self, range: Range<usize>) {
        if self.masks() && !range.is_empty() {
            self.secrets.push(range);
        }
    }

    /// Notes what looks like a secret in `bytes`, which stand at `start`; whether anything does.
    pub(super) fn look_through(&mut self, bytes: &[u8], start: usize) -> bool {
        if !self.masks() {
            return false;
        }
        let found = self.secrets.len();
        self.secrets.extend(secret_ranges(bytes).map(|range| start + range.start..start + range.end));
        self.secrets.len() > found
    }
}
