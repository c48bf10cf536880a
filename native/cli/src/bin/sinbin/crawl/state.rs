//! The file of `--state`, from which a later run continues.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sinbin_crawl::{Crawl, Settings};

use super::atomic;

/// The time between two writes. What was fetched since the last one is fetched again if the process is killed.
const INTERVAL: Duration = Duration::from_secs(60);

/// A file for the state of a crawl.
pub(crate) struct StateFile {
    path: PathBuf,
    written: Instant,
}

impl StateFile {
    /// Creates a crawl: the one in the file if it exists, or a new one. Returns true with a crawl that continues.
    ///
    /// # Errors
    ///
    /// Fails with a message if the file can't be read, or is no state.
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<(Self, Crawl, bool), String> {
        let state = Self { path: path.to_owned(), written: Instant::now() };
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        match File::open(path) {
            // A device has no state, and can be written.
            Ok(file) if file.metadata().is_ok_and(|file| file.is_file()) => {
                let crawl = Crawl::load(settings, BufReader::new(file)).map_err(|error| failed(&error))?;
                Ok((state, crawl, true))
            }
            Ok(_) => Ok((state, Crawl::new(settings), false)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((state, Crawl::new(settings), false)),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Writes the state.
    ///
    /// # Errors
    ///
    /// Fails with a message. The file is then as it was before.
    pub(crate) fn write(&mut self, crawl: &Crawl) -> Result<(), String> {
        let written = atomic::write(&self.path, true, |file| crawl.save(file));
        self.written = Instant::now();
        written.map_err(|error| format!("cannot write the state to {}: {error}", self.path.display()))
    }

    /// Writes the state if that was not done for a while.
    ///
    /// # Errors
    ///
    /// Fails as [`write`](Self::write) does.
    pub(crate) fn write_if_due(&mut self, crawl: &Crawl) -> Result<(), String> {
        if self.written.elapsed() < INTERVAL { Ok(()) } else { self.write(crawl) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
