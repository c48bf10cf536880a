//! The saved state of a crawl.
//!
//! A magic number and a version, then numbers of 64 bits (little endian), texts with their length, the entries in their
//! compact form with their total length, and a hash of all of this.

use std::hash::Hasher;
use std::io::{self, Read, Write};

use siphasher::sip::SipHasher13;

use crate::frontier::{Decoder, Encoder, Entry};
use crate::summary::{Skipped, Summary};

const MAGIC: &[u8; 16] = b"sinbin-crawl\r\n\x1a\n";
const VERSION: u32 = 2;

/// The start URLs that an error lists.
const LISTED: usize = 5;

/// The bytes of entries after which these are written, and follow those of the next part.
const PART: usize = 64 << 10;

/// Error returned when a saved state cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The state cannot be read.
    #[error("cannot read the state of a crawl: {0}")]
    Read(#[from] io::Error),
    /// The file is not the state of a crawl.
    #[error("not the state of a crawl")]
    Magic,
    /// The state was written by another version.
    #[error("the state has version {0}, and this program reads version {1}")]
    Version(u32, u32),
    /// The state is damaged.
    #[error("the state of the crawl is damaged: {0}")]
    Damaged(&'static str),
    /// The crawl of the state has start URLs that the settings do not have. What it has queued would be out of scope.
    #[error("the state is of another crawl: begin with its start URLs too, {}, or use another file", listed(.0))]
    Seeds(Vec<String>),
}

/// Returns a list of the first URLs.
fn listed(urls: &[String]) -> String {
    let list = urls[..urls.len().min(LISTED)].join(" ");
    match urls.len().saturating_sub(LISTED) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

/// The state of a crawl without its entries.
#[derive(Debug)]
pub(crate) struct State {
    pub key: u128,
    /// The start URLs.
    pub seeds: Vec<String>,
    /// The named hosts that had only public addresses at first.
    pub public_hosts: Vec<String>,
    /// The fingerprints of all known URLs, in ascending order.
    pub seen: Vec<u64>,
    pub redirects: Vec<(u64, u64)>,
    pub summary: Summary,
    pub started: u64,
}

/// Writes a state.
pub(crate) fn write(to: impl Write, state: &State, entries: impl Iterator<Item = Entry>) -> io::Result<()> {
    let mut writer = Writer { to, hash: SipHasher13::new() };
    writer.bytes(MAGIC)?;
    writer.bytes(&VERSION.to_le_bytes())?;
    writer.bytes(&state.key.to_le_bytes())?;
    for texts in [&state.seeds, &state.public_hosts] {
        writer.number(texts.len() as u64)?;
        texts.iter().try_for_each(|text| writer.text(text))?;
    }
    writer.number(state.started)?;
    for number in numbers(&mut state.summary.clone()) {
        writer.number(*number)?;
    }
    writer.number(state.summary.errors.len() as u64)?;
    for (name, &count) in &state.summary.errors {
        writer.text(name)?;
        writer.number(count)?;
    }
    writer.number(state.seen.len() as u64)?;
    state.seen.iter().try_for_each(|&fingerprint| writer.number(fingerprint))?;
    writer.number(state.redirects.len() as u64)?;
    for &(from, to) in &state.redirects {
        writer.number(from)?;
        writer.number(to)?;
    }
    writer.entries(entries)?;
    let hash = writer.hash.finish();
    writer.number(hash)?;
    writer.to.flush()
}

/// Reads a state, and passes each entry to `restore`.
pub(crate) fn read(
    from: impl Read,
    mut restore: impl FnMut(Entry) -> Result<(), LoadError>,
) -> Result<State, LoadError> {
    let mut reader = Reader { from, hash: SipHasher13::new() };
    if reader.array::<16>()? != *MAGIC {
        return Err(LoadError::Magic);
    }
    match u32::from_le_bytes(reader.array()?) {
        VERSION => {}
        version => return Err(LoadError::Version(version, VERSION)),
    }
    let key = u128::from_le_bytes(reader.array()?);
    let (seeds, public_hosts) = (reader.texts()?, reader.texts()?);
    let started = reader.count()?;
    let mut summary = Summary::default();
    for number in numbers(&mut summary) {
        *number = reader.count()?;
    }
    for _ in 0..reader.number()? {
        let name = reader.text()?;
        summary.errors.insert(name, reader.count()?);
    }
    // A wrong length must not allocate memory, so the vectors grow with what is read.
    let seen: Vec<_> = (0..reader.number()?).map(|_| reader.number()).collect::<Result<_, _>>()?;
    let redirects = (0..reader.number()?).map(|_| Ok((reader.number()?, reader.number()?)));
    let redirects: Vec<_> = redirects.collect::<Result<_, LoadError>>()?;
    reader.entries(&mut restore)?;
    let hash = reader.hash.finish();
    match reader.number()? == hash {
        true => Ok(State { key, seeds, public_hosts, seen, redirects, summary, started }),
        false => Err(LoadError::Damaged("its hash differs")),
    }
}

/// Returns the numbers of a summary, in the order of the format.
fn numbers(summary: &mut Summary) -> impl Iterator<Item = &mut u64> {
    // Without `..`, so that a new counter is not forgotten.
    let Summary {
        pages,
        reached,
        checks,
        others,
        statuses,
        errors: _,
        broken,
        retries,
        bytes,
        truncated,
        links,
        skipped,
    } = summary;
    let Skipped { external, patterns, depth, private, long, many, invalid, nofollow, full, credentials } =
        skipped;
    [pages, reached, checks, others, broken, retries, bytes, truncated, links]
        .into_iter()
        .chain([external, patterns, depth, private, long, many, invalid, nofollow, full, credentials])
        .chain(statuses)
}

struct Writer<W> {
    to: W,
    hash: SipHasher13,
}

impl<W: Write> Writer<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.write(bytes);
        self.to.write_all(bytes)
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.number(text.len() as u64)?;
        self.bytes(text.as_bytes())
    }

    /// Writes the entries in parts, each after its length, and a length of 0.
    fn entries(&mut self, entries: impl Iterator<Item = Entry>) -> io::Result<()> {
        let (mut encoder, mut part) = (Encoder::default(), Vec::new());
        for entry in entries {
            encoder.encode(&entry, &mut part);
            if part.len() >= PART {
                self.part(&mut part)?;
            }
        }
        if !part.is_empty() {
            self.part(&mut part)?;
        }
        self.number(0)
    }

    fn part(&mut self, part: &mut Vec<u8>) -> io::Result<()> {
        self.number(part.len() as u64)?;
        self.bytes(part)?;
        part.clear();
        Ok(())
    }
}

