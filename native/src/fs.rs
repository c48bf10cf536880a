//! Files. The system has no readiness of regular files, so their calls run on the threads for
//! [calls that block](crate::task::Handle::blocking).
//!
//! ```
//! use sinbin::fs;
//!
//! # let directory = std::env::temp_dir().join(format!("sinbin-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let path = directory.join("greeting");
//! let text = sinbin::run(async |handle| {
//!     fs::write(handle, &path, "hello").await?;
//!     fs::read(handle, &path, 1000).await
//! })??;
//! assert_eq!(text, b"hello");
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For anything else of `std::fs`, use [`Handle::blocking`](crate::task::Handle::blocking) itself.

mod send;

use std::fmt;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sinbin_core::task::{Error, Handle};

/// Reads a file, and returns its bytes.
///
/// # Errors
///
/// Fails with the path and the system's error, and if the file has more than `limit` bytes.
pub async fn read(handle: Handle<'_>, path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    call(handle, "read", path.as_ref(), move |path| {
        let mut bytes = Vec::new();
        let file = fs::File::open(path)?;
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::other(format!("the file has more than {limit} bytes")));
        }
        Ok(bytes)
    })
    .await
}

/// Writes a file, and replaces one that exists.
///
/// # Errors
///
/// Fails with the path and the system's error.
pub async fn write(handle: Handle<'_>, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let bytes = bytes.as_ref().to_vec();
    call(handle, "write", path.as_ref(), move |path| fs::write(path, bytes)).await
}

/// Returns the metadata of a file or a directory.
///
/// # Errors
///
/// Fails with the path and the system's error.
pub async fn metadata(handle: Handle<'_>, path: impl AsRef<Path>) -> io::Result<Metadata> {
    call(handle, "metadata of", path.as_ref(), |path| fs::metadata(path)).await
}

/// Runs `act` on a thread that may block. Adds the operation and the path to its error.
async fn call<T: Send + 'static>(
    handle: Handle<'_>,
    op: &str,
    path: &Path,
    act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let own: PathBuf = path.to_owned();
    let done = handle.blocking(move || act(&own)).await.map_err(Error::from)?;
    done.map_err(|error| io::Error::new(error.kind(), format!("{op} {}: {error}", path.display())))
}

/// An open file. Operations at the current position are for one task at a time; any number can read at offsets.
pub struct File<'d> {
    handle: Handle<'d>,
    file: Arc<fs::File>,
    path: PathBuf,
}

impl<'d> File<'d> {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn open(handle: Handle<'d>, path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        Self::with(handle, path, options).await
    }

    /// Creates a file for writing, or empties one that exists.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn create(handle: Handle<'d>, path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        Self::with(handle, path, options).await
    }

    /// Opens a file with these options.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn with(handle: Handle<'d>, path: impl AsRef<Path>, options: OpenOptions) -> io::Result<Self> {
        let path = path.as_ref();
        let file = call(handle, "open", path, move |path| options.open(path)).await?;
        Ok(Self { handle, file: Arc::new(file), path: path.to_owned() })
    }

    /// Runs `act` with the file, on a thread that may block.
    ///
    /// # Errors
    ///
    /// Fails with the path and the error of `act`.
    pub async fn call<T: Send + 'static>(
        &self,
        op: &str,
        act: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.file);
        call(self.handle, op, &self.path, move |_| act(&file)).await
    }

    /// Reads up to `limit` bytes from the current position. The result is shorter only at the end of the file.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn read(&self, limit: usize) -> io::Result<Vec<u8>> {
        let read = move |file: &fs::File| {
            let mut bytes = Vec::new();
            file.take(limit as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        self.call("read", read).await
    }

    /// Reads up to `limit` bytes from `offset`, as [`read`](Self::read) does. On Windows, moves the current position.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn read_at(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let read = move |file: &fs::File| {
            let mut bytes = vec![0; limit];
            let mut count = 0;
            while count < limit {
                match read_at(file, &mut bytes[count..], offset + count as u64) {
                    Ok(0) => break,
                    Ok(more) => count += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(count);
            Ok(bytes)
        };
        self.call("read", read).await
    }

    /// Writes all of `bytes` at the current position.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn write_all(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref().to_vec();
        self.call("write", move |mut file| file.write_all(&bytes)).await
    }

    /// Waits until everything that was written is on the disk.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.call("sync", fs::File::sync_all).await
    }

    /// Returns the metadata of the file.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.call("metadata of", fs::File::metadata).await
    }

    /// Returns the path that the file was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
}

impl fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}
