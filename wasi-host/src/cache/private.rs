//! A directory that only its user can access, and the files in it.
//!
//! The directory and each file must be owned by the user of this process, must not be writable by other users, and must
//! not be a symbolic link. The checks apply to the open file, and not to a path, which may refer to another file a
//! moment later. Nothing is written before the checks succeed. A directory or file that fails them is left unchanged.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, linkat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// An open directory.
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens an existing directory.
    ///
    /// # Errors
    ///
    /// Fails if the directory does not exist, or if other users can write to it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => {
                unfit("it is not a directory (symbolic links are not followed)".to_owned())
            }
            error => error.into(),
        })?;
        let stat = fstat(&directory)?;
        check_owner(&stat)?;
        if mode(&stat) & 0o022 != 0 {
            return Err(unfit(format!("other users can write to it (mode {:04o}); see chmod", mode(&stat))));
        }
        Ok(Self(directory))
    }

    /// Opens a directory, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// Fails if the directory can't be created, or if other users can write to it.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Self::open(path)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Fails if the file does not exist, or does not meet the requirements of this module.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        // Without NONBLOCK, opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP => unfit("it is a symbolic link".to_owned()),
            error => error.into(),
        })?;
        check_file(&fstat(&file)?)?;
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file atomically. Replaces an existing file.
    ///
    /// # Errors
    ///
    /// Fails if the file can't be written, or if an existing file does not meet the requirements of this module.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => check_file(&there)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.by_way_of_a_part(bytes, |part| renameat(&self.0, part, &self.0, name))
    }

    /// Writes a new file atomically.
    ///
    /// # Errors
    ///
    /// Fails with `AlreadyExists` if the file exists. Fails if it can't be written.
    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.by_way_of_a_part(bytes, |part| {
            linkat(&self.0, part, &self.0, name, AtFlags::empty())?;
            unlinkat(&self.0, part, AtFlags::empty())
        })
    }

    /// Writes a file under a random temporary name, and calls `finish` to give the file its name.
    fn by_way_of_a_part(
        &self,
        bytes: &[u8],
        finish: impl FnOnce(&str) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let part = format!(".part-{:016x}", u64::from_ne_bytes(random()?));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &*part, flags, Mode::from_raw_mode(0o600))?);
        // The umask may have removed bits of the mode.
        let written = fchmod(&file, Mode::from_raw_mode(0o600)).map_err(io::Error::from);
        let written = written.and_then(|()| file.write_all(bytes)).and_then(|()| Ok(finish(&part)?));
        written.inspect_err(|_| {
            unlinkat(&self.0, &*part, AtFlags::empty()).ok();
        })
    }
}

/// Returns unpredictable bytes.
///
/// # Errors
///
/// Fails if `/dev/urandom` can't be read.
pub(crate) fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn check_file(stat: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(unfit("it is not a regular file".to_owned()));
    }
    check_owner(stat)?;
    match mode(stat) {
        0o600 => Ok(()),
        mode => Err(unfit(format!("its mode is {mode:04o}, but must be 0600"))),
    }
}

fn check_owner(stat: &Stat) -> io::Result<()> {
    match (stat.st_uid, geteuid().as_raw()) {
        (owner, own) if owner == own => Ok(()),
        (owner, own) => Err(unfit(format!("it belongs to user {owner}, but must belong to user {own}"))),
    }
}

#[allow(clippy::useless_conversion, reason = "a mode has 16 bits on some systems")]
fn mode(stat: &Stat) -> u32 {
    u32::from(stat.st_mode) & 0o7777
}

fn unfit(what: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, what)
}
