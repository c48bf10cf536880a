//! What a run is like: who comes, how much room there is, and what goes wrong how often.

use std::fmt;
use std::time::Duration;

use crate::capacity::Capacity;
use crate::rng::{OFTEN, Rng};

/// Who computes jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Computes {
    /// The loop, in slices between its turns.
    Slices,
    /// So many threads.
    Workers(u32),
}

/// A run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Clients at a time.
    pub clients: u32,
    /// Connections that they make, all together.
    pub visits: u64,
    /// What each says in a visit, at most.
    pub requests: u32,
    /// Steps of tasks after which luck turns: nothing more goes wrong, and everybody comes to an end.
    pub steps: u64,
    /// How much may happen while a turn runs, in nanoseconds: with much of it, turns have many steps.
    pub haste: u32,
    /// When the service is asked to stop, in steps of tasks; else that is when the last client has left.
    pub stops_at: Option<u64>,
    /// The number of steps after which all tasks are cancelled, as when the program that serves ends.
    pub ends_at: Option<u64>,
    /// The time that connections have to end when the service stops.
    pub drain_timeout: Duration,
    /// The time that the system may take to tell what has come in.
    pub settle: Duration,
    /// How much there can be of everything.
    pub capacity: Capacity,
    /// Who computes.
    pub computes: Computes,
    /// For services that have such a thing.
    pub idle_timeout: Option<Duration>,
    /// What goes wrong.
    pub faults: Faults,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $most:literal,)*) => {
        /// What goes wrong, and how often: so many times in [`OFTEN`](crate::OFTEN).
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct Faults {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Faults {
            /// Everything at once, about as often as a run can bear and still get somewhere.
            pub const ALL: Self = Self { $($name: $most / 2,)* };

            /// Some of these, each more or less often. Groce and others' *Swarm Testing* (2012) is why not all of
            /// them each time: faults hide each other.
            fn drawn(rng: &mut Rng) -> Self {
                Self { $($name: rng.below(2) * rng.between(1, $most),)* }
            }

            /// Those that there are, by name.
            fn named(&self) -> impl Iterator<Item = (&'static str, u32)> {
                let all = [$((stringify!($name), self.$name),)*];
                all.into_iter().filter(|(_, often)| *often > 0)
            }
        }
    };
}

faults! {
    /// A read brings less than there is, down to one byte, or nothing.
    short_reads = 800,
    /// A send takes less than there is room for, down to one byte, or nothing.
    short_sends = 800,
    /// A client cuts what it says into pieces.
    pieces = 800,
    /// Readiness is told in any order.
    disorder = 1024,
    /// Readiness is told later.
    late = 500,
    /// Readiness is told twice.
    doubled = 300,
    /// Readiness is told that is none, or of what is gone.
    spurious = 200,
    /// A connection can't be taken: no room, too many descriptors, gone already.
    accepts = 100,
    /// A visit ends by a reset, at any moment.
    resets = 400,
    /// A client does not read for a while, and sends on.
    stuck_readers = 50,
    /// A client is silent for a while.
    silence = 60,
    /// The socket to a client has little room.
    narrow = 600,
    /// A client stays when all is said, until it is closed.
    squatters = 200,
    /// A socket is closed with something in it that was not read, or with more on its way, and the reset that answers
    /// that overtakes what the client was sent last: it is lost.
    overtaken = 1024,
    /// A job takes long.
    slow_jobs = 60,
    /// A job fails.
    failing_jobs = 200,
    /// A worker dies, and its jobs with it.
    dying_workers = 40,
    /// A job's end is told again, when it is long gone.
    stale_jobs = 200,
    /// A task is cancelled, wherever it waits.
    cancels = 30,
    /// A task is named, for nothing.
    wakes = 200,
    /// The host wakes up just before a deadline.
    early = 200,
    /// The host's wait is interrupted before anything has happened.
    interrupted = 200,
    /// A step takes long: while it does, clients go on, and deadlines pass.
    slow_steps = 300,
    /// The host takes long between its look at the sources and the next turn.
    slow_looks = 30,
    /// The host's wait takes longer than it should, as that of a process which was stopped.
    oversleeps = 60,
    /// The clock jumps, mostly ahead, and at times back.
    jumps = 4,
}

