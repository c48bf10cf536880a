//! The reader of recordings.

use alloc::string::String;
use alloc::vec::Vec;

use crate::driven::recording::number::take;
use crate::driven::recording::write::frame_sum;
use crate::driven::recording::{
    END, End, Error, FAILED, FRESH, HEAD, Header, MAGIC, MAX_ARGUMENTS, MAX_EVENTS, MAX_FRAME, MAX_INPUT,
    OLDEST, Record, TURN, Turn, VERSION,
};
use crate::driven::{ConnectError, ConnectId, Event, ServiceSettings, SourceHandle};
use crate::kernel::id::JobId;
use crate::kernel::instant::Instant;

/// A decoder of recordings, which decodes one frame at a time.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The number of bytes before the next input.
    at: u64,
    /// The checksum of the frames so far.
    sum: u32,
    now: Instant,
    /// The numbers of turns and events so far.
    turns: u64,
    counted: u64,
    is_over: bool,
    events: Vec<Event>,
}

/// A frame: its length with the check byte, its checksum, its content, and the bytes behind it.
struct Frame<'b> {
    length: [u8; 4],
    sum: u32,
    body: &'b [u8],
    rest: &'b [u8],
}

/// An error in a frame: the number of bytes between the error and the end of the frame, and the kind of damage.
type Wrong = (usize, &'static str);

impl Decoder {
    /// Creates a decoder for the beginning of a recording.
    #[must_use]
    pub fn new() -> Self {
        let (turns, counted, is_over) = (0, 0, false);
        Self { at: 0, sum: 0, now: Instant::ZERO, turns, counted, is_over, events: Vec::new() }
    }

    /// Returns true if `bytes` begin with a whole frame or, at the beginning of a recording, with a whole header.
    ///
    /// # Errors
    ///
    /// Fails if no frame can result, however many bytes follow.
    pub fn is_whole(&self, bytes: &[u8]) -> Result<bool, Error> {
        match self.frame(bytes) {
            Ok(_) => Ok(true),
            Err(Error::Empty | Error::Short { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Decodes the header at the beginning of a recording. Returns the bytes behind it too.
    ///
    /// # Errors
    ///
    /// Fails if `bytes` do not begin with a whole header.
    pub fn header<'b>(&mut self, bytes: &'b [u8]) -> Result<(Header, &'b [u8]), Error> {
        let (mut body, rest) = self.take_frame(bytes)?;
        let end = self.at;
        let header = header(&mut body).and_then(|header| over(body, header));
        Ok((header.map_err(|wrong| nonsense(end, wrong))?, rest))
    }

    /// Decodes the record at the front of `bytes`. Returns the bytes behind it too, which are the next input.
    ///
    /// # Errors
    ///
    /// Fails if `bytes` do not begin with a whole record. The decoder must not be used after the first error.
    pub fn record<'d, 'b: 'd>(&'d mut self, bytes: &'b [u8]) -> Result<(Record<'d>, &'b [u8]), Error> {
        if self.is_over {
            return Err(Error::Nonsense { at: self.at, what: "something behind the end" });
        }
        let (mut body, rest) = self.take_frame(bytes)?;
        let end = self.at;
        let record = match body.split_off_first() {
            None => Err((0, "a frame of nothing")),
            Some(&kind @ (TURN | FAILED)) => {
                let found = turn(&mut body, kind == TURN, &mut self.now, &mut self.events);
                self.turns += 1;
                if let Ok(Record::Turn { turn, .. }) = &found {
                    self.counted += turn.events.len() as u64;
                }
                found.and_then(|turn| over(body, turn))
            }
            Some(&FRESH) => over(body, Record::Fresh),
            Some(&END) => {
                self.is_over = true;
                let recorded = self::end(&mut body).and_then(|end| over(body, end));
                if let Ok(recorded) = recorded {
                    let found = End { turns: self.turns, events: self.counted, ..recorded };
                    if recorded != found {
                        return Err(Error::Miscounted { recorded, found });
                    }
                }
                recorded.map(Record::End)
            }
            Some(_) => Err((body.len() + 1, "a frame of no known kind")),
        };
        Ok((record.map_err(|wrong| nonsense(end, wrong))?, rest))
    }

    /// Decodes the frame at the front of `bytes`, and advances past it. Returns its content and the bytes behind it.
    fn take_frame<'b>(&mut self, bytes: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Error> {
        let Frame { length, sum, body, rest } = self.frame(bytes)?;
        self.sum = frame_sum(self.sum, length, body);
        if self.sum != sum {
            let at = self.at + (bytes.len() - rest.len() - body.len() - HEAD) as u64;
            return Err(Error::Nonsense {
                at,
                what: "a frame that does not fit its checksum, or not those before it",
            });
        }
        self.at += (bytes.len() - rest.len()) as u64;
        Ok((body, rest))
    }

    /// Returns the frame at the front of `bytes`, without a check of its checksum.
    fn frame<'b>(&self, bytes: &'b [u8]) -> Result<Frame<'b>, Error> {
        let short = Error::Short { at: self.at };
        let mut frames = bytes;
        if self.at == 0 {
            if bytes.is_empty() {
                return Err(Error::Empty);
            }
            let known = bytes.len().min(MAGIC.len());
            if bytes[..known] != MAGIC[..known] {
                return Err(Error::Foreign);
            }
            match bytes.get(MAGIC.len()) {
                None => return Err(short),
                Some(OLDEST..=VERSION) => frames = &bytes[MAGIC.len() + 1..],
                Some(&version) => return Err(Error::Version(version)),
            }
        }
        let (&length, rest) = frames.split_first_chunk().ok_or(short)?;
        let [a, b, c, check] = length;
        // With a damaged length, the bytes that follow would look truncated.
        if a ^ b ^ c ^ check != 0xff {
            let at = self.at + (bytes.len() - frames.len()) as u64;
            return Err(Error::Nonsense { at, what: "a frame whose length is none" });
        }
        let len = u32::from_le_bytes([a, b, c, 0]) as usize;
        if len > MAX_FRAME {
            let at = self.at + (bytes.len() - frames.len()) as u64;
            return Err(Error::Nonsense { at, what: "a frame that is larger than any turn" });
        }
        let (&sum, rest) = rest.split_first_chunk().ok_or(short)?;
        let (body, rest) = rest.split_at_checked(len).ok_or(short)?;
        Ok(Frame { length, sum: u32::from_le_bytes(sum), body, rest })
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn nonsense(end: u64, (left, what): Wrong) -> Error {
    Error::Nonsense { at: end - left as u64, what }
}

/// Returns `what`, if no bytes are left.
fn over<T>(body: &[u8], what: T) -> Result<T, Wrong> {
    if body.is_empty() { Ok(what) } else { Err((body.len(), "a frame that goes on behind its end")) }
}

fn number(body: &mut &[u8]) -> Result<u64, Wrong> {
    let before = body.len();
    take(body).ok_or((before, "no number"))
}

fn small(body: &mut &[u8]) -> Result<u32, Wrong> {
    let before = body.len();
    u32::try_from(number(body)?).map_err(|_| (before, "a number that is too large"))
}

/// Reads the number of items, each of which takes at least a byte.
fn count(body: &mut &[u8], most: usize) -> Result<usize, Wrong> {
    let before = body.len();
    let count = usize::try_from(number(body)?).ok().filter(|count| *count <= body.len());
    let count = count.ok_or((before, "more of something than there is"))?;
    if count > most { Err((before, "more of something than there may be")) } else { Ok(count) }
}

fn flag(body: &mut &[u8]) -> Result<bool, Wrong> {
    let before = body.len();
    match number(body)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err((before, "neither yes nor no")),
    }
}

fn name(body: &mut &[u8]) -> Result<u64, Wrong> {
    Ok(u64::from(small(body)?) | u64::from(small(body)?) << 32)
}

fn bytes<'b>(body: &mut &'b [u8]) -> Result<&'b [u8], Wrong> {
    let before = body.len();
    let length = usize::try_from(number(body)?).ok();
    length.and_then(|length| body.split_off(..length)).ok_or((before, "more bytes than there are"))
}

