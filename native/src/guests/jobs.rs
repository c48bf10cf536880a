//! Jobs of a guest, on worker threads.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sinbin_core::driven::Computed;
use sinbin_core::{Job, JobId, Progress};

use crate::guests::input::LIMIT;
use crate::guests::{Fault, JobRunner};
use crate::pool::{KEEP_ALIVE, Pool, PoolLimits, Purpose, Ticket};
use crate::reactor::Notifier;

/// A job, in bytes that only the guest can interpret. Any worker can compute the next slice.
struct GuestJob<W> {
    bytes: Vec<u8>,
    job_runner: W,
    cancelled: Arc<AtomicBool>,
}

/// The outcome of a job: the bytes of its result, or the reason why there is none.
type Outcome = Result<Vec<u8>, Fault>;

impl<W: JobRunner> Job for GuestJob<W> {
    type Output = Outcome;

    fn run(&mut self, budget: u32) -> Progress<Outcome> {
        let failed = |why: &str| Progress::Done(Err(Fault(why.to_owned())));
        match self.job_runner.compute(&self.bytes, budget, &self.cancelled) {
            Ok(Computed::More(bytes)) if bytes.len() > LIMIT => {
                failed("its state exceeds the size limit of a turn")
            }
            Ok(Computed::More(bytes)) => {
                self.bytes = bytes;
                Progress::More
            }
            Ok(Computed::Done(bytes)) if bytes.len() <= LIMIT => Progress::Done(Ok(bytes)),
            Ok(Computed::Done(_)) => failed("its result exceeds the size limit of a turn"),
            Ok(Computed::Nonsense) => failed("the guest cannot decode its own job"),
            Err(fault) => Progress::Done(Err(fault)),
        }
    }
}

/// The minimum capacity for the bytes of jobs, whatever the limit of buffered bytes is.
const LEAST_ROOM: usize = 1 << 20;

/// A job whose outcome the guest has not received yet.
struct UnderWay<W: JobRunner> {
    /// The guest's id of the job.
    job: JobId,
    /// The number of bytes of the job, or of its result.
    bytes: usize,
    cancelled: Arc<AtomicBool>,
    /// Cancels the job when it is dropped. `None` if the workers could not accept the job.
    _ticket: Option<Ticket<GuestJob<W>>>,
    /// The outcome, if the job has ended: the bytes of its result, or `None` if it was lost.
    over: Option<Option<Vec<u8>>>,
}

impl<W: JobRunner> Drop for UnderWay<W> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The jobs that a guest has submitted.
pub(crate) struct Jobs<W: JobRunner> {
    /// The jobs by the host's own numbers, because a guest that was replaced may have used the same ids. This field is
    /// dropped before the workers, which cancels the jobs: a job that never ends would occupy its worker.
    under_way: HashMap<u64, UnderWay<W>>,
    /// The host's numbers, by the guest's ids.
    numbers: HashMap<JobId, u64>,
    last: u64,
    /// The jobs that have ended, in order. Some may have been cancelled since.
    over: VecDeque<u64>,
    /// The total number of bytes of all jobs.
    bytes: usize,
    workers: Pool<GuestJob<W>>,
    job_runner: W,
    limit: usize,
}

impl<W: JobRunner> Jobs<W> {
    /// Creates a table of up to `limit` simultaneous jobs, with up to `threads` workers.
    pub(crate) fn new(job_runner: W, threads: usize, limit: usize, notifier: Notifier) -> Self {
        let limits = PoolLimits { purpose: Purpose::Computing, threads, keep_alive: KEEP_ALIVE };
        Self {
            under_way: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            over: VecDeque::new(),
            bytes: 0,
            workers: Pool::new(limits, notifier),
            job_runner,
            limit,
        }
    }

