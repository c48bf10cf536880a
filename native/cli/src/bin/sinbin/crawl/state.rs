//! The file of `--state`, from which a later run continues.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind};
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
    /// Fails with a message if the file can't be read or written, or is no state.
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<(Self, Crawl, bool), String> {
        // The file is replaced, and not a link to it.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        atomic::check(&target).map_err(|error| cannot_write(path, &error))?;
        let state = Self { path: target, written: Instant::now() };
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
        written.map_err(|error| cannot_write(&self.path, &error))
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

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write the state to {}: {error}", path.display())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory for the files of a test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sinbin-state-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).expect("the directory is created");
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_state_that_cannot_be_written_is_found_before_the_crawl() {
        let directory = Directory::new("unwritable");
        for path in [directory.0.clone(), directory.0.join("none/state")] {
            let error =
                StateFile::open(&path, Settings::default()).map(drop).expect_err("it can't be written");
            let begins = format!("cannot write the state to {}: ", path.display());
            assert!(error.starts_with(&begins), "{error}");
        }
    }

    #[test]
    fn a_state_is_written_through_a_link_and_keeps_its_permissions() {
        let directory = Directory::new("link");
        let [file, link] = ["state", "link"].map(|name| directory.0.join(name));
        let write = |path: &Path| {
            let (mut state, crawl, continues) =
                StateFile::open(path, Settings::default()).expect("it can be written");
            state.write(&crawl).expect("it can be written");
            continues
        };
        assert!(!write(&file));
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("the file is ours");
        symlink(&file, &link).expect("the link is created");
        assert!(write(&link), "the state is found");
        assert!(link.is_symlink() && !file.is_symlink());
        assert_eq!(fs::metadata(&file).expect("it exists").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory.0).expect("it exists").count(), 2, "nothing else is left");
    }
}