fn string(body: &mut &[u8]) -> Result<String, Wrong> {
    let before = body.len();
    let text = core::str::from_utf8(bytes(body)?).map_err(|_| (before, "text that is no UTF-8"))?;
    Ok(String::from(text))
}

fn header(body: &mut &[u8]) -> Result<Header, Wrong> {
    let service = string(body)?;
    let mut start = ServiceSettings::default();
    for _ in 0..count(body, MAX_ARGUMENTS)? {
        start.arguments.push(string(body)?);
    }
    start.max_connections = small(body)?;
    start.max_buffered = small(body)?;
    start.computes = flag(body)?;
    start.slice = small(body)?;
    // Older recordings end here, because their loops had no such limit.
    if !body.is_empty() {
        let before = body.len();
        start.max_jobs = small(body)?;
        if start.max_jobs == 0 {
            return Err((before, "a limit of no jobs"));
        }
    }
    Ok(Header { service, start })
}

fn end(body: &mut &[u8]) -> Result<End, Wrong> {
    Ok(End { turns: number(body)?, events: number(body)?, is_over: flag(body)? })
}

fn turn<'d, 'b: 'd>(
    body: &mut &'b [u8],
    has_answer: bool,
    now: &mut Instant,
    events: &'d mut Vec<Event>,
) -> Result<Record<'d>, Wrong> {
    let before = body.len();
    let passed = number(body)?;
    let nanos = now.as_nanos().checked_add(passed).ok_or((before, "a time that is too late"))?;
    *now = Instant::from_nanos(nanos);
    let window = small(body)?;
    events.clear();
    let count = count(body, MAX_EVENTS)?;
    // Only a small count is trusted with an allocation.
    events.reserve(count.min(1024));
    for _ in 0..count {
        events.push(event(body)?);
    }
    let before = body.len();
    let input = bytes(body)?;
    if input.len() > MAX_INPUT {
        return Err((before, "more input than a turn may have"));
    }
    let before = body.len();
    let answer = match has_answer {
        true => {
            let sum = body.split_off(..4).and_then(|sum| sum.try_into().ok());
            Some(u32::from_le_bytes(sum.ok_or((before, "no checksum"))?))
        }
        false => None,
    };
    Ok(Record::Turn { turn: Turn { now: *now, window, events, input }, answer })
}

