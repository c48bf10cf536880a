//! Files that are complete or not there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Replaces the file at `path` by what `fill` writes. If that fails, the file stays as it was. With `is_durable`, the new
/// file survives a loss of power once the call has returned.
///
/// # Errors
///
/// Fails with the error of the system.
pub(crate) fn write(
    path: &Path,
    is_durable: bool,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    if is_special(path) {
        // A device or a pipe can't be replaced.
        let file = OpenOptions::new().write(true).open(path)?;
        return fill_up(&file, fill);
    }
    let temporary = beside(path);
    let written = create(&temporary).and_then(|file| {
        // Others may read the new file only if they may read the old one.
        if let Ok(old) = fs::metadata(path)
            && old.permissions() != file.metadata()?.permissions()
        {
            file.set_permissions(old.permissions())?;
        }
        fill_up(&file, fill)?;
        if is_durable { file.sync_all() } else { Ok(()) }
    });
    let replaced = written.and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        // A full disk has more space without it.
        fs::remove_file(&temporary).ok();
    } else if is_durable && let Some(parent) = path.parent() {
        sync_directory(parent);
    }
    replaced
}

/// Checks that [`write`] can replace the file at `path`: before hours of work, and not after them.
///
/// # Errors
///
/// Fails with the error of the system.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if is_special(path) {
        return Ok(());
    }
    let temporary = beside(path);
    create(&temporary)?;
    fs::remove_file(temporary)
}

/// Creates a file. What a process with the same number has left there is removed; a link there, which another user could
/// lay, is not followed.
fn create(path: &Path) -> io::Result<File> {
    fs::remove_file(path).ok();
    File::create_new(path)
}

fn fill_up(file: &File, fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    writer.flush()
}

/// Returns true if a file exists at `path` that is neither a regular one nor a directory.
pub(crate) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir())
}

/// Returns the path of a temporary file in the directory of `path`. Two processes have different ones.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    // Names have a maximum length, and those of pages may have it.
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let mut end = own.len().min(64);
    while !own.is_char_boundary(end) {
        end -= 1;
    }
    name.push(&own[..end]);
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Makes the renaming of a file durable. Not all systems can.
fn sync_directory(directory: &Path) {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    if let Ok(directory) = File::open(directory) {
        directory.sync_all().ok();
    }
}
