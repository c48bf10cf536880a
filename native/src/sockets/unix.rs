//! Listeners on Unix sockets, which own their paths.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{env, fs};

use socket2::{Domain, SockAddr, Type};

use super::open::BACKLOG;

/// A nonblocking listener on a Unix socket. If it has created the path of the socket, dropping the listener removes the
/// path.
#[derive(Debug)]
pub struct UnixPathListener {
    listener: UnixListener,
    path: Option<OwnPath>,
}

impl UnixPathListener {
    /// Creates a listener at `path`. A socket at the path on which no process listens, such as one that a killed
    /// process has left behind, is replaced. Anything else at the path is left alone.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, whose kind is [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists and
    /// is left alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let (socket, own) = bind_path(path, Type::STREAM)?;
        socket.listen(BACKLOG)?;
        Ok(Self { listener: UnixListener::from(OwnedFd::from(socket)), path: Some(own) })
    }

    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub(crate) fn accept(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok(stream.into())
    }

    /// Returns the path of the socket, if the listener has created it.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref().map(|own| own.path.as_path())
    }
}

/// Adopts a listener. Its path is left alone when it is dropped.
impl TryFrom<UnixListener> for UnixPathListener {
    type Error = io::Error;

    fn try_from(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: None })
    }
}

impl AsFd for UnixPathListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Creates a nonblocking Unix socket at `path`, and replaces a socket there that no process has any more.
///
/// # Errors
///
/// Fails as [`UnixPathListener::bind`] does.
pub(crate) fn bind_path(path: &Path, kind: Type) -> io::Result<(socket2::Socket, OwnPath)> {
    let socket = socket2::Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_if_dead(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    Ok((socket, OwnPath::of(path)?))
}

/// Removes the socket at `path` if no process listens on it. Between this process's check and its removal of the path,
/// another process can put a socket there; the system offers no way to exclude that.
fn remove_if_dead(path: &Path) -> io::Result<()> {
    let in_use = |what: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    let before = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => metadata,
        Ok(_) => {
            return in_use("the path is taken by a file that is no socket; remove it, or use another path");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose backlog is full would block. A socket of another type is refused in another way if it is alive.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        _ => return in_use("a process listens on it"),
    }
    // Another process may have replaced the socket since.
    let now = fs::symlink_metadata(path)?;
    if (now.dev(), now.ino()) == (before.dev(), before.ino()) { fs::remove_file(path) } else { Ok(()) }
}

/// The path of a socket that this process has created. It is removed on drop, unless it is another file by then.
#[derive(Debug)]
pub(crate) struct OwnPath {
    path: PathBuf,
    /// The device and the inode.
    identity: (u64, u64),
}

impl OwnPath {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        // The process may change its directory until the path is removed.
        let path = if path.is_absolute() { path.to_owned() } else { env::current_dir()?.join(path) };
        Ok(Self { path, identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the path of a socket is left behind");
        }
    }
}
