//! Opening files that may come from other users: recordings and guests.

use std::fs::{File, FileType, OpenOptions};
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
