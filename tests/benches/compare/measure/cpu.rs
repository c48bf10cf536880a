//! The CPU time of servers and other processes.

use std::time::Duration;
use std::{fs, io};

use crate::server::Server;

/// The index of the time of the children in user space in `/proc/self/stat`, after the name. Next is that in the system.
const CHILDREN_TIME: usize = 13;

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

/// Returns the CPU time of all children that have ended, to a tick.
pub(super) fn of_children() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may have spaces.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(CHILDREN_TIME).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(1000 * ticks / rustix::param::clock_ticks_per_second()))
}
