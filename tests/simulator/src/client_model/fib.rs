//! The Fibonacci service.

use sinbin_core::fib_protocol::{Bad, Framing, Request, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_testkit::fib_oracle::{line, request};

use crate::client_model::ClientModel;
use crate::expected::{Expected, Read};
use crate::rng::Rng;

/// Sends small and large numbers, and invalid requests.
#[derive(Clone, Debug)]
pub struct FibTalk {
    rules: Rules,
    loop_n: u32,
    /// The errors that are accepted instead of a number: if there is too little capacity for jobs, and if workers fail.
    may_be_busy: bool,
    may_be_lost: bool,
    /// The bytes that were read and are not a whole request yet.
    pending: Vec<u8>,
    is_cut: bool,
    /// True if requests are lines; `None` until that is known.
    by_lines: Option<bool>,
    /// The byte sequences that, if they come next, are the newline of a bare request.
    newlines: &'static [&'static [u8]],
}

impl FibTalk {
    /// Creates a client of `service`.
    #[must_use]
    pub fn new(service: &Fib) -> Self {
        let by_lines = match service.rules.framing {
            Framing::Lines => Some(true),
            Framing::Bare => Some(false),
            Framing::Auto => None,
        };
        Self {
            rules: service.rules,
            loop_n: service.loop_n,
            may_be_busy: false,
            may_be_lost: false,
            pending: Vec::new(),
            is_cut: false,
            by_lines,
            newlines: &[],
        }
    }

    /// Accepts an error instead of a number: if there is too little capacity for jobs (`busy`), or if workers fail
    /// (`lost`).
    #[must_use]
    pub fn forgiving(self, busy: bool, lost: bool) -> Self {
        Self { may_be_busy: busy, may_be_lost: lost, ..self }
    }

    fn owe(&self, request: Request, expected: &mut Expected) {
        let text = |request| line(&self.rules, request).into_bytes();
        match request {
            Ok(n) if n > self.loop_n => {
                let instead = [(self.may_be_busy, Bad::Busy), (self.may_be_lost, Bad::Lost)];
                let instead = instead.into_iter().filter(|(may, _)| *may).map(|(_, bad)| text(Err(bad)));
                expected.either(text(request), instead.collect());
            }
            _ => expected.answer(text(request)),
        }
        if request == Err(Bad::TooLong) {
            expected.over();
        }
    }

    /// Handles the end of a read, or of the stream: the pending bytes are complete.
    fn complete(&mut self, expected: &mut Expected) {
        // A first read without a newline means that the client sends bare requests.
        if !*self.by_lines.get_or_insert(false) && !expected.is_over() {
            self.complete_bare(expected);
            self.pending.clear();
        }
        self.is_cut = false;
    }

    /// Answers a bare request. The newline that may follow it is no request.
    fn complete_bare(&mut self, expected: &mut Expected) {
        if self.pending == b"\r" && self.newlines.len() > 1 {
            self.newlines = &[b"\n"];
            return;
        }
        self.owe(request(&self.rules, &self.pending), expected);
        self.newlines = if self.rules.framing == Framing::Auto { &[b"\n", b"\r\n"] } else { &[] };
    }

    /// Switches to lines if a newline follows a bare request.
    fn find_newline(&mut self) {
        let newline = self.newlines.iter().find(|newline| self.pending.starts_with(newline));
        if let Some(newline) = newline {
            self.pending.drain(..newline.len());
            self.by_lines = Some(true);
            self.newlines = &[];
        }
    }

    fn lines(&mut self, expected: &mut Expected) {
        let mut start = 0;
        while let Some(len) = self.pending[start..].iter().position(|byte| *byte == b'\n') {
            let asked = request(&self.rules, &self.pending[start..start + len]);
            self.owe(asked, expected);
            start += len + 1;
        }
        self.pending.drain(..start);
    }
}

impl ClientModel for FibTalk {
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
        let n = rng.below(11);
        match rng.below(24) {
            0..12 => text.extend(format!("{n}\n").bytes()),
            12..17 => text.extend(format!("{}\n", 11 + n % 6).bytes()),
            17 => text.extend(format!("  {n}\r\n").bytes()),
            18 => text.extend(rng.pick(&["\n", " \t\n", "\r\n"]).bytes()),
            19 => {
                let odd = ["x\n", "--4\n", "99\n", "100000000000000\n", "-7\n", "+3\n"];
                text.extend(rng.pick(&odd).bytes());
            }
            20 => text.extend(format!("{n:0>width$}\n", width = usize::from(self.rules.max_line)).bytes()),
            // Half a line: the next text continues it, or the end of the stream ends it.
            21 => text.extend(format!("{}", n % 10).bytes()),
            22 => (0..rng.between(2, 40)).for_each(|_| text.extend(format!("{n}\n").bytes())),
            _ if rng.strikes(200) => {
                text.extend(format!("{n:0>width$}\n", width = usize::from(self.rules.max_line) + 1).bytes());
            }
            _ => text.extend(format!("{n}\n").bytes()),
        }
    }

    fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
        match read {
            Read::Bytes { bytes, is_cut } => {
                self.pending.extend(bytes);
                self.is_cut = is_cut;
                self.find_newline();
                if self.rules.framing == Framing::Auto && bytes.contains(&b'\n') {
                    self.by_lines = Some(true);
                    self.newlines = &[];
                }
                if self.by_lines == Some(true) {
                    self.lines(expected);
                }
                if self.pending.len() > usize::from(self.rules.max_line) {
                    self.owe(Err(Bad::TooLong), expected);
                } else if self.by_lines != Some(true) && !is_cut {
                    self.complete(expected);
                }
            }
            Read::Nothing if self.is_cut => self.complete(expected),
            Read::Nothing => {}
            Read::End if self.by_lines == Some(false) => {
                if self.is_cut {
                    self.complete(expected);
                }
            }
            Read::End => {
                let rest = request(&self.rules, &self.pending);
                if rest != Err(Bad::Empty) && !expected.is_over() {
                    self.owe(rest, expected);
                }
            }
        }
    }

    fn may_keep(&self) -> usize {
        usize::from(self.rules.max_line)
    }
}
