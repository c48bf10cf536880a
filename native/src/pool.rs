//! Threads for jobs that compute, and for calls that block.
//!
//! A worker runs a job slice by slice. After each slice, it moves the job behind the waiting ones, so that a short job
//! does not wait for the end of a long one. Between slices, it checks whether the result is still wanted. A call that
//! blocks is a job of one slice.

mod queue;

use std::any::type_name;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{mem, thread};

use sinbin_core::{Job, JobId, Progress};

use crate::caught::caught;
use crate::host::SendJob;
use crate::pool::queue::{Ended, Key, Queue};
use crate::priority;
use crate::reactor::Notifier;

/// The time for which dropping a pool waits for the slices in progress. A worker has low priority, and is slow if other
/// threads are busy.
const GRACE: Duration = Duration::from_millis(500);

/// The interval at which dropping a pool checks whether the slices have ended.
const LOOK: Duration = Duration::from_micros(200);

/// The size of a worker's slice: some hundred microseconds.
const SLICE: u32 = 500_000;

/// The purpose of a pool's threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Computing. The threads have a low priority, so that the loop runs if both need the same core.
    Computing,
    /// Blocking. The threads mostly wait, and their short work is urgent.
    Blocking,
}

impl Purpose {
    /// Returns the beginning of a thread's name. Linux keeps 15 bytes of the name.
    const fn name(self) -> &'static str {
        match self {
            Self::Computing => "sinbin-worker",
            Self::Blocking => "sinbin-block",
        }
    }
}

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// The purpose of the threads.
    pub purpose: Purpose,
    /// The maximum number of threads.
    pub threads: usize,
    /// The time after which a thread without work ends.
    pub keep_alive: Duration,
}

/// The time after which a thread without work ends, unless the settings say otherwise.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A job that has ended, with its result or `None` if the job panicked.
pub type Finished<J> = (JobId, Option<<J as Job>::Output>);

/// The loop's handle of a submitted job. Dropping the ticket cancels the job. A job that waits for a worker is dropped
/// with the ticket, on the same thread. A job that a worker runs is dropped by the worker at the end of the slice.
pub struct Ticket<J: Job> {
    shared: Arc<Shared<J>>,
    key: Key,
    id: JobId,
}

impl<J: Job> Drop for Ticket<J> {
    fn drop(&mut self) {
        let ended = self.shared.lock().jobs.end(self.key);
        discard(self.id, ended);
    }
}

struct State<J: Job> {
    jobs: Queue<(JobId, J)>,
    /// The number of workers that wait for a job.
    idle: usize,
    /// The number of workers, including those that are about to start.
    workers: usize,
    finished: Vec<Finished<J>>,
    closing: bool,
}

struct Shared<J: Job> {
    state: Mutex<State<J>>,
    work: Condvar,
    notifier: Notifier,
    limits: PoolLimits,
}

/// A limited number of threads. Threads start when there are jobs for them, and end when they had none for some time.
/// A process without jobs is single-threaded, which makes its system calls cheaper.
pub struct Pool<J: Job> {
    shared: Arc<Shared<J>>,
    /// The threads that have not ended, and some of those that have.
    threads: Vec<JoinHandle<()>>,
    /// The number of threads that were started so far.
    started: usize,
    /// True if the last attempt to start a thread failed, which is already logged.
    is_refused: bool,
}

impl<J: SendJob> Pool<J> {
    /// Creates a pool whose threads notify the loop through `notifier` when a job has ended.
    #[must_use]
    pub fn new(limits: PoolLimits, notifier: Notifier) -> Self {
        let state = State { jobs: Queue::new(), idle: 0, workers: 0, finished: Vec::new(), closing: false };
        let shared = Shared { state: Mutex::new(state), work: Condvar::new(), notifier, limits };
        Self { shared: Arc::new(shared), threads: Vec::new(), started: 0, is_refused: false }
    }

    /// Submits `job` to the workers. Dropping the ticket cancels the job.
    ///
    /// # Errors
    ///
    /// Returns the job if there is no worker and the system cannot start one.
    ///
    /// # Panics
    ///
    /// Panics if there are already 4 billion jobs.
    pub fn submit(&mut self, id: JobId, job: J) -> Result<Ticket<J>, J> {
        let mut state = self.shared.lock();
        let Ok(key) = state.jobs.submit((id, job)) else { panic!("{id}: there are 4 billion jobs already") };
        let is_short = state.jobs.waiting() > state.idle && state.workers < self.shared.limits.threads;
        // A worker that runs out of work in the meantime checks this number under the lock.
        state.workers += usize::from(is_short);
        drop(state);
        self.shared.work.notify_one();
        if is_short {
            self.start_worker();
        }
        let mut state = self.shared.lock();
        if state.workers == 0
            && let Ended::Waiting((_, job)) = state.jobs.end(key)
        {
            return Err(job);
        }
        drop(state);
        Ok(Ticket { shared: Arc::clone(&self.shared), key, id })
    }

