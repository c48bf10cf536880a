//! Jobs of a guest, on worker threads, in instances of their own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sinbin::parts::{Notifier, Ticket, Workers};
use sinbin::{Job, JobId, Progress};

use crate::contract::Progress as Slice;
use crate::error::report;
use crate::input::LIMIT;
use crate::instance::{Blueprint, Instance};

/// A job: bytes that only the guest can read. Any instance can do the next slice.
struct GuestJob {
    bytes: Vec<u8>,
    shop: Arc<Shop>,
    cancelled: Arc<AtomicBool>,
}

/// What a job's instances are made of.
struct Shop {
    number: u64,
    blueprint: Blueprint,
}

thread_local! {
    /// The worker's own instance, and of which shop it is.
    static INSTANCE: RefCell<Option<(u64, Instance)>> = const { RefCell::new(None) };
}

/// What became of a job: the bytes of its result, or why there is none.
type Outcome = Result<Vec<u8>, String>;

impl Job for GuestJob {
    type Output = Outcome;

    fn run(&mut self, budget: u32) -> Progress<Outcome> {
        match self.slice(budget) {
            Ok(Slice::More(bytes)) if bytes.len() > LIMIT => {
                Progress::Done(Err("it has grown to more than a turn takes".to_owned()))
            }
            Ok(Slice::More(bytes)) => {
                self.bytes = bytes;
                Progress::More
            }
            Ok(Slice::Done(bytes)) if bytes.len() <= LIMIT => Progress::Done(Ok(bytes)),
            Ok(Slice::Done(_)) => Progress::Done(Err("its result is more than a turn takes".to_owned())),
            Ok(Slice::Nonsense) => Progress::Done(Err("the guest can't read its own job".to_owned())),
            Err(error) => Progress::Done(Err(report(&error))),
        }
    }
}

impl GuestJob {
    fn slice(&self, budget: u32) -> Result<Slice, wasmtime::Error> {
        INSTANCE.with_borrow_mut(|place| {
            if place.as_ref().is_none_or(|(shop, _)| *shop != self.shop.number) {
                *place = Some((self.shop.number, self.shop.blueprint.instance()?));
            }
            let Some((_, instance)) = place else { unreachable!("it was put there") };
            // An instance that has trapped is of no use any more.
            instance.compute(&self.bytes, budget, &self.cancelled).inspect_err(|_| *place = None)
        })
    }
}

/// Bytes of jobs that there may be, however little is kept otherwise.
const LEAST_ROOM: usize = 1 << 20;

/// A job that is under way.
struct UnderWay {
    /// The guest's name of it.
    job: u64,
    bytes: usize,
    cancelled: Arc<AtomicBool>,
    _ticket: Ticket,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// A result that the guest is to be told.
pub(crate) enum Over {
    /// The bytes of the result.
    Done(u64, Vec<u8>),
    /// There is none.
    Lost(u64),
}

/// The jobs that a guest has submitted.
pub(crate) struct Jobs {
    /// By the host's own number of each: a guest that was replaced may have used the same names. Dropped first, which
    /// cancels them: a job that never ends would keep its worker.
    under_way: HashMap<u64, UnderWay>,
    /// The numbers, by the guest's names.
    numbers: HashMap<u64, u64>,
    last: u64,
    /// What those under way were submitted as.
    bytes: usize,
    workers: Workers<GuestJob>,
    shop: Arc<Shop>,
    limit: usize,
}

impl Jobs {
    /// Up to `threads` workers, for up to `limit` jobs at a time.
    pub(crate) fn new(blueprint: Blueprint, threads: usize, limit: usize, notifier: Notifier) -> Self {
        static SHOPS: AtomicU64 = AtomicU64::new(0);
        let shop = Arc::new(Shop { number: SHOPS.fetch_add(1, Ordering::Relaxed), blueprint });
        Self {
            under_way: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            bytes: 0,
            workers: Workers::new(threads, notifier),
            shop,
            limit,
        }
    }

    /// Begins with a job. Whether it was taken: not at the limit of jobs, nor beyond `room` for their bytes, nor under a
    /// name that is in use.
    pub(crate) fn submit(&mut self, job: u64, bytes: &[u8], room: usize) -> bool {
        let is_too_large = bytes.len() > LIMIT || self.bytes + bytes.len() > room.max(LEAST_ROOM);
        if is_too_large || self.under_way.len() >= self.limit || self.numbers.contains_key(&job) {
            return false;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let work = GuestJob {
            bytes: bytes.to_vec(),
            shop: Arc::clone(&self.shop),
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
    pub(crate) fn cancel(&mut self, job: u64) -> bool {
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
    fn take(&mut self, number: u64) -> Option<u64> {
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
