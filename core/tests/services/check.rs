//! What a client is owed, and whether it got that.

use sinbin_core::Storage;
use sinbin_core::fib_protocol::{Bad, Rules};

use crate::net::{Net, Peer, Serve};
use crate::oracle::{asked, line};

/// An answer that the server owes.
pub struct Owed {
    pub answer: Vec<u8>,
    /// Answers that will do as well, where a job may be lost.
    instead: Vec<Vec<u8>>,
    /// Where in the input the request ends.
    end: usize,
    /// The connection is closed after this.
    pub is_last: bool,
}

/// All that the server owes to `peer`, for what it has read so far.
pub fn owed<S: Storage>(net: &Net<S>, peer: &Peer, jobs_may_fail: bool) -> Vec<Owed> {
    match net.serve {
        Serve::Fib => owed_by_fib(&net.fib.rules, net.fib.loop_n, peer, jobs_may_fail),
        Serve::Echo => owed_by_read(peer, <[u8]>::to_vec),
        Serve::Upper => owed_by_read(peer, |read| [&read.to_ascii_uppercase()[..], b"_SB"].concat()),
    }
}

fn owed_by_fib(rules: &Rules, loop_n: u32, peer: &Peer, jobs_may_fail: bool) -> Vec<Owed> {
    let text = |request| line(rules, request).into_bytes();
    let owed = asked(rules, &peer.reads, peer.saw_end).into_iter().map(|asked| {
        let is_job = asked.request.is_ok_and(|n| n > loop_n);
        let instead =
            if is_job && jobs_may_fail { vec![text(Err(Bad::Busy)), text(Err(Bad::Lost))] } else { vec![] };
        Owed {
            answer: text(asked.request),
            instead,
            end: asked.end,
            is_last: asked.request == Err(Bad::TooLong),
        }
    });
    owed.collect()
}

fn owed_by_read(peer: &Peer, answer: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Owed> {
    let mut end = 0;
    let owed = peer.reads.iter().map(|read| {
        end += read.bytes.len();
        Owed { answer: answer(&read.bytes), instead: Vec::new(), end, is_last: false }
    });
    owed.collect()
}

/// `got` is the answers, in order, or the beginning of them. Returns how many are there as a whole.
pub fn walk(owed: &[Owed], mut got: &[u8]) -> Result<usize, String> {
    for (number, owed) in owed.iter().enumerate() {
        let mut answers = [&owed.answer].into_iter().chain(&owed.instead);
        match answers.clone().find_map(|answer| got.strip_prefix(&answer[..])) {
            Some(rest) => got = rest,
            None if answers.any(|answer| answer.starts_with(got)) => return Ok(number),
            None => {
                let (got, answer) = (got.escape_ascii(), owed.answer.escape_ascii());
                return Err(format!("answer {number} should be {answer}, and there is {got}"));
            }
        }
    }
    if got.is_empty() { Ok(owed.len()) } else { Err(format!("nobody asked for {}", got.escape_ascii())) }
}

/// How much of the input is taken, and neither answered nor on its way.
pub fn held_back(owed: &[Owed], peer: &Peer) -> usize {
    let mut sent = peer.sent;
    let mut answered = 0;
    for owed in owed {
        let shortest = owed.instead.iter().map(Vec::len).fold(owed.answer.len(), usize::min);
        if sent < shortest {
            break;
        }
        sent = sent.saturating_sub(owed.answer.len());
        answered = owed.end;
    }
    peer.taken() - answered
}
