//! What a process costs, as Linux tells it, and how many descriptors it may have.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and what it starts from here on, have as many descriptors as may be. Returns how many.
///
/// # Panics
///
/// When the limit cannot be raised.
pub fn raise_descriptor_limit() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit one needs no rights");
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

    /// How long a process is watched to see whether it rests.
    const WINDOW: Duration = Duration::from_millis(600);

    /// Allows the process `more` descriptors than it has.
    ///
    /// # Panics
    ///
    /// When the limit cannot be set.
    pub fn allow_descriptors(pid: Pid, more: usize) {
        let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).expect("our own child");
        let open: BTreeSet<u64> =
            open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        // The limit is one on their numbers, and a process may have inherited some high ones.
        let mut free = (0..).filter(|number| !open.contains(number));
        let limit = free.nth(more).expect("numbers enough");
        // The child has our hard limit. It stays, so that more can be allowed later.
        let limit = Rlimit { current: Some(limit), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(pid), Resource::Nofile, limit).expect("a limit can be lowered");
    }

    /// Memory of the process that is in RAM. It is counted in the page tables: the sum that the system keeps is one by
    /// core, and off by some hundred pages.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    #[must_use]
    pub fn resident_bytes(pid: Pid) -> u64 {
        sum_of_maps(pid, "Rss:")
    }

    /// The part of it that the process has made itself: heap and stacks, and nothing of the program's file, of which the
    /// system maps in what it likes.
    ///
    /// # Panics
    ///
    /// When the system does not say.
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

    /// Whether the process mostly sleeps. It is watched for a moment.
    #[must_use]
    pub fn rests(pid: Pid) -> bool {
        let pid = pid.as_raw_pid();
        is_quiet(&format!("/proc/{pid}/stat"))
    }

    /// Whether its main thread does, which in a server is the loop's.
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

    /// User and system time.
    fn processor_time(stat: &str) -> Duration {
        let stat = read(stat);
        // The name, in parentheses, may hold anything.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|field| field.parse::<u32>().expect("a number of ticks"));
        // A tick is 10 ms here on every architecture that anyone would run this on.
        ticks.sum::<u32>() * Duration::from_millis(10)
    }

    fn read(path: &str) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
