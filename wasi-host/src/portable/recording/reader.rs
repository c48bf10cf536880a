//! The file of a recording that is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use sinbin::files::open_regular;

use super::format::{END, End, HEAD, Header, LastPoll, MAGIC, MAX_BLOCK, MAX_HEADER, Sum, VERSION};
use super::value::{take_bytes, take_number, take_piece};

/// The reason why a recording can't be read, or not any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file can't be read.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// The file is not a recording of calls.
    #[error("it is no recording of a WASI command")]
    Foreign,
    /// The recording has an unknown version.
    #[error("it is a recording of version {0}, and version {VERSION} is known here")]
    Version(u8),
    /// The recording ends within a block, or without its end: its writer was killed, or is still writing.
    #[error("it is cut short behind byte {0}")]
    Short(u64),
    /// The recording is damaged.
    #[error("it is damaged in the block at byte {at}: {what}")]
    Damaged {
        /// The position of the block.
        at: u64,
        /// The kind of damage.
        what: &'static str,
    },
}

/// A record of a recording.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Call { function: u32, arguments: &'a [u8], answer: &'a [u8] },
    End(End),
}

/// A recording in a file, which is read block by block.
pub(super) struct Reader {
    file: File,
    sum: Sum,
    /// The content of the current block, and the number of bytes of it that are decoded.
    block: Vec<u8>,
    past: usize,
    /// The positions of the current block and of its end in the file.
    position: u64,
    end: u64,
    poll: LastPoll,
    /// The number of calls, and the time from the beginning to the last record.
    pub(super) calls: u64,
    pub(super) time: Duration,
}

/// Returns true if the file is a recording of a WASI command, whether it can be replayed or not.
///
/// # Errors
///
/// Fails if the file can't be read.
pub fn is_recording(path: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(MAGIC.len() as u64).read_to_end(&mut bytes)?;
    Ok(bytes == MAGIC)
}

impl Reader {
    /// Opens a recording.
    pub(super) fn open(path: &Path) -> Result<(Header, Self), ReadError> {
        let mut file = open_regular(path).map_err(ReadError::Read)?;
        let mut start = Vec::new();
        let most = MAGIC.len() + 1;
        file.by_ref().take(most as u64).read_to_end(&mut start).map_err(ReadError::Read)?;
        match start.strip_prefix(MAGIC) {
            None => return Err(ReadError::Foreign),
            Some([]) => return Err(ReadError::Short(0)),
            Some([VERSION, ..]) => {}
            Some([version, ..]) => return Err(ReadError::Version(*version)),
        }
        let mut reader = Self {
            file,
            sum: Sum::default(),
            block: Vec::new(),
            past: 0,
            position: most as u64,
            end: most as u64,
            poll: LastPoll::default(),
            calls: 0,
            time: Duration::ZERO,
        };
        reader.fill(MAX_HEADER)?;
        let header = Header::take(&reader.block).ok_or_else(|| reader.damaged("its header is wrong"))?;
        reader.past = reader.block.len();
        Ok((header, reader))
    }

    fn damaged(&self, what: &'static str) -> ReadError {
        ReadError::Damaged { at: self.position, what }
    }

    /// Reads a block of at most `most` bytes.
    fn fill(&mut self, most: usize) -> Result<(), ReadError> {
        self.position = self.end;
        let mut head = Vec::new();
        self.file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(ReadError::Read)?;
        let &[a, b, c, d, e, f, g, h] = head.as_slice() else {
            return Err(ReadError::Short(self.position));
        };
        let (length, sum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if length as usize > most {
            return Err(self.damaged("it is too long"));
        }
        self.block.clear();
        self.past = 0;
        let count = self.file.by_ref().take(length.into()).read_to_end(&mut self.block);
        if count.map_err(ReadError::Read)? < length as usize {
            return Err(ReadError::Short(self.position));
        }
        if self.sum.add(&self.block) != sum {
            return Err(self.damaged("its checksum is wrong"));
        }
        self.end = self.position + (HEAD as u64) + u64::from(length);
        Ok(())
    }

    /// Returns the position of the current block in the file.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Returns the end, if it is the next record. It remains the next record.
    pub(super) fn next_end(&mut self) -> Result<Option<End>, ReadError> {
        while self.past == self.block.len() {
            self.fill(MAX_BLOCK)?;
        }
        let mut input = &self.block[self.past..];
        if !input.starts_with(&END.to_le_bytes()) {
            return Ok(None);
        }
        let (mut poll, mut time) = (LastPoll::default(), Duration::ZERO);
        match decode(&mut input, END, &mut poll, &mut time) {
            Some(Err((_, end))) => Ok(Some(end)),
            _ => Err(self.damaged("a record is wrong")),
        }
    }

    /// Returns the next record. `poll` is the identifier of the function whose arguments are coded differently.
    pub(super) fn next(&mut self, poll: u32) -> Result<Record<'_>, ReadError> {
        while self.past == self.block.len() {
            self.fill(MAX_BLOCK)?;
        }
        let Self { block, past, poll: last, position, calls, time, file, .. } = self;
        let wrong = || ReadError::Damaged { at: *position, what: "a record is wrong" };
        let mut input = &block[*past..];
        let found = decode(&mut input, poll, last, time).ok_or_else(wrong)?;
        *past = block.len() - input.len();
        let Found { function, arguments, answer } = match found {
            Ok(found) => found,
            Err((count, end)) => {
                let mut more = Vec::new();
                file.take(1).read_to_end(&mut more).map_err(ReadError::Read)?;
                let what = match () {
                    () if count != *calls => "the number of calls is wrong",
                    () if !more.is_empty() || *past < block.len() => "bytes follow its end",
                    () => return Ok(Record::End(end)),
                };
                return Err(ReadError::Damaged { at: *position, what });
            }
        };
        *calls += 1;
        Ok(Record::Call { function, arguments, answer })
    }
}

/// A call that was decoded.
struct Found<'a> {
    function: u32,
    arguments: &'a [u8],
    answer: &'a [u8],
}

/// Decodes a call, or the end and the number of calls that it states.
fn decode<'a>(
    input: &mut &'a [u8],
    poll: u32,
    last: &'a mut LastPoll,
    time: &mut Duration,
) -> Option<Result<Found<'a>, (u64, End)>> {
    let function = u32::from_le_bytes(take_bytes(4, input)?.try_into().ok()?);
    *time = time.saturating_add(Duration::from_micros(take_number(input)?));
    if function == END {
        let count = take_number(input)?;
        return End::take(input).map(|end| Err((count, end)));
    }
    let arguments = if function == poll { last.take(input)? } else { take_piece(input)? };
    let answer = take_piece(input)?;
    Some(Ok(Found { function, arguments, answer }))
}
