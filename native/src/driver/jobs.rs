//! Jobs of a guest, on worker threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sinbin_core::driven::Computed;
use sinbin_core::{Job, JobId, Progress};

use crate::driver::input::LIMIT;
use crate::driver::{Fault, Workshop};
use crate::pool::{Pool, Ticket};
use crate::reactor::Notifier;

/// A job: bytes that only the guest can read. Any worker can do the next slice.
struct GuestJob<W> {
    bytes: Vec<u8>,
    workshop: W,
    cancelled: Arc<AtomicBool>,
}

/// What became of a job: the bytes of its result, or why there is none.
type Outcome = Result<Vec<u8>, Fault>;

impl<W: Workshop> Job for GuestJob<W> {
    type Output = Outcome;

    fn run(&mut self, budget: u32) -> Progress<Outcome> {
        let failed = |why: &str| Progress::Done(Err(Fault(why.to_owned())));
        match self.workshop.compute(&self.bytes, budget, &self.cancelled) {
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

/// A job that is under way.
struct UnderWay<W: Workshop> {
    /// The guest's name of it.
    job: JobId,
    bytes: usize,
    cancelled: Arc<AtomicBool>,
    _ticket: Ticket<GuestJob<W>>,
}

impl<W: Workshop> Drop for UnderWay<W> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// A result that the guest is to be told.
pub(crate) enum Over {
    /// The bytes of the result.
    Done(JobId, Vec<u8>),
    /// There is none.
    Lost(JobId),
}

/// The jobs that a guest has submitted.
pub(crate) struct Jobs<W: Workshop> {
    /// By the host's own number of each: a guest that was replaced may have used the same names. Dropped first, which
    /// cancels them: a job that never ends would keep its worker.
    under_way: HashMap<u64, UnderWay<W>>,
    /// The numbers, by the guest's names.
    numbers: HashMap<JobId, u64>,
    last: u64,
    /// What those under way were submitted as.
    bytes: usize,
    workers: Pool<GuestJob<W>>,
    workshop: W,
    limit: usize,
}

impl<W: Workshop> Jobs<W> {
    /// Up to `threads` workers, for up to `limit` jobs at a time.
    pub(crate) fn new(workshop: W, threads: usize, limit: usize, notifier: Notifier) -> Self {
        Self {
            under_way: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            bytes: 0,
            workers: Pool::new(threads, notifier),
            workshop,
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
            workshop: self.workshop.clone(),
            cancelled: Arc::clone(&cancelled),
        };
        self.last += 1;
        let ticket = self.workers.submit(JobId::from_bits(self.last), work);
        self.numbers.insert(job, self.last);
        self.under_way.insert(self.last, UnderWay { job, bytes: bytes.len(), cancelled, _ticket: ticket });
        self.bytes += bytes.len();
        true
    }

    /// Nobody wants the result any more. Whether there was such a job.
    pub(crate) fn cancel(&mut self, job: JobId) -> bool {
        let number = self.numbers.get(&job).copied();
        number.is_some_and(|number| self.take(number).is_some())
    }

    /// The guest is gone, and its jobs with it. Returns how many there were.
    pub(crate) fn cancel_all(&mut self) -> u64 {
        let count = self.under_way.len() as u64;
        self.under_way.clear();
        self.numbers.clear();
        self.bytes = 0;
        count
    }

    /// A job is no longer under way. Returns the guest's name of it.
    fn take(&mut self, number: u64) -> Option<JobId> {
        let gone = self.under_way.remove(&number)?;
        self.numbers.remove(&gone.job);
        self.bytes -= gone.bytes;
        Some(gone.job)
    }

    /// What is over since the last time, and still wanted.
    pub(crate) fn finished(&mut self) -> Vec<Over> {
        let finished = self.workers.finished().into_iter();
        let wanted = finished.filter_map(|(id, outcome)| {
            let job = self.take(id.to_bits())?;
            Some(match outcome {
                Some(Ok(bytes)) => Over::Done(job, bytes),
                Some(Err(error)) => {
                    tracing::error!("a job failed: {error}");
                    Over::Lost(job)
                }
                None => Over::Lost(job),
            })
        });
        wanted.collect()
    }
}
