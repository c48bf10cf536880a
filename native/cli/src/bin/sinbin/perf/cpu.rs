//! The processor time of this machine, and the share that others took of it: other processes, and other machines on the
//! same hardware.
//!
//! The numbers are those of `/proc` on Linux. Elsewhere, and where they cannot be read, the share is unknown.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The maximum number of processes that are looked at.
const MAX_PROCESSES: usize = 1 << 16;

/// The maximum number of descriptors of a process that are looked at.
const MAX_DESCRIPTORS: usize = 1024;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The processes whose time is that of the measured server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Measured {
    /// The server is on another machine.
    Elsewhere,
    /// These processes, and their descendants.
    Processes(Vec<u32>),
    /// The server is on this machine, and its process is not visible.
    Unknown,
}

/// The processor time since the start of the machine, in ticks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Machine {
    /// All time of all processors.
    total: u64,
    /// The time in which processes ran.
    work: u64,
    /// The time in which the hypervisor ran other machines.
    stolen: u64,
}

/// The time of a process, in ticks, with that of its children that have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Process {
    parent: u32,
    time: u64,
}

/// The processor time at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    machine: Machine,
    /// The time of this process and of the measured server; `None` if the server's is unknown.
    own: Option<u64>,
}

/// The share of the processor time that others took, from 0 to 1. A part is `None` if it is unknown.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Share {
    /// The share of other processes on this machine.
    pub(crate) others: Option<f64>,
    /// The share of other machines on the same hardware.
    pub(crate) stolen: Option<f64>,
}

impl Share {
    /// Returns the share of all others, as far as it is known.
    pub(crate) fn taken(self) -> Option<f64> {
        match (self.others, self.stolen) {
            (None, None) => None,
            (others, stolen) => Some(others.unwrap_or(0.0) + stolen.unwrap_or(0.0)),
        }
    }

    /// Returns the share between two samples.
    #[expect(clippy::cast_precision_loss, reason = "a share is compared with a limit of two digits")]
    pub(crate) fn between(before: Option<Sample>, after: Option<Sample>) -> Self {
        let (Some(before), Some(after)) = (before, after) else { return Self::default() };
        let total = after.machine.total.saturating_sub(before.machine.total);
        if total == 0 {
            return Self::default();
        }
        let share = |ticks: u64| (ticks as f64 / total as f64).min(1.0);
        let work = after.machine.work.saturating_sub(before.machine.work);
        let own = after.own.zip(before.own).map(|(after, before)| after.saturating_sub(before));
        Self {
            others: own.map(|own| share(work.saturating_sub(own))),
            stolen: Some(share(after.machine.stolen.saturating_sub(before.machine.stolen))),
        }
    }
}

impl Sample {
    /// Reads the time of the machine, of this process and of the measured server.
    pub(crate) fn read(measured: &Measured) -> Option<Self> {
        let machine = machine(&fs::read_to_string("/proc/stat").ok()?)?;
        let own = match measured {
            Measured::Unknown => None,
            Measured::Elsewhere => one(std::process::id()).map(|process| process.time),
            Measured::Processes(roots) => {
                Some(time_of(&processes(), roots.iter().copied().chain([std::process::id()])))
            }
        };
        Some(Self { machine, own })
    }
}

impl Measured {
    /// Finds the processes that listen at the address, from an address of this machine that is connected to it.
    pub(crate) fn find(server: SocketAddr, local: IpAddr) -> Self {
        let is_here = server.ip().is_loopback() || server.ip() == local;
        if !is_here {
            return Self::Elsewhere;
        }
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
        let sockets: HashSet<u64> =
            tables.iter().flatten().flat_map(|table| listeners(table, server)).collect();
        let holders = if sockets.is_empty() { Vec::new() } else { holders(&sockets) };
        if holders.is_empty() { Self::Unknown } else { Self::Processes(holders) }
    }
}

/// Parses the first line of `/proc/stat`.
fn machine(text: &str) -> Option<Machine> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let [user, nice, system, idle, rest @ ..] = &numbers[..] else { return None };
    // Waiting for disks, and interrupts, which include the work of the network for this measurement.
    let other: u64 = rest.iter().take(3).sum();
    let stolen = rest.get(3).copied().unwrap_or(0);
    // The time of guests, which follows, is a part of that of users.
    let work = user + nice + system;
    Some(Machine { total: work + idle + other + stolen, work, stolen })
}

/// Parses `/proc/PID/stat`.
fn process(text: &str) -> Option<Process> {
    // The name, in parentheses, may contain any character.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let times: Vec<u64> = fields.skip(9).take(4).map_while(|time| time.parse().ok()).collect();
    (times.len() == 4).then(|| Process { parent, time: times.iter().sum() })
}

fn one(pid: u32) -> Option<Process> {
    process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MAX_PROCESSES)
}

fn processes() -> HashMap<u32, Process> {
    pids().filter_map(|pid| Some((pid, one(pid)?))).collect()
}

/// Returns the time of the processes, and of all their descendants.
fn time_of(all: &HashMap<u32, Process>, roots: impl Iterator<Item = u32>) -> u64 {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, process) in all {
        children.entry(process.parent).or_default().push(*pid);
    }
    let (mut counted, mut left) = (HashSet::new(), roots.collect::<Vec<_>>());
    let mut time = 0;
    while let Some(pid) = left.pop() {
        if counted.insert(pid) {
            time += all.get(&pid).map_or(0, |process| process.time);
            left.extend(children.get(&pid).into_iter().flatten());
        }
    }
    time
}

