//! The format of a recording: its header, its blocks, and the records in them.

use crc32fast::Hasher;

use super::super::Outcome;
use super::value::{Value, put_number, take_bytes, take_number, take_piece};

/// The bytes that identify a recording of calls, and the version of the format.
pub(super) const MAGIC: &[u8; 12] = b"sinbin-calls";
pub(super) const VERSION: u8 = 1;

/// The number of bytes before the content of a block: its length and its checksum.
pub(super) const HEAD: usize = 8;

/// The maximum number of bytes of a record, and of a block. A reader need not hold more, whatever a file contains.
pub(super) const MAX_RECORD: usize = 16 << 20;
pub(super) const MAX_BLOCK: usize = MAX_RECORD + (1 << 17);

/// The maximum number of bytes of the header.
pub(super) const MAX_HEADER: usize = 1 << 16;

/// The maximum length of the reason of a trap, in bytes.
pub(super) const MAX_REASON: usize = 1024;

/// The maximum number of bytes of a record without its arguments and its answer.
pub(super) const RECORD: usize = 64;

/// The origin of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The name of the program.
    pub program: String,
    /// The SHA-256 of the component's file.
    pub component: [u8; 32],
    /// The maximum size of the program's memories and tables together, in bytes.
    pub max_memory: u64,
    /// The maximum number of resources that the program could hold.
    pub max_resources: u64,
}

impl Header {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.program.put(out);
        out.extend_from_slice(&self.component);
        put_number(self.max_memory, out);
        put_number(self.max_resources, out);
    }

    pub(super) fn take(mut input: &[u8]) -> Option<Self> {
        let program = String::take(&mut input)?;
        let component = take_bytes(32, &mut input)?.try_into().ok()?;
        let (max_memory, max_resources) = (take_number(&mut input)?, take_number(&mut input)?);
        input.is_empty().then_some(Self { program, component, max_memory, max_resources })
    }
}

/// The checksum of all blocks so far. It detects a block that is damaged, missing or inserted.
#[derive(Default)]
pub(super) struct Sum(Hasher);

impl Sum {
    /// Adds a block, and returns its checksum.
    pub(super) fn add(&mut self, content: &[u8]) -> u32 {
        self.0.update(&(content.len() as u64).to_le_bytes());
        self.0.update(content);
        self.0.clone().finalize()
    }

    /// Completes a block, whose first [`HEAD`] bytes are reserved.
    pub(super) fn seal(&mut self, block: &mut [u8]) {
        let Some((head, content)) = block.split_at_mut_checked(HEAD) else { return };
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&self.add(content).to_le_bytes());
    }
}

/// The end of a recorded program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The program ended.
    Ended(Outcome),
    /// The program trapped, for this reason.
    Trapped(String),
    /// The recording ended before the program, for example at its limit.
    Limit,
}

/// The identifier of the record of an end, which is that of no function.
pub(super) const END: u32 = 0;

impl End {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ended(Outcome::Exited(code)) => {
                out.push(0);
                code.cast_unsigned().put(out);
            }
            Self::Ended(Outcome::Drained) => out.push(1),
            Self::Ended(Outcome::Cut) => out.push(2),
            Self::Trapped(reason) => {
                out.push(3);
                reason.put(out);
            }
            Self::Limit => out.push(4),
        }
    }

    pub(super) fn take(input: &mut &[u8]) -> Option<Self> {
        Some(match u8::take(input)? {
            0 => Self::Ended(Outcome::Exited(u32::take(input)?.cast_signed())),
            1 => Self::Ended(Outcome::Drained),
            2 => Self::Ended(Outcome::Cut),
            3 => Self::Trapped(String::take(input)?),
            4 => Self::Limit,
            _ => return None,
        })
    }
}

/// The arguments of the last call of `poll`. Successive calls mostly poll the same pollables, so a record has only the
/// part of the list that differs.
#[derive(Default)]
pub(super) struct LastPoll(Vec<u8>);

impl LastPoll {
    /// Appends the difference between the last arguments and these: how many bytes at their beginning and at their end
    /// are the last ones, and the bytes between.
    pub(super) fn put(&mut self, arguments: &[u8], out: &mut Vec<u8>) {
        let equal = |(a, b): &(&u8, &u8)| a == b;
        let before = self.0.iter().zip(arguments).take_while(equal).count();
        let (last, rest) = (&self.0[before..], &arguments[before..]);
        let after = last.iter().rev().zip(rest.iter().rev()).take_while(equal).count();
        put_number(before as u64, out);
        put_number(after as u64, out);
        let middle = &rest[..rest.len() - after];
        put_number(middle.len() as u64, out);
        out.extend_from_slice(middle);
        let end = self.0.len() - after;
        self.0.splice(before..end, middle.iter().copied());
    }

    /// Decodes arguments.
    pub(super) fn take(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let before = usize::try_from(take_number(input)?).ok()?;
        let after = usize::try_from(take_number(input)?).ok()?;
        let middle = take_piece(input)?;
        let end = self.0.len().checked_sub(after).filter(|end| *end >= before)?;
        if self.0.len() - (end - before) + middle.len() > MAX_RECORD {
            return None;
        }
        self.0.splice(before..end, middle.iter().copied());
        Some(&self.0)
    }
}
