//! Playback of a recording: its turns are played to another guest, whose answers are compared with the recorded ones.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant as Clock;

use sinbin_core::driven::recording::{self, Decoder, End, Header, Record, Turn, checksum};
use sinbin_core::driven::{ServiceSettings, TurnOutput};

use crate::caught::{Caught, caught};
use crate::files::open_regular;
use crate::guests::played::{Difference, Ending, Part, Played};
use crate::guests::story::{self, Detail};
use crate::guests::{Fault, Guest, GuestFactory, caught_call};

/// The number of bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// Error returned when a recording cannot be played back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaybackError {
    /// Error returned when the file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// Error returned when the file is not a recording, or is damaged.
    #[error("cannot play {} back: {error}", .path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// The error of the decoder.
        #[source]
        error: recording::Error,
    },
    /// Error returned when no guest can be started.
    #[error("cannot play {} back: {what}", .path.display())]
    Guest {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
    /// Error returned when the story cannot be written.
    #[error("cannot write the trace: {0}")]
    Write(#[source] io::Error),
}

/// A reader of the turns that are played back, such as a writer of traces.
pub trait TurnReader {
    /// Receives the turn with this number, counted from 1, and the answer of the guest, or `None` if the guest failed.
    ///
    /// # Errors
    ///
    /// Fails if the reader cannot write what it makes of the turn. The playback then ends.
    fn turn(&mut self, number: u64, turn: &Turn<'_>, answer: Option<&TurnOutput>) -> io::Result<()>;

    /// Learns that another guest takes over before the next turn.
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    fn fresh(&mut self) -> io::Result<()>;
}

/// A reader that writes the story of the turns.
struct Storyteller<'a>(&'a mut dyn Write);

impl TurnReader for Storyteller<'_> {
    fn turn(&mut self, number: u64, turn: &Turn<'_>, answer: Option<&TurnOutput>) -> io::Result<()> {
        story::turn(self.0, number, turn, answer, Detail::WHOLE)
    }

    fn fresh(&mut self) -> io::Result<()> {
        story::fresh(self.0)
    }
}

/// A recording in a file.
pub struct Playback {
    path: PathBuf,
    file: File,
    decoder: Decoder,
    header: Header,
    /// The bytes that were read, and the number of them that were decoded.
    buffer: Vec<u8>,
    past: usize,
}

impl Playback {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or is not a recording.
    pub fn open(path: &Path) -> Result<Self, PlaybackError> {
        let failed = |error| PlaybackError::Read { path: path.to_owned(), error };
        let file = open_regular(path).map_err(failed)?;
        let header = Header { service: String::new(), start: ServiceSettings::default() };
        let (decoder, buffer) = (Decoder::new(), Vec::new());
        let mut playback = Self { path: path.to_owned(), file, decoder, header, buffer, past: 0 };
        playback.fill()?;
        let wrong = |error| PlaybackError::Recording { path: path.to_owned(), error };
        let (header, rest) = playback.decoder.header(&playback.buffer).map_err(wrong)?;
        playback.past = playback.buffer.len() - rest.len();
        playback.header = header;
        Ok(playback)
    }

