//! The tables of a guest's tasks, as memory that other processes can read.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use sinbin::observe::{GuestMemory, GuestTables};
use wasmtime::component::{ComponentExportIndex, Instance, WasmList};
use wasmtime::{AsContextMut, Store, StoreContextMut, WasmBacktrace};

use crate::instance::State;
use crate::names::Names;

/// The optional interface of the contract by which a service publishes its tables.
const INSPECT: &str = "sinbin:service/inspect@0.1.0";

/// The size of the pages that the tables consist of, in bytes.
const PAGE: usize = 4096;

/// The failure to publish the tables of a guest.
pub(crate) enum Unpublished {
    /// The guest can be used. Its tasks can't be looked at.
    Harmless(io::Error),
    /// The guest can't be used.
    Fatal(wasmtime::Error),
}

/// Asks an instance to publish its tables, if it can. Must be called before the start of its service.
///
/// # Errors
///
/// Fails if the guest traps.
pub(crate) fn ask(
    mut store: impl AsContextMut<Data = State>,
    exports: &Instance,
) -> Result<(), wasmtime::Error> {
    let Some(publish) = function(&mut store, exports, "publish") else { return Ok(()) };
    exports.get_typed_func::<(), ()>(&mut store, publish)?.call(&mut store, ())
}

/// Returns the index of a function of the interface, if the instance exports it.
fn function(
    mut store: impl AsContextMut<Data = State>,
    exports: &Instance,
    name: &str,
) -> Option<ComponentExportIndex> {
    let inspect = exports.get_export_index(&mut store, None, INSPECT)?;
    exports.get_export_index(&mut store, Some(&inspect), name)
}

/// Publishes the memory of the tables that the instance exports, and the notes of its host, in `tables`.
///
/// The pages of the guest's memory that hold the tables are replaced by a mapping of a file, with the same contents. For
/// the guest, nothing changes; another process can map the file too, and reads the tables where they are. So they can be
/// looked at while the guest is in a turn that does not end, and the guest pays nothing for it.
///
/// # Errors
///
/// Fails if the guest traps, and if the system does not provide the file or the mapping.
pub(crate) fn publish(
    mut store: impl AsContextMut<Data = State>,
    exports: &Instance,
    tables: &GuestTables,
) -> Result<(GuestMemory, Option<Mapped>), Unpublished> {
    let list = exported(&mut store, exports).map_err(Unpublished::Fatal)?;
    let pages = list.as_ref().map_or(&[][..], |list| list.as_le_slice(store.as_context()));
    // A system with larger pages can't replace these alone.
    let page = rustix::param::page_size().max(PAGE);
    let is_whole = pages.as_ptr().addr().is_multiple_of(page) && pages.len().is_multiple_of(page);
    // A guest that does not follow the rules has no tables to look at.
    let pages = if is_whole { pages } else { &[] };
    let (address, len) = (pages.as_ptr().addr(), pages.len());
    let mut is_mapped = Ok(());
    let memory = tables.memory(len, |file, offset| {
        copy(pages, file, offset)?;
        is_mapped = map(address, len, file, offset);
        Ok(())
    });
    is_mapped.map_err(|error| Unpublished::Fatal(error.into()))?;
    let memory = memory.map_err(Unpublished::Harmless)?;
    let mapped = list.filter(|_| len > 0).map(|list| Mapped { list, address, len });
    Ok((memory, mapped))
}

/// Pages of a guest's memory that are a mapping of a file.
pub(crate) struct Mapped {
    list: WasmList<u8>,
    address: usize,
    len: usize,
}

impl Mapped {
    /// Replaces the pages by zeros, before wasmtime gets the memory back. An engine with pooled memories would give pages
    /// of the file to the next guest otherwise.
    pub(crate) fn restore(self, store: &Store<State>) {
        // An engine with less reserved address space moves a memory that grows, and leaves the pages behind.
        if self.list.as_le_slice(store).as_ptr().addr() == self.address {
            // If this fails, the mapping stays, to which no other process can write.
            zeros(self.address, self.len);
        }
    }
}

/// Returns the tables that the instance exports, if it does.
fn exported(
    mut store: impl AsContextMut<Data = State>,
    exports: &Instance,
) -> Result<Option<WasmList<u8>>, wasmtime::Error> {
    let Some(inspect) = exports.get_export_index(&mut store, None, INSPECT) else { return Ok(None) };
    let Some(function) = exports.get_export_index(&mut store, Some(&inspect), "tables") else {
        return Ok(None);
    };
    let (list,) =
        exports.get_typed_func::<(), (WasmList<u8>,)>(&mut store, function)?.call(&mut store, ())?;
    Ok(Some(list))
}

/// Copies the pages that are not zero to the file, which has zeros everywhere.
#[cfg(unix)]
fn copy(pages: &[u8], file: &File, offset: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;

    for (number, page) in pages.chunks(PAGE).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            file.write_all_at(page, (offset + number * PAGE) as u64)?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn copy(_: &[u8], _: &File, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Replaces pages of a guest's memory by a mapping of the file from `offset` on, which has the same contents.
#[cfg(unix)]
fn map(address: usize, len: usize, file: &File, offset: usize) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    if len == 0 {
        return Ok(());
    }
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pages are those of a slice that wasmtime has checked to be within the linear memory of the guest, and
    // that is borrowed no more: `copy` was its last use. They are accessible before and after, with the same contents,
    // and shared with no process that could write to them: the caller seals the file. Nothing but the guest, and
    // wasmtime on its behalf, accesses the memory, and both expect it to change in each call. Wasmtime gets the pages
    // back as zeros of the process (`Mapped::restore`), unless it has moved the memory and released this mapping before.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::with_exposed_provenance_mut(address),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED,
            file.as_raw_fd(),
            offset,
        )
    };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Replaces pages of a guest's memory by zeros.
#[cfg(unix)]
fn zeros(address: usize, len: usize) {
    let (access, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    // SAFETY: as in `map`, and the instance that used the contents is not called any more.
    unsafe { libc::mmap(std::ptr::with_exposed_provenance_mut(address), len, access, flags, -1, 0) };
}

#[cfg(not(unix))]
fn zeros(_: usize, _: usize) {}

#[cfg(not(unix))]
fn map(_: usize, _: usize, _: &File, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Notes the stack of the guest in `memory`.
pub(crate) fn note_stack<T>(store: &StoreContextMut<'_, T>, names: &Names, memory: &GuestMemory) {
    let report = names.insert_into(WasmBacktrace::force_capture(store).to_string());
    // The first line is a headline.
    let frames: Vec<_> = report.lines().skip(1).map(str::trim_end).collect();
    memory.note_stack(&frames.join("\n"));
}
