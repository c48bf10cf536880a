//! Measurements of a process on Linux, and the limit of descriptors.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of descriptors of this process, and of the processes that it starts later, to the hard limit.
/// Returns the limit.
///
/// # Panics
///
/// Panics if the limit cannot be raised.
pub fn raise_descriptor_limit() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).expect("the hard limit can be used without privileges");
    maximum.unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
pub use linux::{allow_descriptors, anonymous_bytes, loop_rests, resident_bytes, rests};

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::fs;
    use std::thread::sleep;
    use std::time::Instant;

    use rustix::process::{Pid, prlimit};

    use super::{Duration, Resource, Rlimit, getrlimit};

    /// The time for which a process is watched to decide whether it is at rest.
    const WINDOW: Duration = Duration::from_millis(600);

    /// Limits the process to `more` descriptors in addition to those that it has.
    ///
    /// # Panics
    ///
    /// Panics if the limit cannot be set.
    pub fn allow_descriptors(pid: Pid, more: usize) {
        let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).expect("a child process");
        let open: BTreeSet<u64> =
            open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        // The limit applies to the numbers of descriptors, and a process may have inherited some with high numbers.
        let mut free = (0..).filter(|number| !open.contains(number));
        let limit = free.nth(more).expect("enough numbers");
        // The child has the hard limit of this process. The limit is kept, so that more can be allowed later.
        let limit = Rlimit { current: Some(limit), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(pid), Resource::Nofile, limit).expect("the limit can be set");
    }

    /// Returns the memory of the process that is in RAM, in bytes. The value is computed from the page tables, because
    /// the system's own counter is kept for each core and is off by some hundred pages.
    ///
    /// # Panics
    ///
    /// Panics if the system cannot report it.
    #[must_use]
    pub fn resident_bytes(pid: Pid) -> u64 {
        sum_of_maps(pid, "Rss:")
    }

    /// Returns the anonymous memory of the process in RAM, in bytes: heap and stacks. The mapped file of the program is
    /// excluded, because the system decides how much of it is in RAM.
    ///
    /// # Panics
    ///
    /// Panics if the system cannot report it.
    #[must_use]
    pub fn anonymous_bytes(pid: Pid) -> u64 {
        sum_of_maps(pid, "Anonymous:")
    }

    fn sum_of_maps(pid: Pid, name: &str) -> u64 {
        let sums = read(&format!("/proc/{}/smaps_rollup", pid.as_raw_pid()));
        let line = sums.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a living process has a size") * 1024
    }

    /// Returns true if the process mostly sleeps. This watches the process for a moment.
    #[must_use]
    pub fn rests(pid: Pid) -> bool {
        let pid = pid.as_raw_pid();
        is_quiet(&format!("/proc/{pid}/stat"))
    }

    /// Returns true if the main thread mostly sleeps. In a server this is the thread of the loop.
    #[must_use]
    pub fn loop_rests(pid: Pid) -> bool {
        let pid = pid.as_raw_pid();
        is_quiet(&format!("/proc/{pid}/task/{pid}/stat"))
    }

    fn is_quiet(stat: &str) -> bool {
        let (begin, before) = (Instant::now(), processor_time(stat));
        sleep(WINDOW);
        processor_time(stat) - before < begin.elapsed() / 4
    }

    /// Returns the sum of user and system time.
    fn processor_time(stat: &str) -> Duration {
        let stat = read(stat);
        // The name, in parentheses, may contain any characters.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|field| field.parse::<u32>().expect("a number of ticks"));
        // A tick is 10 ms on all relevant architectures.
        ticks.sum::<u32>() * Duration::from_millis(10)
    }

    fn read(path: &str) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