    /// Returns the header of the recording.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads until the next frame is complete, or the file ends.
    fn fill(&mut self) -> Result<(), PlaybackError> {
        while !self.decoder.is_whole(&self.buffer[self.past..]).map_err(|error| self.wrong(error))? {
            self.buffer.drain(..self.past);
            self.past = 0;
            let mut chunk = (&self.file).take(CHUNK as u64);
            let read = chunk.read_to_end(&mut self.buffer);
            let failed = |error| PlaybackError::Read { path: self.path.clone(), error };
            if read.map_err(failed)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Returns true if the file is at its end.
    fn is_at_end(&mut self) -> Result<bool, PlaybackError> {
        if self.past < self.buffer.len() {
            return Ok(false);
        }
        let mut chunk = (&self.file).take(1);
        let read = chunk.read_to_end(&mut self.buffer);
        let failed = |error| PlaybackError::Read { path: self.path.clone(), error };
        Ok(read.map_err(failed)? == 0)
    }

    fn wrong(&self, error: recording::Error) -> PlaybackError {
        PlaybackError::Recording { path: self.path.clone(), error }
    }

    /// Plays all turns to guests of `factory`, until an answer differs from the recorded one. Writes the story of the
    /// turns in `part` to `out`, if given.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged, if no guest can be started, or if writing to `out` fails.
    pub fn run<B: GuestFactory>(
        self,
        factory: &B,
        part: Part,
        out: Option<&mut dyn Write>,
    ) -> Result<Played, PlaybackError> {
        match out.map(Storyteller) {
            Some(mut story) => self.run_with(factory, part, Some(&mut story)),
            None => self.run_with(factory, part, None),
        }
    }

    /// Plays all turns as [`run`](Self::run) does. Passes the turns in `part` to `reader`, if given.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged, if no guest can be started, or if the reader fails.
    pub fn run_with<B: GuestFactory>(
        mut self,
        factory: &B,
        part: Part,
        mut reader: Option<&mut dyn TurnReader>,
    ) -> Result<Played, PlaybackError> {
        let began = Clock::now();
        let mut guest = Some(self.start(factory)?);
        let mut is_fresh = true;
        let mut played = Played::new();
        let mut first = None;
        while !part.is_behind(played.turns + 1) && played.difference.is_none() {
            self.fill()?;
            let bytes = &self.buffer[self.past..];
            let (record, rest) = match self.decoder.record(bytes) {
                Ok(found) => found,
                Err(recording::Error::Short { at }) => {
                    played.ending = Ending::Short(at);
                    break;
                }
                Err(error) => return Err(PlaybackError::Recording { path: self.path, error }),
            };
            let past = self.buffer.len() - rest.len();
            match record {
                Record::Turn { turn, answer } => {
                    is_fresh = false;
                    played.count(&turn, *first.get_or_insert(turn.now));
                    let reader = reader
                        .as_mut()
                        .filter(|_| part.has(played.turns))
                        .map(|reader| &mut **reader as &mut dyn TurnReader);
                    played.difference = tell(&mut guest, played.turns, &turn, answer, reader)?;
                }
                Record::Fresh => {
                    if let Some(reader) = reader.as_mut().filter(|_| part.has(played.turns)) {
                        reader.fresh().map_err(PlaybackError::Write)?;
                    }
                    // A file can request millions of fresh guests, and starting each takes time.
                    if !is_fresh {
                        guest = Some(self.start(factory)?);
                        is_fresh = true;
                    }
                }
                Record::End(End { is_over, .. }) => {
                    self.past = past;
                    // The decoder reports what is wrong with data after the end.
                    if !self.is_at_end()?
                        && let Err(error) = self.decoder.record(&self.buffer)
                    {
                        return Err(PlaybackError::Recording { path: self.path, error });
                    }
                    played.ending = if is_over { Ending::Whole } else { Ending::Limit };
                    break;
                }
            }
            self.past = past;
        }
        played.took = began.elapsed();
        Ok(played)
    }

    fn start<B: GuestFactory>(&self, factory: &B) -> Result<B::Guest, PlaybackError> {
        let started = caught(|| factory.start(&self.header.start).map_err(|error| error.to_string()));
        let started = started.unwrap_or_else(|said| Err(format!("it panicked: {said}")));
        let failed = |what| PlaybackError::Guest { path: self.path.clone(), what };
        started.map(|(guest, _)| guest).map_err(failed)
    }
}

/// Plays a turn to the guest. Returns the difference, if there is one, even if the story cannot be written.
fn tell(
    guest: &mut Option<impl Guest>,
    number: u64,
    turn: &Turn<'_>,
    recorded: Option<u32>,
    reader: Option<&mut dyn TurnReader>,
) -> Result<Option<Difference>, PlaybackError> {
    let answer = match guest {
        Some(guest) => caught_call(|| guest.turn(turn.now, turn.window, turn.events, turn.input)),
        None => Err(Fault("it failed in an earlier turn".to_owned())),
    };
    if let Err(Fault(why)) = &answer {
        drop(guest.take().map(Caught::new));
        tracing::debug!(turn = number, "the guest failed: {why}");
    }
    let written = match reader {
        Some(reader) => reader.turn(number, turn, answer.as_ref().ok()),
        None => Ok(()),
    };
    if answer.as_ref().ok().map(checksum) == recorded {
        return written.map(|()| None).map_err(PlaybackError::Write);
    }
    Ok(Some(difference(number, turn, &answer, recorded)))
}

fn difference(
    number: u64,
    turn: &Turn<'_>,
    answer: &Result<TurnOutput, Fault>,
    recorded: Option<u32>,
) -> Difference {
    let mut story = Vec::new();
    // Writing to a vector does not fail.
    story::turn(&mut story, number, turn, answer.as_ref().ok(), Detail::BRIEF).ok();
    let mut story = String::from_utf8_lossy(&story).into_owned();
    if story.contains('…') {
        story.push_str(&format!("  the whole of it: --trace --from {number} --turns 1\n"));
    }
    let why = match (answer, recorded) {
        (Err(Fault(why)), _) => Some(format!("because {why} (are the limits the same as in the recording?)")),
        (Ok(_), None) => Some("but the recorded guest failed here (perhaps at one of its limits)".to_owned()),
        (Ok(_), Some(_)) => None,
    };
    Difference { turn: number, story, why }
}
