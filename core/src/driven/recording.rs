//! Recordings: what a loop was told, turn by turn, and a checksum of what it answered each time.
//!
//! A [driven](super) loop learns of the world what it is told in its turns, and does nothing else by itself. So these
//! are all that it takes to run it again, here or elsewhere, and it answers the same to the byte; where it does not,
//! the checksums say in which turn that begins. Nothing here does I/O: a [`Writer`] appends to bytes that somebody else
//! takes to a file, and a [`Decoder`] is shown bytes that somebody else has read.
//!
//! ```
//! use sinbin_core::Instant;
//! use sinbin_core::driven::recording::{Decoder, Header, Record, Turn, Writer};
//! use sinbin_core::driven::{Event, SourceHandle, ServiceSettings};
//!
//! let header = Header { service: "echo".to_owned(), start: ServiceSettings::default() };
//! let mut bytes = Vec::new();
//! let mut writer = Writer::new(&header, &mut bytes);
//! let turn = Turn { now: Instant::ZERO, window: 4096, events: &[Event::Listener(SourceHandle(1))], input: &[] };
//! writer.turn(&turn, None, &mut bytes);
//!
//! let mut decoder = Decoder::new();
//! let (found, rest) = decoder.header(&bytes)?;
//! assert_eq!(found, header);
//! let (record, rest) = decoder.record(rest)?;
//! assert_eq!(record, Record::Turn { turn, answer: None });
//! assert!(rest.is_empty());
//! # Ok::<(), sinbin_core::driven::recording::Error>(())
//! ```
//!
//! # The format
//!
//! Ten bytes say that it is a recording, and another one in which version. Then there are frames: three bytes of length,
//! little-endian; a byte that makes the exclusive or of these four 255; a CRC-32 (IEEE) in four bytes, little-endian; and as
//! many bytes as the length says. The checksum is that of all frames up to this one, it included, without their checksums:
//! so a frame that is bent is told, and one that is missing, or was put in. Numbers in frames are LEB128, of up to 64 bits;
//! a string or bytes are their length and they. The first frame is the [`Header`]; each other one begins with a byte that
//! says what it is:
//!
//! | byte | what | holds |
//! | --- | --- | --- |
//! | 0 | the end | turns, events, and 1 if the loop has ended or 0 if only the recording has |
//! | 1 | a turn | nanoseconds since the turn before, window, how many events, these, the bytes of the input, and the CRC-32 of the answer in four bytes, little-endian |
//! | 2 | a turn in which the loop failed | the same without a checksum |
//! | 3 | a fresh loop | nothing: it is started as the first one was |
//!
//! An event is a byte, counted from 0 in the order of [`Event`]'s variants, and its numbers; a handle or job is two of
//! them, its low half and its high. The checksum of an answer is that of its rest (0 ready, 1 until and the
//! nanoseconds, 2 stalled, 3 empty), its room, how many commands, these, written as the events are and with an
//! interest as a byte, and its output.

mod number;
mod read;
#[cfg(test)]
mod tests;
mod write;

use alloc::string::String;
use core::fmt;

use crate::driven::{Event, ServiceSettings};
use crate::kernel::instant::Instant;

pub use read::Decoder;
pub use write::{Writer, checksum};

/// What a recording begins with, and its version.
const MAGIC: &[u8; 10] = b"sinbin-rec";
const VERSION: u8 = 3;

/// The events of a turn that is recorded, at the most. A loop with so many at once has to be recorded otherwise.
pub const MAX_EVENTS: usize = 1 << 18;

/// The bytes of a turn's input, at the most: more than any driver tells at once.
pub const MAX_INPUT: usize = 1 << 20;

/// The arguments of a service, at the most.
const MAX_ARGUMENTS: usize = 1 << 16;

/// The bytes of a frame, at the most: as many as the largest turn has. What reads recordings need hold no more, and no
/// more than [`MAX_EVENTS`] events, whatever a file says.
const MAX_FRAME: usize = MAX_INPUT + MAX_EVENTS * EVENT + 64;

/// The bytes of an event, at the most: its kind, four halves of names, and a length.
const EVENT: usize = 1 + 5 * 5;

/// The bytes before those of a frame: its length, with a byte of check, and its checksum.
const HEAD: usize = 8;

/// Kinds of frames.
const END: u8 = 0;
const TURN: u8 = 1;
const FAILED: u8 = 2;
const FRESH: u8 = 3;

/// What was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The service's name: for people, and for who has several.
    pub service: String,
    /// What each of its loops was started with.
    pub start: ServiceSettings,
}

/// What a loop is told in a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn<'a> {
    /// Until when.
    pub now: Instant,
    /// How many bytes each source may send.
    pub window: u32,
    /// What happened.
    pub events: &'a [Event],
    /// The bytes that belong to the events.
    pub input: &'a [u8],
}

/// What a recording consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// A turn.
    Turn {
        /// What the loop was told.
        turn: Turn<'a>,
        /// The [`checksum`] of its answer; `None` if it failed.
        answer: Option<u32>,
    },
    /// From here on another loop is told, a fresh one.
    Fresh,
    /// The end.
    End(End),
}

/// How a recording ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Turns that were recorded.
    pub turns: u64,
    /// Events in them.
    pub events: u64,
    /// The loop has ended too; if not, it went on without being recorded.
    pub is_over: bool,
}

/// What is wrong with a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is nothing in it.
    Empty,
    /// It ends in the middle of a frame, or without its end: whoever wrote it was killed, or is still at it.
    Short {
        /// How many bytes are whole; 0 if it ends within its header.
        at: u64,
    },
    /// It is something else.
    Foreign,
    /// It is of a version that is not known here.
    Version(u8),
    /// Its bytes mean nothing.
    Nonsense {
        /// Where, counted from the beginning of the recording.
        at: u64,
        /// What is found there.
        what: &'static str,
    },
    /// Its end counts other turns, or events, than there are.
    Miscounted {
        /// What it says.
        recorded: End,
        /// What it should say.
        found: End,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Short { at: 0 } => f.write_str("it ends within its header"),
            Self::Short { at } => write!(f, "it is cut short behind byte {at}"),
            Self::Foreign => f.write_str("it is no recording"),
            Self::Version(version) => {
                write!(f, "it is a recording of version {version}, and version {VERSION} is known here")
            }
            Self::Nonsense { at, what } => write!(f, "it is damaged at byte {at}: {what}"),
            Self::Miscounted { recorded, found } => write!(
                f,
                "it is damaged: {} turns with {} events were recorded, and {} with {} are here",
                recorded.turns, recorded.events, found.turns, found.events
            ),
        }
    }
}

impl core::error::Error for Error {}
