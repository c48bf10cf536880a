//! The published memory itself. All unsafe code of the observation is in this file and in `table.rs`.
//!
//! A loop creates the memory as an anonymous file (`memfd_create`) and seals it: its size is fixed, and it can be
//! written only through the mapping that the loop already has. For the loop, the memory is therefore like any other of
//! its own; other processes can only read it. A reader accesses it only through atomics, so that a change at the same
//! time is no undefined behavior.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::{align_of, size_of};
use std::ops::Deref;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
use memmap2::MmapRaw;

use crate::observe::header::{FIRST, Header};

/// Memory that begins with a [`Header`], all zero at first.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
    _backing: Backing,
}

enum Backing {
    /// A mapping, and the file that it is of. The descriptor of the file is how other processes find the memory.
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Mapped(
        #[expect(dead_code, reason = "held until it is dropped")] MmapRaw,
        #[expect(dead_code, reason = "held until it is dropped")] File,
    ),
    /// Memory of this process alone.
    Private(#[expect(dead_code, reason = "held until it is dropped")] Box<[Line]>),
}

/// A reference to the header of a region, and the region. Reaching the header takes one load.
pub(crate) struct HeaderRef {
    header: NonNull<Header>,
    region: Arc<Region>,
}

// SAFETY: it stands for a shared reference to a header, which consists of atomics, and owns a part of the region.
unsafe impl Send for HeaderRef {}
// SAFETY: as above.
unsafe impl Sync for HeaderRef {}

impl HeaderRef {
    pub(crate) fn new(region: &Arc<Region>) -> Self {
        Self { header: NonNull::from(region.header()), region: Arc::clone(region) }
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

impl Deref for HeaderRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: the pointer is of a reference into the region, which lasts as long as `self` and does not move.
        unsafe { self.header.as_ref() }
    }
}

/// Zeros with the alignment of a header.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

const _: () = assert!(align_of::<Line>() >= align_of::<Header>() && FIRST.is_multiple_of(size_of::<Line>()));

// SAFETY: the memory belongs to the region and does not move. Shared references to a region give access only to atomics.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Creates memory with this name that other processes can read. Calls `map` with its file before the memory is
    /// sealed, for a further mapping that may write. Returns the memory and the number of its descriptor.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with that of `map`.
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn shared(
        name: &str,
        len: usize,
        map: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<(Arc<Self>, u32)> {
        use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, ftruncate, memfd_create};

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Systems before Linux 6.3 do not know that a file can't be executed.
        let file =
            memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create(name, flags))?;
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        ftruncate(&file, len as u64)?;
        let file = File::from(file);
        let number = u32::try_from(file.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidData)?;
        let mapping = MmapRaw::map_raw(&file)?;
        map(&file)?;
        // From here on, the mappings are the only way to write.
        fcntl_add_seals(
            &file,
            SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL,
        )?;
        Ok((Self::mapped(mapping, file)?, number))
    }

    /// Fails: no other process could read the memory on this system.
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    pub(crate) fn shared(
        _: &str,
        _: usize,
        _: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<(Arc<Self>, u32)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Maps the memory of another process, for reading.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with [`io::ErrorKind::InvalidData`] if the file can become shorter: a
    /// reader would be killed by SIGBUS.
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn of(file: File) -> io::Result<Arc<Self>> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        if !seals.contains(rustix::fs::SealFlags::SHRINK) || file.metadata()?.len() < FIRST as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mapping = memmap2::MmapOptions::new().map_raw_read_only(&file)?;
        Self::mapped(mapping, file)
    }

    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn mapped(mapping: MmapRaw, file: File) -> io::Result<Arc<Self>> {
        let base = NonNull::new(mapping.as_mut_ptr()).ok_or(io::ErrorKind::InvalidData)?;
        let len = mapping.len();
        if len < FIRST || base.as_ptr().addr() % align_of::<Header>() != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Arc::new(Self { base, len, _backing: Backing::Mapped(mapping, file) }))
    }

    /// Creates memory with only a header, which no other process can read.
    pub(crate) fn private() -> Arc<Self> {
        let mut lines = vec![Line([0; 64]); FIRST / size_of::<Line>()].into_boxed_slice();
        let base = NonNull::from(&mut *lines).cast();
        Arc::new(Self { base, len: FIRST, _backing: Backing::Private(lines) })
    }

    /// Returns the header.
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the memory has at least `FIRST` bytes, which is at least the size of a header, begins at a page or a
        // line, lasts as long as `self`, and was zero at first, which is a valid header. All fields are atomics, of
        // which a reader only loads: its mapping is read-only.
        unsafe { self.base.cast().as_ref() }
    }

    /// Returns the size of the memory, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns `count` words from `offset` on, or `None` if they are not within the memory behind the header.
    pub(crate) fn words(&self, offset: usize, count: usize) -> Option<&[AtomicU32]> {
        let end = count.checked_mul(4)?.checked_add(offset)?;
        if offset < FIRST || end > self.len || !offset.is_multiple_of(align_of::<AtomicU32>()) {
            return None;
        }
        // SAFETY: the words are within the memory, which lasts as long as `self`, aligned, and initialized, because a
        // file begins as zeros. In the process of the loop, no caller asks for words that are in a table of `table.rs`;
        // in another process, all accesses are by atomics.
        Some(unsafe { slice::from_raw_parts(self.base.add(offset).cast().as_ptr(), count) })
    }

    /// Returns the address of `size` bytes at `offset`, or `None` if they are not within the memory behind the header.
    pub(crate) fn at(&self, offset: usize, size: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(size)?;
        // SAFETY: the offset is within the memory.
        (offset >= FIRST && end <= self.len).then(|| unsafe { self.base.add(offset) })
    }
}

/// Copies a row whose first word its writer sets to 0 before a change, and to another value than before after it.
/// Returns `None` if the row was changed meanwhile.
pub(crate) fn steady_row<const WORDS: usize>(row: &[AtomicU32]) -> Option<[u32; WORDS]> {
    let before = row.first()?.load(Ordering::Acquire);
    let words = copy::<WORDS>(row)?;
    fence(Ordering::Acquire);
    let after = row.first()?.load(Ordering::Relaxed);
    (before != 0 && before == after && words[0] == before).then_some(words)
}

/// Copies a row, which may change meanwhile.
pub(crate) fn copy<const WORDS: usize>(row: &[AtomicU32]) -> Option<[u32; WORDS]> {
    let mut words = [0; WORDS];
    for (to, word) in words.iter_mut().zip(row.get(..WORDS)?) {
        *to = word.load(Ordering::Relaxed);
    }
    Some(words)
}
