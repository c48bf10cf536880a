//! Opening files that may come from other users, such as recordings and guests, and files that other users must not read.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Opens a regular file for reading. The call never blocks, not even for a FIFO that has no writer. Files that are not
/// regular are refused, because a device such as `/dev/zero` has no end. The type is checked on the opened file,
/// because the name may refer to another file by then.
///
/// # Errors
///
/// Returns the error of the system, or [`ErrorKind::InvalidInput`] if the file is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {}, where a regular file is needed", name(kind)),
    ))
}

/// Returns a description of the type of a file that is not regular.
fn name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;

        if kind.is_fifo() {
            return "a FIFO";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a directory" } else { "something else" }
}

/// Opens a file that only its owner can access, because it contains the clients' data. A new file has mode 0600. An
/// existing file must be empty and belong to the current user, and keeps its mode. Symbolic links are not followed:
/// another user who can create a link in the directory could otherwise redirect the data to any of the current
/// user's files.
///
/// # Errors
///
/// Returns the error of the system, or an error that says why the file is refused.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_there(path),
        opened => opened,
    }
}

/// Opens an existing file. The checks are made on the opened file, not on its name.
fn open_there(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    restrict(&mut options);
    let opened = options.open(path);
    let what = "it is not a regular file (a symbolic link is not followed); name a new or empty file";
    // A FIFO or a directory cannot be opened with these options.
    let is_file = fs::symlink_metadata(path).is_ok_and(|there| may_be_written(there.file_type()));
    if opened.is_err() && !is_file {
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    let file = opened?;
    let metadata = file.metadata()?;
    if !may_be_written(metadata.file_type()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    if !metadata.is_file() {
        return Ok(file);
    }
    if metadata.len() > 0 {
        let what = "it is not empty; name another file, or remove it";
        return Err(io::Error::new(ErrorKind::AlreadyExists, what));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&metadata) != rustix::process::geteuid().as_raw() {
        let what = "it belongs to another user; name another file";
        return Err(io::Error::new(ErrorKind::PermissionDenied, what));
    }
    Ok(file)
}

/// Configures that symbolic links are not followed, that opening a FIFO does not block, and that new files have mode
/// 0600.
#[cfg(unix)]
fn restrict(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.mode(0o600).custom_flags(flags.bits().cast_signed());
}

#[cfg(not(unix))]
fn restrict(_: &mut OpenOptions) {}

/// Returns true for a regular file or a character device (used by tests), and false for a pipe, a socket or a
/// directory.
fn may_be_written(kind: FileType) -> bool {
    #[cfg(unix)]
    let is_device = std::os::unix::fs::FileTypeExt::is_char_device(&kind);
    #[cfg(not(unix))]
    let is_device = false;
    kind.is_file() || is_device
}
