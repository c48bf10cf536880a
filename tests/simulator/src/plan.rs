//! The plan of a run: its clients, its capacities, and the rates of its faults.

use std::fmt;
use std::time::Duration;

use crate::capacity::Capacity;
use crate::rates::rates;
use crate::rng::Rng;

/// The executor of jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Computes {
    /// The loop, in slices between its turns.
    Slices,
    /// This number of threads.
    Workers(u32),
}

/// A plan of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The number of concurrent clients.
    pub clients: u32,
    /// The number of connections that they make in total.
    pub visits: u64,
    /// The most requests of a visit.
    pub requests: u32,
    /// The number of steps of tasks after which no more faults happen, so that the run comes to its end.
    pub steps: u64,
    /// The most time that may pass around a turn, in nanoseconds. With a large value more events happen at once, and
    /// turns have many steps.
    pub max_pause: u32,
    /// The number of steps of tasks after which the service is asked to stop. Otherwise it is asked when the last
    /// client has left.
    pub stops_at: Option<u64>,
    /// The number of steps after which all tasks are cancelled, as when the program that serves ends.
    pub ends_at: Option<u64>,
    /// The drain timeout: the time that connections have to end when the service stops.
    pub drain_timeout: Duration,
    /// The time that the system may take to report input that has arrived.
    pub settle: Duration,
    /// The capacities of the run.
    pub capacity: Capacity,
    /// The executor of jobs.
    pub computes: Computes,
    /// The idle timeout, for services that have one.
    pub idle_timeout: Option<Duration>,
    /// The rates of faults.
    pub faults: Faults,
}

rates! {
    /// The rates of faults, in [`OFTEN`](crate::OFTEN).
    Faults, "faults":
    /// A read returns fewer bytes than are available, down to one byte, or nothing.
    short_reads = 800,
    /// A send accepts fewer bytes than there is capacity for, down to one byte, or nothing.
    short_sends = 800,
    /// A client sends its text in pieces.
    pieces = 800,
    /// Readiness is reported in a random order.
    disorder = 1024,
    /// Readiness is reported late.
    late = 500,
    /// Readiness is reported twice.
    doubled = 300,
    /// Readiness is reported that does not hold, or for a source that is gone.
    spurious = 200,
    /// A connection cannot be accepted: no capacity, too many descriptors, or reset already.
    accepts = 100,
    /// A visit ends with a reset, at any moment.
    resets = 400,
    /// A client does not read for a while, and continues to send.
    stuck_readers = 50,
    /// A client is silent for a while.
    silence = 60,
    /// The socket to a client has little capacity.
    narrow = 600,
    /// A client stays after its last request, until the server closes the connection.
    squatters = 200,
    /// A socket is closed with unread data in it or in flight, and the reset that answers the data overtakes the last
    /// bytes that were sent to the client, which are lost.
    overtaken = 1024,
    /// A job takes long.
    slow_jobs = 60,
    /// A job fails.
    failing_jobs = 200,
    /// A worker dies, and its jobs are lost.
    dying_workers = 40,
    /// The end of a job is reported again long after the job.
    stale_jobs = 200,
    /// A task is cancelled, regardless of what it waits for.
    cancels = 30,
    /// A task is named without a reason.
    wakes = 200,
    /// The host wakes up just before a deadline.
    early = 200,
    /// The host's wait is interrupted before any event.
    interrupted = 200,
    /// A step takes long: meanwhile clients act, and deadlines pass.
    slow_steps = 300,
    /// The host takes long between its poll of the sources and the next turn.
    slow_looks = 30,
    /// The host's wait takes longer than it should, as for a process that was stopped.
    oversleeps = 60,
    /// The clock jumps, mostly ahead, and at times back.
    jumps = 4,
}

impl Plan {
    /// Draws a random plan, mostly of some hundred steps.
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
            max_pause: *rng.pick(&[5_000, 1, 100_000]),
            stops_at: (rng.below(4) == 3).then(|| u64::from(rng.below(400))),
            ends_at: (rng.below(16) == 15).then(|| u64::from(rng.below(400))),
            drain_timeout: Duration::from_micros(*rng.pick(&[30_000_000, 30_000_000, 100_000, 1000, 0])),
            settle: Duration::from_micros(*rng.pick(&[0, 0, 20_000, 100])),
            capacity: Capacity {
                connections: [2 * crowd, crowd, crowd.div_ceil(2), 1][rng.below(4) as usize],
                // A closed connection may linger while its successor is served.
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

    /// Returns a plan with this number of clients, all faults, and no end before `steps` steps.
    #[must_use]
    pub fn endless(clients: u32, steps: u64) -> Self {
        let crowd = clients as usize + 1;
        Self {
            clients,
            visits: u64::MAX,
            requests: 100,
            steps,
            max_pause: 100_000,
            stops_at: None,
            ends_at: None,
            drain_timeout: Duration::from_secs(30),
            settle: Duration::ZERO,
            capacity: Capacity {
                connections: crowd + 4,
                // Some closed connections linger while their successors are served; at times, capacity for that is
                // lacking.
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

/// Formats the plan as a line of text.
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
