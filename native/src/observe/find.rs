//! The loops that publish themselves, by the descriptors of their processes.
//!
//! A loop's memory is an anonymous file with a name, which its process has open. So there is no directory to create, to
//! guard against links, or to clean up, and nothing is left behind by a process that was killed. The system lets a user
//! open the descriptors of the processes of that user alone.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::observe::error::ObserveError;
use crate::observe::header::{MAGIC, VERSION};
use crate::observe::observed::Observed;
use crate::observe::region::Region;

/// The name of the memory, as it appears in `/proc`.
pub(crate) const NAME: &str = "sinbin-observe";

/// The number of descriptors of each process that [`all_loops`] searches. A loop opens its memory when it starts.
const SEARCHED: usize = 1024;

/// Returns the loops of a process, in the order in which they were created.
///
/// # Errors
///
/// Fails if there is no such process, if it may not be looked at, if it publishes nothing, and if it publishes in
/// another version.
pub fn loops_of(pid: u32) -> Result<Vec<Observed>, ObserveError> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return Err(ObserveError::Unsupported);
    }
    let (found, failed) = search(pid, usize::MAX)?;
    match (found.is_empty(), failed) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(ObserveError::NothingPublished(pid)),
        (false, _) => Ok(found),
    }
}

/// Returns the loops of all processes that may be looked at, in the order of their process ids, and the processes that
/// publish a loop which this program cannot read. Searches the first 1024 descriptors of each process.
///
/// # Errors
///
/// Fails if the processes can't be listed.
pub fn all_loops() -> Result<(Vec<Observed>, Vec<ObserveError>), ObserveError> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return Err(ObserveError::Unsupported);
    }
    let processes = fs::read_dir("/proc").map_err(|error| ObserveError::Io { pid: 0, error })?;
    let mut pids: Vec<u32> =
        processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for pid in pids {
        // Processes of others are not looked at, and a process may end meanwhile.
        if let Ok((found, failed)) = search(pid, SEARCHED) {
            all.extend(found);
            failures.extend(failed);
        }
    }
    Ok((all, failures))
}

/// Returns the loops of a process, and the first error of one that cannot be read.
fn search(pid: u32, limit: usize) -> Result<(Vec<Observed>, Option<ObserveError>), ObserveError> {
    let directory = format!("/proc/{pid}/fd");
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => ObserveError::NoProcess(pid),
        ErrorKind::PermissionDenied => ObserveError::NotPermitted { pid, error },
        _ => ObserveError::Io { pid, error },
    };
    let mut descriptors: Vec<u32> = fs::read_dir(&directory)
        .map_err(failed)?
        .flatten()
        .take(limit)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    descriptors.sort_unstable();
    let (mut found, mut error) = (Vec::new(), None);
    for descriptor in descriptors {
        let path = format!("{directory}/{descriptor}");
        if !is_ours(Path::new(&path)) || !is_of_a_loop(pid, descriptor) {
            continue;
        }
        match open(pid, descriptor, Path::new(&path)) {
            Ok(observed) => found.push(observed),
            Err(failed) => error = error.or(Some(failed)),
        }
    }
    Ok((found, error))
}

/// Returns true if the descriptor is of a file with our name that exists nowhere else.
fn is_ours(path: &Path) -> bool {
    let target = fs::read_link(path).ok();
    target.is_some_and(|target| target.to_str() == Some(&format!("/memfd:{NAME} (deleted)")))
}

/// Returns true if the descriptor is the one of a loop, which can write, and not that of another reader.
fn is_of_a_loop(pid: u32, descriptor: u32) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap_or_default();
    let flags =
        info.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    // The access mode is in the lowest two bits: 0 stands for reading, 2 for both.
    flags.is_some_and(|flags| flags & 3 == 2)
}

fn open(pid: u32, descriptor: u32, path: &Path) -> Result<Observed, ObserveError> {
    let failed = |error| ObserveError::Io { pid, error };
    let file = File::open(path).map_err(failed)?;
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    let region = Region::of(file).map_err(failed)?;
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    let region = {
        drop(file);
        Region::private()
    };
    let header = region.header();
    let (magic, found) = (header.magic.load(Ordering::Acquire), header.version.load(Ordering::Relaxed));
    if magic != MAGIC || found != VERSION {
        return Err(ObserveError::OtherVersion { pid, found, expected: VERSION });
    }
    Observed::new(pid, descriptor, region)
        .ok_or(ObserveError::Broken { pid, what: "the tables are in the memory" })
}
