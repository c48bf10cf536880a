//! The file that `sinbin-wasi compile` writes.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process;

/// Writes a file so that nobody ever sees a part of it. What is there and no regular file, such as a device, a FIFO or
/// a symbolic link, is never replaced, but written to if it `is_named` by the user, and refused else: an archive may have
/// put a link beside a guest.
///
/// # Errors
///
/// The system's error.
pub(crate) fn write(path: &Path, bytes: &[u8], is_named: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() && is_named => return fs::write(path, bytes),
        Ok(found) if !found.is_file() => {
            let what = "it is there already, and no regular file; name it by -o to have it written to";
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".part-{}", process::id()));
    let part = path.with_file_name(name);
    // A file of this name that is there already is not ours, or is a link to anywhere.
    let written = File::create_new(&part).and_then(|mut file| file.write_all(bytes));
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
        return written;
    }
    written.and_then(|()| fs::rename(&part, path)).inspect_err(|_| {
        fs::remove_file(&part).ok();
    })
}
