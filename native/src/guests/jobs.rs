//! Jobs of a guest, on worker threads.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sinbin_core::driven::Computed;
use sinbin_core::{Job, JobId, Progress};

use crate::guests::input::LIMIT;
use crate::guests::{Fault, JobRunner};
use crate::pool::{Pool, Ticket};
use crate::reactor::Notifier;

/// A job: bytes that only the guest can read. Any worker can do the next slice.
struct GuestJob<W> {
    bytes: Vec<u8>,
    job_runner: W,
    cancelled: Arc<AtomicBool>,
}

/// What became of a job: the bytes of its result, or why there is none.
type Outcome = Result<Vec<u8>, Fault>;

impl<W: JobRunner> Job for GuestJob<W> {
    type Output = Outcome;

    fn run(&mut self, budget: u32) -> Progress<Outcome> {
        let failed = |why: &str| Progress::Done(Err(Fault(why.to_owned())));
        match self.job_runner.compute(&self.bytes, budget, &self.cancelled) {
            Ok(Computed::More(bytes)) if bytes.len() > LIMIT => {
                failed("it has grown to more than a turn takes")
            }
            Ok(Computed::More(bytes)) => {
                self.bytes = bytes;
                Progress::More
            }
            Ok(Computed::Done(bytes)) if bytes.len() <= LIMIT => Progress::Done(Ok(bytes)),
            Ok(Computed::Done(_)) => failed("its result is more than a turn takes"),
            Ok(Computed::Nonsense) => failed("the guest can't read its own job"),
            Err(fault) => Progress::Done(Err(fault)),
        }
    }
}

/// Bytes of jobs that there may be, however little is kept otherwise.
const LEAST_ROOM: usize = 1 << 20;

/// A job of which the guest is to hear.
struct UnderWay<W: JobRunner> {
    /// The guest's name of it.
    job: JobId,
    /// Those of the job, or of its result.
    bytes: usize,
    cancelled: Arc<AtomicBool>,
    /// Takes the job away from the workers when it is dropped. None where they could not take the job.
    _ticket: Option<Ticket<GuestJob<W>>>,
    /// What came of it: the bytes of its result, or nothing.
    over: Option<Option<Vec<u8>>>,
}

impl<W: JobRunner> Drop for UnderWay<W> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The jobs that a guest has submitted.
pub(crate) struct Jobs<W: JobRunner> {
    /// By the host's own number of each: a guest that was replaced may have used the same names. Dropped first, which
    /// cancels them: a job that never ends would keep its worker.
    under_way: HashMap<u64, UnderWay<W>>,
    /// The numbers, by the guest's names.
    numbers: HashMap<JobId, u64>,
    last: u64,
    /// Those that are over, in order; some may have been cancelled since.
    over: VecDeque<u64>,
    /// The sum over all under way.
    bytes: usize,
    workers: Pool<GuestJob<W>>,
    job_runner: W,
    limit: usize,
}

impl<W: JobRunner> Jobs<W> {
    /// Up to `threads` workers, for up to `limit` jobs at a time.
    pub(crate) fn new(job_runner: W, threads: usize, limit: usize, notifier: Notifier) -> Self {
        Self {
            under_way: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            over: VecDeque::new(),
            bytes: 0,
            workers: Pool::new(threads, notifier),
            job_runner,
            limit,
        }
    }

    /// Begins with a job. Whether it was taken: not at the limit of jobs, nor beyond `room` for their bytes, nor under a
    /// name that is in use.
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
        // The guest was told that jobs are computed elsewhere. Without threads they are lost, and it hears of that.
        if new._ticket.is_none() {
            new.bytes = 0;
            new.over = Some(None);
            self.over.push_back(self.last);
        }
        self.bytes += new.bytes;
        self.under_way.insert(self.last, new);
        true
    }

    /// Nobody wants the result any more. Whether there was such a job, which was not over.
    pub(crate) fn cancel(&mut self, job: JobId) -> bool {
        let number = self.numbers.get(&job).copied();
        number.and_then(|number| self.take(number)).is_some_and(|gone| gone.over.is_none())
    }

    /// The guest is gone, and its jobs with it. Returns how many of them were not over.
    pub(crate) fn cancel_all(&mut self) -> u64 {
        let count = self.under_way.values().filter(|job| job.over.is_none()).count() as u64;
        self.under_way.clear();
        self.numbers.clear();
        self.over.clear();
        self.bytes = 0;
        count
    }

    /// A job is no longer under way.
    fn take(&mut self, number: u64) -> Option<UnderWay<W>> {
        let gone = self.under_way.remove(&number)?;
        self.numbers.remove(&gone.job);
        self.bytes -= gone.bytes;
        Some(gone)
    }

    /// Takes what the workers have finished since the last time.
    pub(crate) fn collect(&mut self) {
        for (id, outcome) in self.workers.finished() {
            // Or nobody wants it any more.
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

    /// Whether there is something to tell.
    pub(crate) fn are_over(&self) -> bool {
        !self.over.is_empty()
    }

    /// The next job of which the guest is to hear, and its result, if that has room; it counts as under way until then.
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

    /// Whatever the job, its result is as large as it can be.
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
        assert!(!jobs.submit(another, b"little", 0), "five results are more than there is room for");
        assert_eq!(jobs.next_over(LIMIT - 1), None, "it has to fit");
        assert!(!jobs.cancel(ids[0]), "it is over, and goes all the same");
        assert_eq!(jobs.next_over(LIMIT), Some((ids[1], Some(vec![0; LIMIT]))));
        assert!(jobs.submit(another, b"little", 0));
        assert_eq!(jobs.cancel_all(), 1, "the others are over");
        assert!(!jobs.are_over() && jobs.bytes == 0);
    }
}
