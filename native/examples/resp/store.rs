//! Keys and values, and the requests for them in RESP, the protocol of Redis: PING, ECHO, GET, SET, DEL, EXISTS, INCR,
//! DBSIZE and FLUSHALL. Nothing here waits.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// The maximum number of arguments of a request.
const MAX_ARGUMENTS: usize = 64;

/// The maximum length of an argument.
const MAX_LENGTH: usize = 64 * 1024;

/// The maximum number of bytes of all keys and values.
const MAX_BYTES: usize = 256 << 20;

/// The reply to a request that would exceed [`MAX_BYTES`].
const FULL: &[u8] = b"-OOM the store is full\r\n";

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Error returned when the store has no capacity for a value.
struct Full;

/// The keys and their values.
#[derive(Default)]
pub struct Store {
    entries: RefCell<Entries>,
    /// The number of bytes of all keys and values.
    bytes: Cell<usize>,
}

/// The state of the request at the beginning of a client's bytes.
pub enum Progress {
    /// A request of this many bytes, which is answered.
    Answered(usize),
    /// A part of a request.
    Incomplete,
    /// Bytes that begin no request: the client is told so, and its connection ends.
    Nonsense,
}

impl Store {
    /// Answers the request at the beginning of `bytes`: appends the reply to `replies`.
    pub fn answer_first(&self, bytes: &[u8], replies: &mut Vec<u8>) -> Progress {
        match parse(bytes) {
            Parsed::Request(arguments, length) => {
                self.answer(&arguments, replies);
                Progress::Answered(length)
            }
            Parsed::Part => Progress::Incomplete,
            Parsed::Nonsense(what) => {
                replies.extend_from_slice(format!("-ERR Protocol error: {what}\r\n").as_bytes());
                Progress::Nonsense
            }
        }
    }

    /// Stores a value, unless the store is full.
    fn store(&self, entries: &mut Entries, key: &[u8], value: &[u8]) -> Result<(), Full> {
        let before = entries.get(key).map_or(0, |value| key.len() + value.len());
        let bytes = self.bytes.get() - before + key.len() + value.len();
        if bytes > MAX_BYTES {
            return Err(Full);
        }
        self.bytes.set(bytes);
        match entries.get_mut(key) {
            Some(entry) => value.clone_into(entry),
            None => drop(entries.insert(key.to_vec(), value.to_vec())),
        }
        Ok(())
    }

    fn answer(&self, arguments: &[&[u8]], replies: &mut Vec<u8>) {
        let Some((command, arguments)) = arguments.split_first() else { return };
        let mut entries = self.entries.borrow_mut();
        match (&*command.to_ascii_uppercase(), arguments) {
            (b"PING", []) => replies.extend_from_slice(b"+PONG\r\n"),
            (b"PING" | b"ECHO", [text]) => bulk(replies, Some(text)),
            (b"GET", [key]) => bulk(replies, entries.get(*key).map(Vec::as_slice)),
            (b"SET", [key, value]) => {
                let stored = self.store(&mut entries, key, value);
                replies.extend_from_slice(if stored.is_ok() { b"+OK\r\n" } else { FULL });
            }
            (b"DEL", keys) if !keys.is_empty() => {
                let mut removed = 0;
                for key in keys {
                    let Some(value) = entries.remove(*key) else { continue };
                    self.bytes.set(self.bytes.get() - key.len() - value.len());
                    removed += 1;
                }
                number(replies, removed);
            }
            (b"EXISTS", keys) if !keys.is_empty() => {
                number(replies, keys.iter().filter(|key| entries.contains_key(**key)).count() as i64);
            }
            (b"INCR", [key]) => {
                let text = entries.get(*key).map_or(Ok("0"), |value| core::str::from_utf8(value)).ok();
                match text.and_then(|text| text.parse::<i64>().ok()).and_then(|value| value.checked_add(1)) {
                    Some(next) => {
                        let value = format!("{next}").into_bytes();
                        if self.store(&mut entries, key, &value).is_ok() {
                            number(replies, next);
                        } else {
                            replies.extend_from_slice(FULL);
                        }
                    }
                    None => replies.extend_from_slice(b"-ERR value is not an integer or out of range\r\n"),
                }
            }
            (b"DBSIZE", []) => number(replies, entries.len() as i64),
            (b"FLUSHALL", []) => {
                entries.clear();
                self.bytes.set(0);
                replies.extend_from_slice(b"+OK\r\n");
            }
            // Clients ask for these when they connect.
            (b"COMMAND" | b"CONFIG", _) => replies.extend_from_slice(b"*0\r\n"),
            (
                b"GET" | b"SET" | b"DEL" | b"EXISTS" | b"INCR" | b"ECHO" | b"PING" | b"DBSIZE" | b"FLUSHALL",
                _,
            ) => {
                replies.extend_from_slice(b"-ERR wrong number of arguments\r\n");
            }
            _ => replies.extend_from_slice(b"-ERR unknown command\r\n"),
        }
    }
}

fn bulk(replies: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return replies.extend_from_slice(b"$-1\r\n") };
    replies.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    replies.extend_from_slice(value);
    replies.extend_from_slice(b"\r\n");
}

fn number(replies: &mut Vec<u8>, number: i64) {
    replies.extend_from_slice(format!(":{number}\r\n").as_bytes());
}

/// The beginning of the received bytes.
enum Parsed<'a> {
    /// A request, and the number of its bytes.
    Request(Vec<&'a [u8]>, usize),
    /// The first bytes of a request.
    Part,
    /// Bytes that begin no request.
    Nonsense(&'static str),
}

/// Reads a request: an array of bulk strings, or a line of words.
fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some(&first) = bytes.first() else { return Parsed::Part };
    let mut rest = bytes;
    let Some(line) = line(&mut rest) else {
        return if bytes.len() > MAX_LENGTH { Parsed::Nonsense("too long a line") } else { Parsed::Part };
    };
    if first != b'*' {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        return Parsed::Request(words, bytes.len() - rest.len());
    }
    let Some(count) = length(&line[1..], MAX_ARGUMENTS) else {
        return Parsed::Nonsense("invalid multibulk length");
    };
    let mut arguments = Vec::with_capacity(count);
    for _ in 0..count {
        let Some(head) = self::line(&mut rest) else {
            return if rest.len() > 32 { Parsed::Nonsense("expected '$'") } else { Parsed::Part };
        };
        let Some(length) = head.strip_prefix(b"$").and_then(|text| length(text, MAX_LENGTH)) else {
            return Parsed::Nonsense("invalid bulk length");
        };
        let Some((argument, after)) = rest.split_at_checked(length + 2) else { return Parsed::Part };
        let Some(argument) = argument.strip_suffix(b"\r\n") else {
            return Parsed::Nonsense("expected the end of a bulk string");
        };
        arguments.push(argument);
        rest = after;
    }
    Parsed::Request(arguments, bytes.len() - rest.len())
}

/// Takes a line from the front of `rest`, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn length(text: &[u8], most: usize) -> Option<usize> {
    let number = core::str::from_utf8(text).ok()?.parse().ok()?;
    (number <= most).then_some(number)
}