    /// Starts another worker, which is counted already, if the system can start a thread.
    fn start_worker(&mut self) {
        self.threads.retain(|thread| !thread.is_finished());
        let worker = Worker { shared: Arc::clone(&self.shared), is_counted: true };
        let name = format!("{}-{}", self.shared.limits.purpose.name(), self.started);
        // If the thread does not start, the worker is dropped, and no longer counted.
        let started = thread::Builder::new().name(name).spawn(move || worker.run());
        let was_refused = mem::replace(&mut self.is_refused, started.is_err());
        match started {
            Ok(thread) => {
                self.started += 1;
                self.threads.push(thread);
            }
            // The error is already logged. Without this check, each submitted job would log it again.
            Err(_) if was_refused => {}
            Err(error) => {
                let workers = self.shared.lock().workers;
                tracing::error!(%error, workers, "a worker thread could not be started");
            }
        }
    }

    /// Returns the jobs that have ended since the last call.
    #[must_use]
    pub fn finished(&self) -> Vec<Finished<J>> {
        mem::take(&mut self.shared.lock().finished)
    }
}

impl<J: Job> Drop for Pool<J> {
    /// Stops each job at its next slice boundary. If a slice takes longer than half a second, its job is abandoned
    /// together with its thread, so that the loop ends in time.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        let began = Instant::now();
        for worker in self.threads.drain(..) {
            while !worker.is_finished() && began.elapsed() < GRACE {
                thread::sleep(LOOK);
            }
            if !worker.is_finished() {
                tracing::warn!("a job is still at work, and is left behind with its thread");
            } else if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl<J: Job> Shared<J> {
    /// A job's panic is caught outside of the lock, so the state is consistent even if the lock is poisoned.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        if self.limits.purpose == Purpose::Computing {
            priority::lower();
        }
        let mut again = None;
        while let Some((key, (id, mut job))) = self.next(again.take()) {
            let slice = caught(|| job.run(SLICE));
            match slice {
                Ok(Progress::More) => {
                    again = Some((key, (id, job)));
                    continue;
                }
                Ok(Progress::Done(output)) => self.finish(key, id, Some(output)),
                Err(said) => {
                    tracing::error!(job = %id, "a job ({}) panicked: {said}", type_name::<J>());
                    self.finish(key, id, None);
                }
            }
            discard(id, job);
        }
    }

    /// Queues the job `again` last, then removes the job that has waited longest. Waits if there is none. Returns
    /// `None` if the worker is to end, which is then no longer counted: when the pool closes, and when there was no job
    /// for too long.
    fn next(&self, again: Option<Taken<J>>) -> Option<Taken<J>> {
        let mut state = self.lock();
        if let Some((key, job)) = again
            && let Err((id, unwanted)) = state.jobs.put_back(key, job)
        {
            drop(state);
            discard(id, unwanted);
            state = self.lock();
        }
        while state.jobs.waiting() == 0 && !state.closing {
            state.idle += 1;
            let keep_alive = self.limits.keep_alive;
            let (locked, waited) =
                self.work.wait_timeout(state, keep_alive).unwrap_or_else(PoisonError::into_inner);
            state = locked;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.waiting() == 0 {
                break;
            }
        }
        let next = if state.closing { None } else { state.jobs.take_first() };
        state.workers -= usize::from(next.is_none());
        next
    }

    /// Passes the result to the loop, unless the job was cancelled.
    fn finish(&self, key: Key, id: JobId, output: Option<J::Output>) {
        let mut state = self.lock();
        match state.jobs.end(key) {
            Ended::Before => {
                drop(state);
                discard(id, output);
            }
            ended => {
                state.finished.push((id, output));
                drop(state);
                discard(id, ended);
                self.notifier.notify();
            }
        }
    }
}

/// A worker on its thread. It is counted until it ends, even by a panic of a subscriber that the worker logs to.
struct Worker<J: Job> {
    shared: Arc<Shared<J>>,
    is_counted: bool,
}

impl<J: Job> Worker<J> {
    fn run(mut self) {
        self.shared.work();
        self.is_counted = false;
    }
}

impl<J: Job> Drop for Worker<J> {
    fn drop(&mut self) {
        if self.is_counted {
            self.shared.lock().workers -= 1;
        }
    }
}

/// A job that a worker runs, with its key and its id.
type Taken<J> = (Key, (JobId, J));

