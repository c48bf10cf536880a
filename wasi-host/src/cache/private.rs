//! A directory that is its user's alone, and the files in it.
//!
//! The directory and each file are judged by what was opened, never by a name that may lead elsewhere a moment later:
//! owned by this process's user, writable by nobody else, no symbolic link. Nothing is written before that is known,
//! and what is unfit is left as it is.

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

/// The directory, opened.
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory that is there.
    ///
    /// # Errors
    ///
    /// When it is not there, or not ours alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => {
                unfit("it is no directory (a symbolic link is not followed)".to_owned())
            }
            error => error.into(),
        })?;
        let stat = fstat(&directory)?;
        check_owner(&stat)?;
        if mode(&stat) & 0o022 != 0 {
            return Err(unfit(format!("others may write to it (mode {:04o}); see chmod", mode(&stat))));
        }
        Ok(Self(directory))
    }

    /// Opens a directory, and makes it first if it is not there.
    ///
    /// # Errors
    ///
    /// When it can't be made, or is not ours alone.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Self::open(path)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it is not there, or not ours alone.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        // Opening a FIFO would wait for whoever writes to it.
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

    /// Writes a file, in place of one of ours that may be there. Nobody ever sees a part of it.
    ///
    /// # Errors
    ///
    /// When it can't be written; when what is there is not ours alone.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => check_file(&there)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.by_way_of_a_part(bytes, |part| renameat(&self.0, part, &self.0, name))
    }

    /// Writes a file that is not there yet.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when it is there; when it can't be written.
    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.by_way_of_a_part(bytes, |part| {
            linkat(&self.0, part, &self.0, name, AtFlags::empty())?;
            unlinkat(&self.0, part, AtFlags::empty())
        })
    }

    /// Writes a file under a name that nobody knows, and has `finish` give it its own.
    fn by_way_of_a_part(
        &self,
        bytes: &[u8],
        finish: impl FnOnce(&str) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let part = format!(".part-{:016x}", u64::from_ne_bytes(random()?));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, &*part, flags, Mode::from_raw_mode(0o600))?);
        // Whatever the umask is.
        let written = fchmod(&file, Mode::from_raw_mode(0o600)).map_err(io::Error::from);
        let written = written.and_then(|()| file.write_all(bytes)).and_then(|()| Ok(finish(&part)?));
        written.inspect_err(|_| {
            unlinkat(&self.0, &*part, AtFlags::empty()).ok();
        })
    }
}

/// Bytes that nobody can guess.
///
/// # Errors
///
/// The system's error.
pub(crate) fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn check_file(stat: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(unfit("it is no regular file".to_owned()));
    }
    check_owner(stat)?;
    match mode(stat) {
        0o600 => Ok(()),
        mode => Err(unfit(format!("its mode is {mode:04o}, where 0600 is needed"))),
    }
}

fn check_owner(stat: &Stat) -> io::Result<()> {
    match (stat.st_uid, geteuid().as_raw()) {
        (owner, own) if owner == own => Ok(()),
        (owner, own) => Err(unfit(format!("it belongs to user {owner}, where {own} is needed"))),
    }
}

#[allow(clippy::useless_conversion, reason = "a mode has 16 bits on some systems")]
fn mode(stat: &Stat) -> u32 {
    u32::from(stat.st_mode) & 0o7777
}

fn unfit(what: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, what)
}
