//! The Fibonacci service's protocol, as bytes in and requests out.
//!
//! A request is a decimal integer, ended by `\n`; blanks around it, `\r` among them, are fine. A reply is a
//! line. The talk's own clients send no newline: they send `30` and wait for the line. So a connection whose
//! first read holds no newline is *bare*: each read is one request, up to the first read with a newline. That read and
//! all after it are lines. Some clients write a line and its end apart (`nc -C` does), so a newline right behind a bare
//! request, `\r\n` too, is the end of that request.
//!
//! Nothing of a line is stored but what it comes to so far, so half a line costs no buffer.
//!
//! ```
//! use sinbin_core::fib_protocol::{Bad, Requests, Rules};
//!
//! let rules = Rules::default();
//! let mut requests = Requests::new();
//! requests.begin_read(&rules, b"30\r\nabc\n4", true);
//! assert_eq!(requests.next(&rules, b"30\r\nabc\n4"), (4, Some(Ok(30))));
//! assert_eq!(requests.next(&rules, b"abc\n4"), (4, Some(Err(Bad::NotInteger))));
//! assert_eq!(requests.next(&rules, b"4"), (1, None));
//! requests.begin_read(&rules, b"5\n", true);
//! assert_eq!(requests.next(&rules, b"5\n"), (2, Some(Ok(45))));
//! ```

use crate::protocols::fib::MAX_N;

/// Room for any reply, its newline included.
pub const MAX_REPLY: usize = 96;

/// What a server accepts.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The largest n; at most [`MAX_N`].
    pub max_n: u32,
    /// The longest line, in bytes, without its newline.
    pub max_line: u16,
    /// How requests are told apart.
    pub framing: Framing,
}

impl Default for Rules {
    /// n up to 45, lines up to 64 bytes, bare clients welcome.
    fn default() -> Self {
        Self { max_n: 45, max_line: 64, framing: Framing::Auto }
    }
}

/// How requests are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// By reads up to the first read that holds a newline; by lines from that read on.
    Auto,
    /// By lines, whatever the reads: for networks that may cut a first line in two.
    Lines,
    /// By reads.
    Bare,
}

/// Why a request gets an error line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// Nothing but blanks.
    Empty,
    /// Something else than a decimal integer.
    NotInteger,
    /// n is above the bound.
    TooLarge,
    /// The line is longer than any integer needs. The connection is closed then.
    TooLong,
    /// The request was not whole in its time. The connection is closed then.
    Late,
    /// There are too many jobs.
    Busy,
    /// Whoever computed it failed.
    Lost,
    /// The computation took too long, and was cancelled.
    Overdue,
}

/// A request: n, 0 for all negative numbers, or what is wrong with it.
pub type Request = Result<u32, Bad>;

/// An answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The number.
    Value(u64),
    /// An error line.
    Error(Bad),
}

impl Reply {
    /// Writes the line to the front of `out` and returns its length. `out` has room for [`MAX_REPLY`].
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "one digit fits a byte")]
    pub fn render(self, rules: &Rules, out: &mut [u8]) -> usize {
        match self {
            Self::Value(value @ 0..10) => {
                out[..2].copy_from_slice(&[b'0' | value as u8, b'\n']);
                2
            }
            Self::Value(value) => line(out, &[itoa::Buffer::new().format(value)]),
            Self::Error(bad) => Self::render_error(bad, rules, out),
        }
    }

    #[cold]
    fn render_error(bad: Bad, rules: &Rules, out: &mut [u8]) -> usize {
        let mut digits = itoa::Buffer::new();
        match bad {
            Bad::Empty => line(out, &["error: an empty line; send an integer"]),
            Bad::NotInteger => line(out, &["error: not an integer"]),
            Bad::TooLarge => {
                line(out, &["error: n is over the limit of ", digits.format(rules.max_n.min(MAX_N))])
            }
            Bad::TooLong => {
                let limit = digits.format(rules.max_line);
                line(out, &["error: the line is over the limit of ", limit, " bytes; closing"])
            }
            Bad::Late => line(out, &["error: the request took too long; closing"]),
            Bad::Busy => line(out, &["error: too many jobs; try again later"]),
            Bad::Lost => line(out, &["error: the computation failed"]),
            Bad::Overdue => {
                line(out, &["error: the computation took too long; try a smaller n, or try again later"])
            }
        }
    }
}