/// Drops a job or its result. Must not be called under the lock. A panic of the destructor affects no other job.
fn discard<T>(id: JobId, unwanted: T) {
    if let Err(said) = caught(|| drop(unwanted)) {
        tracing::error!(job = %id, "a job panicked when it was dropped: {said}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::reactor::Reactor;

    enum Work {
        /// Occupies its worker until the test sends a message.
        Stays(Receiver<()>),
        Short,
        /// Panics when it is dropped.
        Grumbles,
    }

    impl Job for Work {
        type Output = ();

        fn run(&mut self, _: u32) -> Progress<()> {
            if let Self::Stays(until) = self {
                until.recv().ok();
            }
            Progress::Done(())
        }
    }

    impl Drop for Work {
        fn drop(&mut self) {
            assert!(!matches!(self, Self::Grumbles), "this job panics when it is dropped");
        }
    }

    fn limits(threads: usize) -> PoolLimits {
        PoolLimits { purpose: Purpose::Computing, threads, keep_alive: Duration::MAX }
    }

    fn submit(pool: &mut Pool<Work>, id: JobId, work: Work) -> Ticket<Work> {
        pool.submit(id, work).unwrap_or_else(|_| panic!("there are threads here"))
    }

    /// Waits until the worker has finished `count` jobs, and returns their ids.
    fn finished(pool: &Pool<Work>, count: usize) -> Vec<JobId> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(pool.finished().into_iter().map(|(id, _)| id));
            thread::yield_now();
        }
        all
    }

    #[test]
    fn who_is_cancelled_while_waiting_is_gone_and_what_its_destructor_does_harms_nobody() {
        let reactor = Reactor::new(Duration::ZERO).expect("a poller");
        let mut pool = Pool::new(limits(1), reactor.notifier());
        let (go_on, until) = channel();
        let id = JobId::from_bits;
        let _first = submit(&mut pool, id(1), Work::Stays(until));
        let cancelled = [submit(&mut pool, id(2), Work::Grumbles), submit(&mut pool, id(3), Work::Short)];
        let _last = submit(&mut pool, id(4), Work::Short);
        drop(cancelled);
        go_on.send(()).expect("the worker waits for it");
        assert_eq!(finished(&pool, 2), [id(1), id(4)]);
        // A job that panics when it is dropped on the worker, after it has run.
        let _grumbles = submit(&mut pool, id(5), Work::Grumbles);
        let _short = submit(&mut pool, id(6), Work::Short);
        assert_eq!(finished(&pool, 2), [id(5), id(6)]);
    }

    #[test]
    fn who_is_cancelled_while_a_worker_has_it_is_never_told() {
        let reactor = Reactor::new(Duration::ZERO).expect("a poller");
        let mut pool = Pool::new(limits(1), reactor.notifier());
        let (go_on, until) = channel();
        let id = JobId::from_bits;
        drop(submit(&mut pool, id(1), Work::Stays(until)));
        let _next = submit(&mut pool, id(2), Work::Short);
        // If the worker has not started the job, no receiver is left.
        go_on.send(()).ok();
        assert_eq!(finished(&pool, 1), [id(2)]);
    }
    /// Waits until no thread of the pool is left.
    fn wait_for_ends(pool: &Pool<Work>) {
        while !pool.threads.iter().all(JoinHandle::is_finished) {
            thread::yield_now();
        }
        assert_eq!(pool.shared.lock().workers, 0);
    }

    #[test]
    fn threads_without_work_end_and_others_start_when_there_is_work_again() {
        let reactor = Reactor::new(Duration::ZERO).expect("a poller");
        let limits = PoolLimits { purpose: Purpose::Blocking, threads: 2, keep_alive: Duration::ZERO };
        let mut pool = Pool::new(limits, reactor.notifier());
        let id = JobId::from_bits;
        for round in 0..3 {
            let ids = [3 * round, 3 * round + 1, 3 * round + 2].map(id);
            let _tickets = ids.map(|id| submit(&mut pool, id, Work::Short));
            let mut done = finished(&pool, 3);
            done.sort_by_key(|id| id.to_bits());
            assert_eq!(done, ids);
            wait_for_ends(&pool);
        }
    }

    #[test]
    fn there_are_never_more_threads_than_the_limit() {
        let reactor = Reactor::new(Duration::ZERO).expect("a poller");
        let mut pool = Pool::new(limits(2), reactor.notifier());
        let id = JobId::from_bits;
        let (all_go_on, untils): (Vec<_>, Vec<_>) = (0..5).map(|_| channel()).unzip();
        let mut tickets = Vec::new();
        for (n, until) in (1..).zip(untils) {
            tickets.push(submit(&mut pool, id(n), Work::Stays(until)));
            assert_eq!(pool.shared.lock().workers, tickets.len().min(2));
        }
        for go_on in all_go_on {
            go_on.send(()).expect("a worker waits for it, or will");
        }
        assert_eq!(finished(&pool, 5).len(), 5);
    }
}
