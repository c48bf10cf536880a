//! The file of `--state`, from which a later run continues.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sinbin_crawl::{Crawl, Settings};

use super::atomic;

/// The time between two writes. What was fetched since the last one is fetched again if the process is killed.
const INTERVAL: Duration = Duration::from_secs(60);

/// The number of processes that may lock and unlock a file between its opening and its locking here.
const MAX_RACES: u32 = 100;

/// A file for the state of a crawl.
pub(crate) struct StateFile {
    path: PathBuf,
    written: Instant,
    /// Held as long as the crawl runs. `None` for a device.
    _lock: Option<Lock>,
}

/// A lock that other crawls of the state file respect. The state itself is replaced with each write, so the lock is that of
/// another file beside it. The system removes the lock with the process, however that ends; the file may then stay.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Locks the state at `path`. Returns `None` if another process has locked it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".lock");
        let path = path.with_file_name(name);
        for _ in 0..MAX_RACES {
            let file = open_lock(&path)?;
            // Any other error is that of a file system without locks.
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                return Ok(None);
            }
            // The last owner may have removed the file after it was opened here, and another one may have its successor.
            if is_at(&file, &path) {
                return Ok(Some(Self { path, _file: file }));
            }
        }
        Ok(None)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the file is closed, so that this is the file that is locked.
        fs::remove_file(&self.path).ok();
    }
}

/// Opens or creates the file of a lock. A link there, which another user could lay, is not followed.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NOFOLLOW);
    }
    options.open(path)
}

/// Returns true if `file` is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(found)) => id(opened) == id(found),
        _ => false,
    }
}

/// Returns true: where a file that is open cannot be removed, the path has no other one.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

impl StateFile {
    /// Creates a crawl: the one in the file if it exists, or a new one. Returns true with a crawl that continues.
    ///
    /// # Errors
    ///
    /// Fails with a message if the file can't be read or written, is no state, is the state of a crawl with other start
    /// URLs, or is in use by another process.
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<(Self, Crawl, bool), String> {
        // The file is replaced, and not a link to it.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        atomic::check(&target).map_err(|error| cannot_write(path, &error))?;
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let lock = if atomic::is_special(&target) {
            None
        } else {
            let locked = Lock::take(&target).map_err(|error| failed(&format!("cannot lock it: {error}")))?;
            Some(locked.ok_or_else(|| {
                failed(&"another crawl uses this state: wait for its end, or use another file")
            })?)
        };
        let state = Self { path: target, written: Instant::now(), _lock: lock };
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

    #[test]
    fn two_crawls_at_a_time_need_two_states() {
        let directory = Directory::new("lock");
        let [file, link, other] = ["state", "link", "other"].map(|name| directory.0.join(name));
        symlink(&file, &link).expect("the link is created");
        let open = |path: &Path| StateFile::open(path, Settings::default());
        let mut first = open(&file).expect("it is new");
        open(&other).expect("another file");
        // Before the file exists, and after it was replaced.
        for _ in 0..2 {
            let error = open(&file).map(drop).expect_err("it is in use");
            assert_eq!(
                error,
                format!(
                    "{}: another crawl uses this state: wait for its end, or use another file",
                    file.display()
                )
            );
            first.0.write(&first.1).expect("it can be written");
            assert!(open(&link).is_err(), "it is in use by another name");
        }
        drop(first);
        assert!(open(&file).expect("nobody uses it").2);
    }

    /// A process that was killed leaves the file of its lock.
    #[test]
    fn a_lock_without_a_process_is_none() {
        let directory = Directory::new("stale");
        let [file, lock] = ["state", ".state.lock"].map(|name| directory.0.join(name));
        fs::write(&lock, "").expect("a file");
        drop(StateFile::open(&file, Settings::default()).expect("nobody uses it"));
        symlink(directory.0.join("target"), &lock).expect("the lock was removed");
        let error = StateFile::open(&file, Settings::default()).map(drop).expect_err("no link is followed");
        assert!(error.contains("cannot lock it") && !directory.0.join("target").exists(), "{error}");
    }
}