fn line(out: &mut [u8], parts: &[&str]) -> usize {
    let mut len = 0;
    for part in parts.iter().chain(&["\n"]) {
        out[len..len + part.len()].copy_from_slice(part.as_bytes());
        len += part.len();
    }
    len
}

/// Most requests are this: a line of one or two digits. Returns their number, and what they say.
#[inline]
fn short_line(bytes: &[u8]) -> Option<(usize, u32)> {
    let digit = |at: usize| bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
    let first = u32::from(digit(0)?);
    if bytes.get(1) == Some(&b'\n') {
        return Some((1, first));
    }
    let second = u32::from(digit(1)?);
    (bytes.get(2) == Some(&b'\n')).then_some((2, first * 10 + second))
}

/// How far a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Start,
    Sign,
    Digits,
    /// Blanks behind the digits.
    End,
    Bad,
}

/// What this connection's requests are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framer {
    Unknown,
    Lines,
    Reads,
}

/// Which newlines would belong to a bare request (one without a newline of its own).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newline {
    /// No newline belongs to a request before it.
    Own,
    /// A bare request has just ended: a newline that comes next is its end.
    Behind,
    /// After the bare request a read brought `\r`, and nothing else.
    Half,
    /// This read begins with the newline of the bare request.
    Here,
}

/// Tells the requests of one connection apart. Eight bytes, copied freely: a copy is a point to go back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requests {
    len: u16,
    /// n so far. 255 is over every bound, so it stops there.
    value: u8,
    at: At,
    negative: bool,
    by: Framer,
    /// The last read was as long as there was room for.
    cut: bool,
    newline: Newline,
}

const _: () = assert!(size_of::<Requests>() == 8, "a connection is small");
const _: () = assert!(MAX_N < 255, "a value of 255 is over every bound");

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

