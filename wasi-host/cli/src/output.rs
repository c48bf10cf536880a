//! The file that `sinbin-wasi compile` writes.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process;

/// Writes a file atomically.
///
/// An existing file that is not a regular file, such as a device, a FIFO or a symbolic link, is never replaced. If the
/// user has named the path (`is_named`), the bytes are written to that file. Otherwise the function fails, since an
/// unpacked archive may contain a link next to the guest.
///
/// # Errors
///
/// Fails if the file can't be written, or with `AlreadyExists` if it is not a regular file and not named by the user.
pub(crate) fn write(path: &Path, bytes: &[u8], is_named: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() && is_named => return fs::write(path, bytes),
        Ok(found) if !found.is_file() => {
            let what = "it exists and is not a regular file; name it by -o to write to it";
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".part-{}", process::id()));
    let part = path.with_file_name(name);
    // An existing file of this name belongs to another process, or is a link that must not be followed.
    let written = File::create_new(&part).and_then(|mut file| file.write_all(bytes));
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
        return written;
    }
    written.and_then(|()| fs::rename(&part, path)).inspect_err(|_| {
        fs::remove_file(&part).ok();
    })
}
