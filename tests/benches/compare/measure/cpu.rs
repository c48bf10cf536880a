//! The CPU time of a server.

use std::time::Duration;
use std::{fs, io};

use crate::server::Server;

/// Returns the CPU time of all threads so far, including the system's work for them. `schedstat` is finer than `stat`,
/// which counts ticks.
pub(super) fn time(server: &Server) -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", server.pid()))? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path)?;
        let time: Option<u64> = text.split(' ').next().and_then(|time| time.parse().ok());
        nanos += time.ok_or_else(|| io::Error::other(format!("no time in {}", path.display())))?;
    }
    Ok(Duration::from_nanos(nanos))
}
