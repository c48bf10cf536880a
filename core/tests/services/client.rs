//! The clients: what they send, how they leave, and what they got.

use std::collections::VecDeque;

use crate::luck::Luck;
use crate::net::Peer;

/// How a client leaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Leaves {
    /// It says that it has sent its last byte, and waits for what it is owed.
    HalfClosed,
    /// It waits for all answers first.
    Answered,
    /// It breaks the connection off when it has sent so much.
    Reset(usize),
    /// It is told to, or never.
    Never,
}

pub struct Client {
    pub script: VecDeque<u8>,
    pub leaves: Leaves,
    pub got: Vec<u8>,
    /// Whether it reads at all.
    pub reads: bool,
    pub connected: bool,
    sent: usize,
}

impl Client {
    pub fn new(script: &[u8], leaves: Leaves) -> Self {
        let script = script.iter().copied().collect();
        Self { script, leaves, got: Vec::new(), reads: true, connected: false, sent: 0 }
    }

    /// Does something. It is answered if it got all that the server owes it so far.
    pub fn act(&mut self, peer: &mut Peer, luck: &mut Luck, is_answered: bool) {
        if peer.reset || peer.closed && peer.outbox.is_empty() {
            return;
        }
        let count = luck.part(self.script.len());
        peer.inbox.extend(self.script.drain(..count));
        self.sent += count;
        if self.reads {
            let count = luck.part(peer.outbox.len());
            self.got.extend(peer.outbox.drain(..count));
        }
        match self.leaves {
            Leaves::HalfClosed => peer.finished |= self.script.is_empty(),
            Leaves::Answered => {
                let all_read = self.script.is_empty() && peer.inbox.is_empty();
                peer.finished |= all_read && is_answered;
            }
            Leaves::Reset(at) if self.sent >= at => self.reset(peer),
            Leaves::Reset(_) => peer.finished |= self.script.is_empty(),
            Leaves::Never => {}
        }
    }

    fn reset(&mut self, peer: &mut Peer) {
        peer.reset = true;
        peer.inbox.clear();
        peer.outbox.clear();
    }

    /// Whether it is over for both ends.
    pub fn is_over(&self, peer: &Peer) -> bool {
        peer.closed && (peer.reset || peer.outbox.is_empty())
    }
}