struct Reader<R> {
    from: R,
    hash: SipHasher13,
}

impl<R: Read> Reader<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(ends_early)?;
        self.hash.write(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a number that can be counted on from.
    fn count(&mut self) -> Result<u64, LoadError> {
        match self.number()? {
            count if count < 1 << 62 => Ok(count),
            _ => Err(LoadError::Damaged("a count is too large")),
        }
    }

    /// Reads bytes after their length. Memory grows with what is read, not with the length.
    fn block(&mut self, length: u64) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::new();
        let read = self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        self.hash.write(&bytes);
        match read as u64 == length {
            true => Ok(bytes),
            false => Err(LoadError::Damaged(ENDS_EARLY)),
        }
    }

    fn text(&mut self) -> Result<String, LoadError> {
        let length = self.number()?;
        String::from_utf8(self.block(length)?).map_err(|_| LoadError::Damaged("a text is not UTF-8"))
    }

    fn texts(&mut self) -> Result<Vec<String>, LoadError> {
        (0..self.number()?).map(|_| self.text()).collect()
    }

    fn entries(&mut self, restore: &mut impl FnMut(Entry) -> Result<(), LoadError>) -> Result<(), LoadError> {
        let mut decoder = Decoder::default();
        loop {
            let length = self.number()?;
            if length == 0 {
                return Ok(());
            }
            let part = self.block(length)?;
            let mut rest = part.as_slice();
            while !rest.is_empty() {
                restore(decoder.decode(&mut rest).ok_or(LoadError::Damaged("an invalid entry"))?)?;
            }
        }
    }
}

const ENDS_EARLY: &str = "it ends early";

fn ends_early(error: io::Error) -> LoadError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => LoadError::Damaged(ENDS_EARLY),
        _ => LoadError::Read(error),
    }
}
