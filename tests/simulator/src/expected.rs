//! The answers that a client expects, and their comparison with the answers that it receives.

use std::collections::VecDeque;

/// The result of a read by the service on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read<'a> {
    /// The service has read these bytes.
    Bytes {
        /// The bytes.
        bytes: &'a [u8],
        /// True if the read filled its buffer, so that the next bytes may belong to these.
        is_cut: bool,
    },
    /// The service tried to read, and nothing was available.
    Nothing,
    /// The service has read the end of the stream.
    End,
}

/// The answers that a service owes to one client, in order.
#[derive(Default, Debug)]
pub struct Expected {
    answers: VecDeque<ExpectedReply>,
    /// The number of bytes of the first answer that have been sent.
    sent: usize,
    /// The number of bytes that were read, and the number of those that are completely answered.
    taken: u64,
    answered: u64,
    over: bool,
    /// True if any answer is accepted.
    anything: bool,
    done: u64,
}

#[derive(Debug)]
struct ExpectedReply {
    text: Vec<u8>,
    /// Alternatives to `text`.
    instead: Vec<Vec<u8>>,
    /// The number of bytes that had been read when the answer became due.
    end: u64,
}

impl Expected {
    /// Adds an answer.
    pub fn answer(&mut self, text: impl Into<Vec<u8>>) {
        self.either(text, Vec::new());
    }

    /// Adds an answer, with `instead` as alternatives. No alternative may be a prefix of another one.
    pub fn either(&mut self, text: impl Into<Vec<u8>>, instead: Vec<Vec<u8>>) {
        if !self.over {
            self.answers.push_back(ExpectedReply { text: text.into(), instead, end: self.taken });
        }
    }

    /// Accepts any answer, and a close of the connection at any time. The caller checks the answers itself.
    pub fn anything(&mut self) {
        (self.anything, self.over) = (true, true);
    }

    /// Expects the service to close the connection after the answers so far.
    pub fn over(&mut self) {
        self.over = true;
    }

    /// Returns true if the service is to close the connection of its own accord.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Returns true if all answers have been sent.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.answers.is_empty()
    }

    /// Returns true if the service must not read any more, because the last answer has been sent.
    pub(crate) fn is_at_its_end(&self) -> bool {
        self.over && !self.anything && self.is_settled()
    }

    /// Returns the number of bytes that were read and not answered, which the service may have to keep.
    pub(crate) fn kept(&self) -> u64 {
        self.taken - if self.answers.is_empty() { self.taken } else { self.answered }
    }

    /// Returns the number of answers that have been sent.
    pub(crate) fn count(&self) -> u64 {
        self.done
    }

    pub(crate) fn take(&mut self, count: usize) {
        if self.answers.is_empty() {
            self.answered = self.taken;
        }
        self.taken += count as u64;
    }

    /// Compares bytes that the service sends with the answers that it owes.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() && !self.anything {
            let Some(first) = self.answers.front_mut() else {
                return Err(format!("nothing is owed, and \"{}\" is sent", bytes.escape_ascii()));
            };
            bytes = match first.take(self.sent, bytes) {
                Taken::Whole(rest) => {
                    self.answered = self.answers.pop_front().map_or(0, |answer| answer.end);
                    self.sent = 0;
                    self.done += 1;
                    rest
                }
                Taken::Part => {
                    self.sent += bytes.len();
                    return Ok(());
                }
                Taken::Wrong => {
                    let (is, expected) = (bytes.escape_ascii(), first.text[self.sent..].escape_ascii());
                    return Err(format!("\"{expected}\" is owed, and \"{is}\" is sent"));
                }
            };
        }
        Ok(())
    }
}

enum Taken<'a> {
    /// The answer is complete; these bytes remain.
    Whole(&'a [u8]),
    /// All bytes belong to the answer, which is not complete yet.
    Part,
    Wrong,
}

impl ExpectedReply {
    /// Matches `bytes` with the answer from its byte `from` on.
    fn take<'a>(&mut self, from: usize, bytes: &'a [u8]) -> Taken<'a> {
        let agrees = |text: &[u8]| {
            text.get(from..).is_some_and(|text| bytes.iter().zip(text).all(|(is, expected)| is == expected))
        };
        if !agrees(&self.text) {
            let Some(other) = self.instead.iter().position(|text| agrees(text)) else { return Taken::Wrong };
            self.text = self.instead.swap_remove(other);
        }
        self.instead.retain(|text| agrees(text));
        let ends = |text: &&Vec<u8>| text.len() - from <= bytes.len();
        match [&self.text].into_iter().chain(&self.instead).find(ends) {
            Some(text) => Taken::Whole(&bytes[text.len() - from..]),
            None => Taken::Part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    fn expected() -> Expected {
        let mut expected = Expected::default();
        expected.answer("one\n");
        expected.either("two\n", vec![b"twice\n".to_vec(), b"never\n".to_vec()]);
        expected
    }

    #[test]
    fn answers_may_come_in_any_pieces() {
        for all in ["one\ntwo\n", "one\ntwice\n", "one\nnever\n"] {
            for piece in 1..all.len() {
                let mut expected = expected();
                assert!(
                    all.as_bytes().chunks(piece).all(|bytes| expected.send(bytes).is_ok()),
                    "{all:?} by {piece}"
                );
                assert!(expected.is_settled());
                assert!(expected.send(b"x").is_err());
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_told() {
        let wrong = expected().send(b"one\ntwixt");
        assert_eq!(wrong, Err("\"two\\n\" is owed, and \"twixt\" is sent".to_owned()));
        let mut expected = expected();
        assert_eq!(expected.send(b"one\ntw"), Ok(()));
        assert_eq!(expected.send(b"o\n"), Ok(()));
    }
}