impl Plan {
    /// A run as luck will have it, of some hundred steps mostly.
    #[must_use]
    pub fn drawn(rng: &mut Rng) -> Self {
        let clients = *rng.pick(&[1, 2, 3, 5, 8, 20]);
        let crowd = clients as usize + 1;
        let room = |rng: &mut Rng, most: usize| match rng.below(4) {
            0 | 1 => most,
            2 => most.div_ceil(2).max(2),
            _ => 2,
        };
        let computes = match rng.below(3) {
            0 => Computes::Slices,
            workers => Computes::Workers(workers),
        };
        Self {
            clients,
            visits: u64::from(clients) + u64::from(rng.below(2 * clients)),
            requests: rng.between(1, 12),
            steps: 3000,
            haste: *rng.pick(&[5_000, 1, 100_000]),
            stops_at: (rng.below(4) == 3).then(|| u64::from(rng.below(400))),
            ends_at: (rng.below(16) == 15).then(|| u64::from(rng.below(400))),
            drain_timeout: Duration::from_micros(*rng.pick(&[30_000_000, 30_000_000, 100_000, 1000, 0])),
            settle: Duration::from_micros(*rng.pick(&[0, 0, 20_000, 100])),
            capacity: Capacity {
                connections: [2 * crowd, crowd, crowd.div_ceil(2), 1][rng.below(4) as usize],
                // A closed connection may linger beside the one that comes after it.
                tasks: room(rng, 2 * crowd),
                sources: room(rng, 2 * crowd),
                jobs: [crowd, 1, 0][rng.below(3) as usize],
                blocks: [crowd, 2, 1, 0][rng.below(4) as usize],
                block_size: *rng.pick(&[4096, 256, 160, 128]),
            },
            computes,
            idle_timeout: (rng.below(2) == 1).then(|| Duration::from_micros(u64::from(rng.between(1, 5000)))),
            faults: Faults::drawn(rng),
        }
    }

    /// So many clients, all faults, and no end before `steps` steps.
    #[must_use]
    pub fn endless(clients: u32, steps: u64) -> Self {
        let crowd = clients as usize + 1;
        Self {
            clients,
            visits: u64::MAX,
            requests: 100,
            steps,
            haste: 100_000,
            stops_at: None,
            ends_at: None,
            drain_timeout: Duration::from_secs(30),
            settle: Duration::ZERO,
            capacity: Capacity {
                connections: crowd + 4,
                // Some of the closed ones linger beside those that come after them; at times there is no room for that.
                tasks: crowd + 8,
                sources: crowd + 8,
                jobs: crowd / 4,
                blocks: crowd / 2,
                block_size: 1024,
            },
            computes: Computes::Workers(2),
            idle_timeout: Some(Duration::from_millis(50)),
            faults: Faults::ALL,
        }
    }
}

/// In a line, for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, visits, requests, capacity, .. } = self;
        write!(f, "{clients} clients at a time, ")?;
        if *visits < u64::MAX {
            write!(f, "{visits} visits, ")?;
        }
        write!(f, "up to {requests} requests each; jobs ")?;
        match self.computes {
            Computes::Slices => write!(f, "in slices")?,
            Computes::Workers(1) => write!(f, "by 1 worker")?,
            Computes::Workers(workers) => write!(f, "by {workers} workers")?,
        }
        match self.idle_timeout {
            Some(span) => write!(f, ", idle timeout {span:?}")?,
            None => write!(f, ", no idle timeout")?,
        }
        if let Some(steps) = self.stops_at {
            write!(f, ", asked to stop after {steps} steps")?;
        }
        if let Some(steps) = self.ends_at {
            write!(f, ", over after {steps} steps")?;
        }
        write!(f, ", {:?} to drain", self.drain_timeout)?;
        if !self.settle.is_zero() {
            write!(f, ", {:?} until the system tells what has come", self.settle)?;
        }
        let Capacity { connections, tasks, sources, jobs, blocks, block_size } = capacity;
        write!(
            f,
            "; room for {connections} connections, {tasks} tasks, {sources} sources, {jobs} jobs, {blocks} blocks of {block_size} bytes; {}",
            self.faults
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named().map(|(name, often)| format!("{} {often}", name.replace('_', " ")));
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            return write!(f, "no faults");
        }
        write!(f, "faults in {OFTEN}: {}", named.join(", "))
    }
}
