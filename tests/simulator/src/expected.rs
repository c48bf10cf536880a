//! What a client is owed, and whether that is what it gets.

use std::collections::VecDeque;

/// What the service does with the bytes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read<'a> {
    /// It has read these, all there is room for in one read, so that what comes next may belong to them (`is_cut`), or
    /// less.
    Bytes {
        /// What was read.
        bytes: &'a [u8],
        /// The read was full.
        is_cut: bool,
    },
    /// It wanted to read, and nothing was there.
    Nothing,
    /// It knows that nothing comes any more.
    End,
}

/// The answers that a service owes to one client, in order.
#[derive(Default, Debug)]
pub struct Expected {
    answers: VecDeque<ExpectedReply>,
    /// How much of the first answer is sent.
    sent: usize,
    /// How much was read, and how much of that is answered as a whole.
    taken: u64,
    answered: u64,
    over: bool,
    /// Nobody knows what is owed.
    anything: bool,
    done: u64,
}

#[derive(Debug)]
struct ExpectedReply {
    text: Vec<u8>,
    /// What will do as well.
    instead: Vec<Vec<u8>>,
    /// How much was read when it became due.
    end: u64,
}

impl Expected {
    /// This is owed.
    pub fn answer(&mut self, text: impl Into<Vec<u8>>) {
        self.either(text, Vec::new());
    }

    /// This is owed, or one of `instead`. None of these may begin as another ends.
    pub fn either(&mut self, text: impl Into<Vec<u8>>, instead: Vec<Vec<u8>>) {
        if !self.over {
            self.answers.push_back(ExpectedReply { text: text.into(), instead, end: self.taken });
        }
    }

    /// Whatever the service says is right, and so is to close the connection at any time: somebody else looks at that.
    pub fn anything(&mut self) {
        (self.anything, self.over) = (true, true);
    }

    /// After what is owed so far, the service closes the connection.
    pub fn over(&mut self) {
        self.over = true;
    }

    /// Whether the service closes the connection of its own accord.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether all is sent that is owed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether nothing is to be read any more: the last answer is sent.
    pub(crate) fn is_at_its_end(&self) -> bool {
        self.over && !self.anything && self.is_settled()
    }

    /// How much was read and is not answered: what the service may have to keep.
    pub(crate) fn kept(&self) -> u64 {
        self.taken - if self.answers.is_empty() { self.taken } else { self.answered }
    }

    /// How many answers were sent.
    pub(crate) fn count(&self) -> u64 {
        self.done
    }

    pub(crate) fn take(&mut self, count: usize) {
        if self.answers.is_empty() {
            self.answered = self.taken;
        }
        self.taken += count as u64;
    }

    /// The service sends these: are they what is owed?
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() && !self.anything {
            let Some(first) = self.answers.front_mut() else {
                return Err(format!("nobody asked for \"{}\"", bytes.escape_ascii()));
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
    /// The answer ends; this is left.
    Whole(&'a [u8]),
    /// All bytes belong to it, and there is more to come.
    Part,
    Wrong,
}

impl ExpectedReply {
    /// Takes the answer from its byte `from` on out of `bytes`.
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
