//! The expected answers of the Fibonacci service, computed in a straightforward way: the whole text is in memory, and
//! the standard library parses it.

use std::num::IntErrorKind;

use sinbin_core::fib_protocol::{Bad, Framing, Request, Rules};

/// The bytes of a single read by the server.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    pub bytes: Vec<u8>,
    /// True if the buffer was full, so that the next bytes may belong to this read.
    pub is_cut: bool,
}

/// Returns the requests of a connection with these `reads` that, if `ended`, ended after them.
pub fn asked(rules: &Rules, reads: &[Read], ended: bool) -> Vec<Request> {
    let whole = joined(reads);
    let by_lines = match rules.framing {
        Framing::Lines => true,
        Framing::Bare => false,
        // As long as the first read is incomplete, it counts as an incomplete line.
        Framing::Auto => whole.first().is_none_or(|read| read.is_cut || read.bytes.contains(&b'\n')),
    };
    if by_lines { by_line(rules, &bytes(reads), ended) } else { by_read(rules, &whole, ended) }
}

pub fn bytes(reads: &[Read]) -> Vec<u8> {
    reads.iter().flat_map(|read| read.bytes.clone()).collect()
}

/// Joins each read that was cut off with the read that follows.
fn joined(reads: &[Read]) -> Vec<Read> {
    let mut whole: Vec<Read> = Vec::new();
    for read in reads {
        match whole.last_mut() {
            Some(last) if last.is_cut => {
                last.bytes.extend(&read.bytes);
                last.is_cut = read.is_cut;
            }
            _ => whole.push(read.clone()),
        }
    }
    whole
}

fn by_line(rules: &Rules, input: &[u8], ended: bool) -> Vec<Request> {
    let mut all = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let is_whole = line.ends_with(b"\n");
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let request = request(rules, text);
        let is_too_long = request == Err(Bad::TooLong);
        // The end of the stream also ends the last line, if that is not empty.
        if is_whole || is_too_long || ended && request != Err(Bad::Empty) {
            all.push(request);
        }
        if is_too_long {
            break;
        }
    }
    all
}

fn by_read(rules: &Rules, reads: &[Read], ended: bool) -> Vec<Request> {
    let mut all = Vec::new();
    let is_auto = rules.framing == Framing::Auto;
    let mut lacks_newline = false;
    for (at, read) in reads.iter().enumerate() {
        let rest = bytes(&reads[at..]);
        let behind = lacks_newline.then(|| behind_newline(&rest, &read.bytes)).flatten();
        // If a later read contains a newline anywhere, this read and all that follow are lines.
        let lines = behind.or((is_auto && read.bytes.contains(&b'\n')).then_some(&rest));
        if let Some(lines) = lines {
            all.extend(by_line(rules, lines, ended));
            break;
        }
        // The lone `\r` may have been the beginning of `\r\n`.
        let is_blank = lacks_newline && read.bytes == b"\r";
        lacks_newline = is_auto && !is_blank;
        if is_blank {
            continue;
        }
        let request = request(rules, &read.bytes);
        let is_too_long = request == Err(Bad::TooLong);
        if !read.is_cut || ended || is_too_long {
            all.push(request);
        }
        if is_too_long {
            break;
        }
    }
    all
}

/// Returns the bytes after the newline at the start of `rest`, if there is one. A `\r` belongs to the newline if it
/// arrived in the same `read` as `\n`, or as a read of its own.
fn behind_newline<'a>(rest: &'a [u8], read: &[u8]) -> Option<&'a [u8]> {
    let is_together = read.starts_with(b"\r\n") || read == b"\r";
    let text = if is_together { rest.strip_prefix(b"\r")? } else { rest };
    text.strip_prefix(b"\n")
}

/// Parses the text of a line.
pub fn request(rules: &Rules, text: &[u8]) -> Request {
    if text.len() > usize::from(rules.max_line) {
        return Err(Bad::TooLong);
    }
    // Only ASCII whitespace counts as blank.
    let is_blank = |char| matches!(char, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let text = str::from_utf8(text).map_err(|_| Bad::NotInteger)?.trim_matches(is_blank);
    // The standard library's parser would report an overflow before it reaches a character that is not a digit.
    if text.trim_start_matches(['+', '-']).contains(|char: char| !char.is_ascii_digit()) {
        return Err(Bad::NotInteger);
    }
    match text.parse::<i128>() {
        Ok(n) if n > i128::from(rules.max_n) => Err(Bad::TooLarge),
        Ok(n) => Ok(u32::try_from(n).unwrap_or(0)),
        Err(error) => match error.kind() {
            IntErrorKind::Empty => Err(Bad::Empty),
            IntErrorKind::PosOverflow => Err(Bad::TooLarge),
            IntErrorKind::NegOverflow => Ok(0),
            _ => Err(Bad::NotInteger),
        },
    }
}

/// Returns the line that answers a request.
pub fn line(rules: &Rules, request: Request) -> String {
    match request {
        Ok(n) => format!("{}\n", fib(n)),
        Err(Bad::Empty) => "error: an empty line; send an integer\n".into(),
        Err(Bad::NotInteger) => "error: not an integer\n".into(),
        Err(Bad::TooLarge) => format!("error: n is over the limit of {}\n", rules.max_n),
        Err(Bad::TooLong) => {
            format!("error: the line is over the limit of {} bytes; closing\n", rules.max_line)
        }
        Err(Bad::Busy) => "error: too many jobs; try again later\n".into(),
        Err(Bad::Late) => "error: the request took too long; closing\n".into(),
        Err(Bad::Lost) => "error: the computation failed\n".into(),
        Err(Bad::Overdue) => {
            "error: the computation took too long; try a smaller n, or try again later\n".into()
        }
    }
}

pub fn fib(n: u32) -> u64 {
    let (mut this, mut next) = (1, 1);
    for _ in 2..n {
        (this, next) = (next, this + next);
    }
    next
}