    /// Submits a job. Returns false if it is refused: because the limit of jobs is reached, because its bytes would
    /// exceed `room`, or because its id is in use.
    pub(crate) fn submit(&mut self, job: JobId, bytes: &[u8], room: usize) -> bool {
        let is_too_large = bytes.len() > LIMIT || self.bytes + bytes.len() > room.max(LEAST_ROOM);
        if is_too_large || self.under_way.len() >= self.limit || self.numbers.contains_key(&job) {
            return false;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let work = GuestJob {
            bytes: bytes.to_vec(),
            job_runner: self.job_runner.clone(),
            cancelled: Arc::clone(&cancelled),
        };
        self.last += 1;
        let ticket = self.workers.submit(JobId::from_bits(self.last), work).ok();
        self.numbers.insert(job, self.last);
        let mut new = UnderWay { job, bytes: bytes.len(), cancelled, _ticket: ticket, over: None };
        // The guest was told at its start that the host computes jobs. Without threads, the job is lost, and the guest
        // is notified.
        if new._ticket.is_none() {
            new.bytes = 0;
            new.over = Some(None);
            self.over.push_back(self.last);
        }
        self.bytes += new.bytes;
        self.under_way.insert(self.last, new);
        true
    }

    /// Cancels a job. Returns true if the job existed and had not ended.
    pub(crate) fn cancel(&mut self, job: JobId) -> bool {
        let number = self.numbers.get(&job).copied();
        number.and_then(|number| self.take(number)).is_some_and(|gone| gone.over.is_none())
    }

    /// Cancels all jobs, because the guest is gone. Returns the number of jobs that had not ended.
    pub(crate) fn cancel_all(&mut self) -> u64 {
        let count = self.under_way.values().filter(|job| job.over.is_none()).count() as u64;
        self.under_way.clear();
        self.numbers.clear();
        self.over.clear();
        self.bytes = 0;
        count
    }

    /// Removes a job.
    fn take(&mut self, number: u64) -> Option<UnderWay<W>> {
        let gone = self.under_way.remove(&number)?;
        self.numbers.remove(&gone.job);
        self.bytes -= gone.bytes;
        Some(gone)
    }

    /// Collects the outcomes of the jobs that the workers have finished since the last call.
    pub(crate) fn collect(&mut self) {
        for (id, outcome) in self.workers.finished() {
            // A job that is not found was cancelled.
            let Some(job) = self.under_way.get_mut(&id.to_bits()) else { continue };
            let result = match outcome {
                Some(Ok(bytes)) => Some(bytes),
                Some(Err(error)) => {
                    tracing::error!("a job failed: {error}");
                    None
                }
                None => None,
            };
            self.bytes -= job.bytes;
            job.bytes = result.as_ref().map_or(0, Vec::len);
            self.bytes += job.bytes;
            job.over = Some(result);
            self.over.push_back(id.to_bits());
        }
    }

    /// Returns true if there are outcomes to deliver.
    pub(crate) fn are_over(&self) -> bool {
        !self.over.is_empty()
    }

    /// Removes the next job that has ended, and returns its result, if `room` suffices for it.
    pub(crate) fn next_over(&mut self, room: usize) -> Option<(JobId, Option<Vec<u8>>)> {
        while let Some(number) = self.over.front().copied() {
            match self.under_way.get(&number) {
                Some(job) if job.bytes > room => return None,
                _ => self.over.pop_front(),
            };
            if let Some(mut job) = self.take(number) {
                return Some((job.job, job.over.take().flatten()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::reactor::Reactor;

    /// A job runner in which every result has the maximum size.
    #[derive(Clone)]
    struct Large;

    impl JobRunner for Large {
        fn compute(&self, _: &[u8], _: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
            Ok(Computed::Done(vec![0; LIMIT]))
        }
    }

    #[test]
    fn results_count_until_the_guest_is_told() {
        let reactor = Reactor::new(Duration::ZERO).expect("a poller");
        let mut jobs = Jobs::new(Large, 1, 10, reactor.notifier());
        let ids: Vec<_> = (1..=5).map(JobId::from_bits).collect();
        for id in &ids {
            assert!(jobs.submit(*id, b"little", 0));
        }
        while jobs.over.len() < ids.len() {
            jobs.collect();
            thread::yield_now();
        }
        let another = JobId::from_bits(6);
        assert!(!jobs.submit(another, b"little", 0), "five results exceed the capacity");
        assert_eq!(jobs.next_over(LIMIT - 1), None, "the result does not fit");
        assert!(!jobs.cancel(ids[0]), "it has ended, but is removed anyway");
        assert_eq!(jobs.next_over(LIMIT), Some((ids[1], Some(vec![0; LIMIT]))));
        assert!(jobs.submit(another, b"little", 0));
        assert_eq!(jobs.cancel_all(), 1, "the others have ended");
        assert!(!jobs.are_over() && jobs.bytes == 0);
    }
}