impl Requests {
    /// Before the first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            len: 0,
            value: 0,
            at: At::Start,
            negative: false,
            by: Framer::Unknown,
            cut: false,
            newline: Newline::Own,
        }
    }

    /// A read brought `bytes`; `whole` says that it was not cut off by the size of the buffer. The connection is bare
    /// until a read brings a newline.
    #[inline]
    pub fn begin_read(&mut self, rules: &Rules, bytes: &[u8], whole: bool) {
        let continues = self.cut;
        self.cut = !whole;
        match self.by {
            Framer::Lines => {}
            Framer::Reads if rules.framing == Framing::Auto => self.look_for_newline(bytes, continues),
            Framer::Reads => {}
            Framer::Unknown => {
                self.by = match rules.framing {
                    Framing::Lines => Framer::Lines,
                    Framing::Bare => Framer::Reads,
                    Framing::Auto if bytes.contains(&b'\n') => Framer::Lines,
                    Framing::Auto if whole => Framer::Reads,
                    Framing::Auto => Framer::Unknown,
                }
            }
        }
    }

    /// Looks whether a read makes lines of a bare connection, and whether it begins with the newline of the bare request
    /// before it. `continues` says that it goes on with a read that was cut off.
    fn look_for_newline(&mut self, bytes: &[u8], continues: bool) {
        if bytes.contains(&b'\n') {
            self.by = Framer::Lines;
        }
        self.newline = match (self.newline, bytes) {
            (Newline::Behind | Newline::Half, [b'\n', ..]) | (Newline::Behind, [b'\r', b'\n', ..]) => {
                Newline::Here
            }
            (Newline::Behind, b"\r") => Newline::Half,
            // That `\r` was a blank before the next request.
            (Newline::Half, _) => {
                self.len = u16::from(continues);
                Newline::Own
            }
            (Newline::Behind, _) => Newline::Own,
            (newline, _) => newline,
        };
    }

    /// Whether a request ends with its read, and that was cut off: what comes next belongs to it. If nothing
    /// does, call [`end_read`](Self::end_read).
    #[must_use]
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.cut && self.by != Framer::Lines
    }

    /// The last read was whole after all.
    pub fn end_read(&mut self) {
        self.cut = false;
        if self.by == Framer::Unknown {
            self.by = Framer::Reads;
        }
    }

    /// Whether the read is one request: [`finish`](Self::finish) it when its bytes are through.
    #[must_use]
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.by == Framer::Reads && !self.cut
    }

    /// Whether there are bytes of a request that is not whole.
    #[must_use]
    #[inline]
    pub const fn is_begun(&self) -> bool {
        self.len > 0
    }

    /// Whether the bytes of a whole read are through, and it is not [`finish`](Self::finish)ed.
    #[must_use]
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.is_bare() && self.len > 0
    }

    /// Takes bytes up to the end of the next request. Returns how many, and the request if it is whole.
    /// After [`Bad::TooLong`] nothing that follows can be told apart.
    #[must_use]
    #[inline]
    pub fn next(&mut self, rules: &Rules, bytes: &[u8]) -> (usize, Option<Request>) {
        if self.len == 0
            && self.by == Framer::Lines
            && let Some((digits, n)) = short_line(bytes)
            && digits <= usize::from(rules.max_line)
            && n <= rules.max_n.min(MAX_N)
        {
            return (digits + 1, Some(Ok(n)));
        }
        self.next_of_any_form(rules, bytes)
    }

    fn next_of_any_form(&mut self, rules: &Rules, bytes: &[u8]) -> (usize, Option<Request>) {
        if self.newline == Newline::Half {
            return (bytes.len(), None);
        }
        for (count, &byte) in bytes.iter().enumerate() {
            match (byte, self.by) {
                // With bare framing a newline is a blank.
                (b'\n', Framer::Reads) => {}
                (b'\n', _) if self.newline == Newline::Here => {
                    *self = self.after();
                    continue;
                }
                (b'\n', _) => return (count + 1, Some(self.end_of_request(rules))),
                _ => {}
            }
            if self.len >= rules.max_line {
                *self = self.after();
                return (count, Some(Err(Bad::TooLong)));
            }
            self.len += 1;
            self.push(byte);
        }
        (bytes.len(), None)
    }

    /// The bytes end here, because the stream does, or because the read of a bare connection does: the
    /// request that they make, if any.
    #[must_use]
    pub fn finish(&mut self, rules: &Rules) -> Option<Request> {
        if self.len == 0 {
            return None;
        }
        let nothing = self.at == At::Start && self.by != Framer::Reads;
        let request = self.end_of_request(rules);
        if self.by == Framer::Reads && rules.framing == Framing::Auto {
            self.newline = Newline::Behind;
        }
        (!nothing).then_some(request)
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::Start | At::Sign | At::Digits, b'0'..=b'9') => {
                self.value = self.value.saturating_mul(10).saturating_add(byte - b'0');
                At::Digits
            }
            (At::Start, b'+' | b'-') => {
                self.negative = byte == b'-';
                At::Sign
            }
            (At::Start, b' ' | b'\t'..=b'\r') => At::Start,
            (At::Digits | At::End, b' ' | b'\t'..=b'\r') => At::End,
            _ => At::Bad,
        };
    }

    #[inline]
    fn end_of_request(&mut self, rules: &Rules) -> Request {
        let n = if self.negative { 0 } else { u32::from(self.value) };
        let request = match self.at {
            At::Start => Err(Bad::Empty),
            At::Digits | At::End if n > rules.max_n.min(MAX_N) => Err(Bad::TooLarge),
            At::Digits | At::End => Ok(n),
            At::Sign | At::Bad => Err(Bad::NotInteger),
        };
        *self = self.after();
        request
    }

    fn after(self) -> Self {
        Self { by: self.by, cut: self.cut, ..Self::new() }
    }
}
