//! The Fibonacci service's protocol: bytes in, requests out.
//!
//! A request is a decimal integer that ends with `\n`; blanks around the integer, including `\r`, are allowed. A reply
//! is one line. The talk's own clients send no newline: they send `30` and wait for the reply. Therefore a connection
//! whose first read has no newline is *bare*: each read is one request, up to the first read with a newline. That read
//! and all later ones are split into lines. Some clients write a line and its newline separately (as `nc -C` does), so
//! a newline (or `\r\n`) right after a bare request is the end of that request.
//!
//! The parser stores no bytes of an incomplete line, only the value so far, so half a line needs no buffer.
//!
//! ```
//! # use sinbin_core::fib_protocol::{Bad, Requests, Rules};
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

/// The maximum length of a reply, including its newline.
pub const MAX_REPLY: usize = 96;

/// The limits and the framing of requests that a server accepts.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The largest n; at most [`MAX_N`].
    pub max_n: u32,
    /// The longest line, in bytes, without its newline.
    pub max_line: u16,
    /// The way in which requests are separated.
    pub framing: Framing,
}

impl Default for Rules {
    /// Returns the default rules: n up to 45, lines up to 64 bytes, and bare clients are accepted.
    fn default() -> Self {
        Self { max_n: 45, max_line: 64, framing: Framing::Auto }
    }
}

/// The way in which requests are separated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// By reads until the first read that contains a newline, and by lines from that read on.
    Auto,
    /// By lines only, for networks that may split a first line into two reads.
    Lines,
    /// By reads only.
    Bare,
}

/// The reason why a request gets an error line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// The request is empty or blank.
    Empty,
    /// The request is not a decimal integer.
    NotInteger,
    /// n is above the limit.
    TooLarge,
    /// The line is longer than the limit. The connection is closed.
    TooLong,
    /// The request was not complete in time. The connection is closed.
    Late,
    /// The limit on the number of jobs is reached.
    Busy,
    /// The worker that computed the job failed.
    Lost,
    /// The computation took too long and was cancelled.
    Overdue,
}

/// A request: n (0 for every negative number), or what is wrong with the request.
pub type Request = Result<u32, Bad>;

/// A reply to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The number.
    Value(u64),
    /// An error line.
    Error(Bad),
}

impl Reply {
    /// Writes the line to the front of `out` and returns its length. `out` must have at least [`MAX_REPLY`] bytes.
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

/// Parses a line of one or two digits, the most frequent kind of request. Returns the number of digits, and n.
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

/// The position of the parser within a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Start,
    Sign,
    Digits,
    /// In the blanks after the digits.
    End,
    Bad,
}

/// The way in which the requests of this connection are separated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framer {
    Unknown,
    Lines,
    Reads,
}

/// The state of the newline that ends a bare request, which is sent without a newline of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newline {
    /// No newline belongs to an earlier request.
    Own,
    /// A bare request has just ended. A newline that follows belongs to it.
    Behind,
    /// The read after the bare request was `\r`, and nothing else.
    Half,
    /// The current read begins with the newline of the bare request.
    Here,
}

/// The parser for the requests of one connection. It has eight bytes and can be copied freely; a copy is a point to
/// return to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requests {
    len: u16,
    /// The value of n so far. It saturates at 255, which is above every limit.
    value: u8,
    at: At,
    negative: bool,
    by: Framer,
    /// Set if the last read filled the buffer.
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
    /// Creates a parser before the first byte.
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

    /// Begins a read of `bytes`. `whole` is true if the size of the buffer did not cut the read off. The connection is
    /// bare until a read contains a newline.
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

    /// Checks whether a read switches a bare connection to lines, and whether the read begins with the newline of the
    /// last bare request. `continues` is true if the read continues one that was cut off.
    fn look_for_newline(&mut self, bytes: &[u8], continues: bool) {
        if bytes.contains(&b'\n') {
            self.by = Framer::Lines;
        }
        self.newline = match (self.newline, bytes) {
            (Newline::Behind | Newline::Half, [b'\n', ..]) | (Newline::Behind, [b'\r', b'\n', ..]) => {
                Newline::Here
            }
            (Newline::Behind, b"\r") => Newline::Half,
            // The `\r` was a blank before the next request.
            (Newline::Half, _) => {
                self.len = u16::from(continues);
                Newline::Own
            }
            (Newline::Behind, _) => Newline::Own,
            (newline, _) => newline,
        };
    }

    /// Returns true if a request ends with its read and that read was cut off. The next bytes belong to this request.
    /// If there are none, call [`end_read`](Self::end_read).
    #[must_use]
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.cut && self.by != Framer::Lines
    }

    /// Notes that the last read was not cut off: no further bytes belong to it.
    pub fn end_read(&mut self) {
        self.cut = false;
        if self.by == Framer::Unknown {
            self.by = Framer::Reads;
        }
    }

    /// Returns true if the read is one request. Call [`finish`](Self::finish) after its bytes are consumed.
    #[must_use]
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.by == Framer::Reads && !self.cut
    }

    /// Returns true if a part of a request has been consumed.
    #[must_use]
    #[inline]
    pub const fn is_begun(&self) -> bool {
        self.len > 0
    }

    /// Returns true if the bytes of a whole read are consumed and the request is not [`finish`](Self::finish)ed.
    #[must_use]
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.is_bare() && self.len > 0
    }

    /// Consumes bytes up to the end of the next request. Returns their number, and the request if it is complete. After
    /// [`Bad::TooLong`], later requests cannot be recognized.
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
                // With bare framing, a newline is a blank.
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

    /// Ends the input, at the end of the stream or of a bare connection's read. Returns the request that the consumed
    /// bytes form, if any.
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