fn reason(body: &mut &[u8]) -> Result<ConnectError, Wrong> {
    let before = body.len();
    let number = body.split_off_first().map(|number| usize::from(*number));
    let reason = number.and_then(|number| ConnectError::ALL.get(number));
    reason.copied().ok_or((before, "an error of no known kind"))
}

fn event(body: &mut &[u8]) -> Result<Event, Wrong> {
    let before = body.len();
    let kind = body.split_off_first().ok_or((before, "fewer events than there should be"))?;
    let source = |body: &mut &[u8]| name(body).map(SourceHandle);
    let job = |body: &mut &[u8]| name(body).map(JobId::from_bits);
    let request = |body: &mut &[u8]| name(body).map(ConnectId);
    Ok(match kind {
        0 => Event::Listener(source(body)?),
        1 => Event::Accepted { listener: source(body)?, connection: source(body)?, len: small(body)? },
        2 => Event::Received { source: source(body)?, len: small(body)? },
        3 => Event::Ended(source(body)?),
        4 => Event::Writable(source(body)?),
        5 => Event::Stuck(source(body)?),
        6 => Event::Hangup(source(body)?),
        7 => Event::Failed(source(body)?),
        8 => Event::Idle(source(body)?),
        9 => Event::Computed { job: job(body)?, len: small(body)? },
        10 => Event::Lost(job(body)?),
        11 => Event::Stop,
        12 => Event::Took(number(body)?),
        13 => Event::More,
        14 => Event::Connected { request: request(body)?, source: source(body)?, len: small(body)? },
        15 => Event::ConnectFailed { request: request(body)?, reason: reason(body)? },
        16 => Event::WallClock(number(body)?),
        17 => Event::Entropy { len: small(body)? },
        _ => return Err((before, "an event of no known kind")),
    })
}