/// Returns the inodes of the sockets in a table of `/proc/net` that listen at the address.
fn listeners(table: &str, server: SocketAddr) -> Vec<u64> {
    let inode = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (ip, port) = address.split_once(':')?;
        let (ip, port) = (ip_of(ip)?, u16::from_str_radix(port, 16).ok()?);
        let is_it = port == server.port() && (ip.is_unspecified() || ip == server.ip().to_canonical());
        (is_it && *state == LISTENING).then(|| inode.parse().ok())?
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// Parses an address in a table of `/proc/net`: words of four bytes in the order of this machine.
fn ip_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&word(at)?);
    }
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

/// Returns the processes that hold one of the sockets.
fn holders(sockets: &HashSet<u64>) -> Vec<u32> {
    let names: HashSet<String> = sockets.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let holds = |pid: &u32| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        entries.take(MAX_DESCRIPTORS).any(|entry| {
            fs::read_link(entry.path())
                .is_ok_and(|link| link.to_str().is_some_and(|link| names.contains(link)))
        })
    };
    pids().filter(holds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_machine_is_the_sum_of_its_kinds() {
        let text = "cpu  100 20 30 400 5 6 7 8 90 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(machine(text), Some(Machine { total: 576, work: 150, stolen: 8 }));
        // Old kernels have fewer numbers.
        assert_eq!(machine("cpu  1 2 3 4\n"), Some(Machine { total: 10, work: 6, stolen: 0 }));
        for wrong in ["", "intr 1", "cpu  1 2 3", "cpu0 1 2 3 4"] {
            assert_eq!(machine(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_time_of_a_process_includes_its_children() {
        let text = "7 (a) b (c) R 3 7 7 0 -1 4194304 99 0 0 0 11 22 33 44 20 0 1 0 8499105";
        assert_eq!(process(text), Some(Process { parent: 3, time: 110 }));
        assert_eq!(process("7 (a) R 3 7 7 0"), None);
        assert_eq!(process(""), None);
    }

    #[test]
    fn descendants_count_and_each_once() {
        let all: HashMap<_, _> = [(1, 0, 1), (2, 1, 10), (3, 2, 100), (4, 3, 1000), (9, 1, 50)]
            .map(|(pid, parent, time)| (pid, Process { parent, time }))
            .into();
        assert_eq!(time_of(&all, [2, 4].into_iter()), 1110);
        assert_eq!(time_of(&all, [8].into_iter()), 0);
    }

    fn sample(total: u64, work: u64, stolen: u64, own: Option<u64>) -> Option<Sample> {
        Some(Sample { machine: Machine { total, work, stolen }, own })
    }

    #[test]
    fn the_share_is_what_neither_the_measurement_nor_the_server_took() {
        let before = sample(1000, 500, 10, Some(100));
        let share = Share::between(before, sample(1200, 620, 14, Some(180)));
        assert_eq!(share, Share { others: Some(0.2), stolen: Some(0.02) });
        assert_eq!(share.taken(), Some(0.22));
        // The ticks of processes and of the machine are rounded separately.
        let share = Share::between(before, sample(1200, 570, 10, Some(180)));
        assert_eq!(share.taken(), Some(0.0));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let before = sample(1000, 500, 10, None);
        let share = Share::between(before, sample(1100, 560, 20, None));
        assert_eq!(share, Share { others: None, stolen: Some(0.1) });
        for (before, after) in [(None, before), (before, None), (before, before)] {
            assert_eq!(Share::between(before, after).taken(), None);
        }
    }

    #[test]
    fn listeners_are_found_by_their_address() {
        let table = "  sl  local_address rem_address   st\n   \
             0: 00000000:61A8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1\n   \
             1: 0100007F:61A8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1\n   \
             2: 0100007F:61A8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 13 1\n   \
             3: 0200007F:61A8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1\n   \
             4: 0100007F:61A9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15 1\n";
        let server = "127.0.0.1:25000".parse().unwrap();
        // The words of the table are in the order of this machine.
        if cfg!(target_endian = "little") {
            assert_eq!(listeners(table, server), [11, 12]);
        }
        let table = "head\n 0: 00000000000000000000000000000000:61A8 0:0 0A 0 0 0 0 0 21 1\n";
        assert_eq!(listeners(table, server), [21]);
        assert_eq!(listeners("head\nnonsense\n 0: x:y z 0A\n", server), [0; 0]);
    }

    #[test]
    fn a_server_on_another_machine_takes_no_time_here() {
        let found = Measured::find("192.0.2.1:25000".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(found, Measured::Elsewhere);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_by_its_listener() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = Measured::find(address, address.ip());
        // A process that is being started holds the descriptors of its parent for a moment.
        let Measured::Processes(pids) = &found else { panic!("{found:?}") };
        assert!(pids.contains(&std::process::id()), "{pids:?}");
        assert!(Sample::read(&found).is_some_and(|sample| sample.own.is_some()));
        drop(listener);
    }
}
