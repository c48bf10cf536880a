//! Recordings, which contain the input of a loop, turn by turn, and a checksum of each answer.
//!
//! A [driven](super) loop depends only on the input of its turns. This input is sufficient to run the loop again, here
//! or elsewhere, with the same answers byte for byte. If the answers differ, the checksums show the first turn that
//! differs. This module does no I/O: a [`Writer`] appends to a buffer, which the caller writes to a file, and a
//! [`Decoder`] decodes bytes that the caller has read.
//!
//! ```
//! # use sinbin_core::Instant;
//! # use sinbin_core::driven::recording::{Decoder, Header, Record, Turn, Writer};
//! # use sinbin_core::driven::{Event, SourceHandle, ServiceSettings};
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
//! A recording begins with ten bytes that identify the format, and a version byte. Frames follow. A frame consists of a
//! length of three bytes, little-endian; a byte that makes the exclusive or of these four bytes 255; a CRC-32 (IEEE) of
//! four bytes, little-endian; and as many bytes as the length says. The checksum covers all frames up to and including
//! this one, without their checksums: it detects a frame that is damaged, missing or inserted. Numbers in frames are
//! LEB128, of up to 64 bits; strings and bytes are preceded by their length. The first frame is the [`Header`]. Each
//! other frame begins with a byte for its kind:
//!
//! | byte | kind | content |
//! | --- | --- | --- |
//! | 0 | the end | turns, events, and 1 if the loop has ended or 0 if only the recording has |
//! | 1 | a turn | nanoseconds since the previous turn, window, number of events, the events, the bytes of the input, and the CRC-32 of the answer in four bytes, little-endian |
//! | 2 | a turn in which the loop failed | that of a turn, without the checksum |
//! | 3 | a fresh loop | nothing: the loop is started as the first one was |
//!
//! An event is a byte, counted from 0 in the order of [`Event`]'s variants, followed by its numbers; a handle, job or
//! request is two numbers, its low half and its high half, and the reason of a failure is a byte. The checksum of an answer covers its rest (0 ready, 1 until and the
//! nanoseconds, 2 stalled, 3 empty), its room, the number of commands, the commands, which are encoded like events and
//! with an interest as a byte, and its output.

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

/// The bytes that identify a recording, and the version.
const MAGIC: &[u8; 10] = b"sinbin-rec";
const VERSION: u8 = 4;

/// The oldest version that can be read. Each version since then has only added events.
const OLDEST: u8 = 3;

/// The maximum number of events in a recorded turn. A loop with more events per turn can't be recorded in this format.
pub const MAX_EVENTS: usize = 1 << 18;

/// The maximum number of bytes in a turn's input: more than any driver passes at once.
pub const MAX_INPUT: usize = 1 << 20;

/// The maximum number of arguments of a service.
const MAX_ARGUMENTS: usize = 1 << 16;

/// The maximum number of bytes in a frame, which is that of the largest turn. A reader need not hold more than this,
/// nor more than [`MAX_EVENTS`] events, whatever a file contains.
const MAX_FRAME: usize = MAX_INPUT + MAX_EVENTS * EVENT + 64;

/// The maximum number of bytes of an event: its kind, four halves of names, and a length.
const EVENT: usize = 1 + 5 * 5;

/// The number of bytes before the content of a frame: its length, the check byte, and its checksum.
const HEAD: usize = 8;

/// Kinds of frames.
const END: u8 = 0;
const TURN: u8 = 1;
const FAILED: u8 = 2;
const FRESH: u8 = 3;

/// The origin of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The name of the service: for display, and for programs with several services.
    pub service: String,
    /// The parameters with which each of its loops was started.
    pub start: ServiceSettings,
}

/// The input of a loop in a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn<'a> {
    /// The time of the turn.
    pub now: Instant,
    /// The number of bytes that each source may send.
    pub window: u32,
    /// The events.
    pub events: &'a [Event],
    /// The bytes that belong to the events.
    pub input: &'a [u8],
}

/// An element of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// A turn.
    Turn {
        /// The input of the loop.
        turn: Turn<'a>,
        /// The [`checksum`] of its answer; `None` if it failed.
        answer: Option<u32>,
    },
    /// The following turns belong to a fresh loop.
    Fresh,
    /// The end of the recording.
    End(End),
}

/// The end of a recording, with its counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// The number of turns that were recorded.
    pub turns: u64,
    /// The number of events in these turns.
    pub events: u64,
    /// True if the loop has ended too; if false, it continued without being recorded.
    pub is_over: bool,
}

/// Error returned when a recording can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The recording is empty.
    Empty,
    /// The recording ends within a frame, or without its end record: its writer was killed, or is still writing.
    Short {
        /// The number of bytes that are complete; 0 if the recording ends within its header.
        at: u64,
    },
    /// The bytes are not a recording.
    Foreign,
    /// The recording has an unknown version.
    Version(u8),
    /// The recording is damaged.
    Nonsense {
        /// The position of the damage, counted from the beginning of the recording.
        at: u64,
        /// The kind of damage.
        what: &'static str,
    },
    /// The end record counts other turns, or events, than the recording contains.
    Miscounted {
        /// The counts of the end record.
        recorded: End,
        /// The counts of the turns and events that were read.
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
                write!(
                    f,
                    "it is a recording of version {version}, and versions {OLDEST} to {VERSION} are known here"
                )
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
