//! Worker threads for jobs.
//!
//! A worker runs a job slice by slice. After each slice, it moves the job behind the waiting ones, so that a short job
//! does not wait for the end of a long one. Between slices, it checks whether the result is still wanted.

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
    finished: Vec<Finished<J>>,
    closing: bool,
}

struct Shared<J: Job> {
    state: Mutex<State<J>>,
    work: Condvar,
    notifier: Notifier,
}

/// A limited number of threads at low priority. Threads start when there are jobs for them. A process without jobs
/// stays single-threaded, which makes its system calls cheaper.
pub struct Pool<J: Job> {
    shared: Arc<Shared<J>>,
    workers: Vec<JoinHandle<()>>,
    limit: usize,
    /// True if the last attempt to start a thread failed, which is already logged.
    is_refused: bool,
}

impl<J: SendJob> Pool<J> {
    /// Creates a pool of up to `limit` threads, which notify the loop through `notifier` when a job has ended.
    #[must_use]
    pub fn new(limit: usize, notifier: Notifier) -> Self {
        let state = State { jobs: Queue::new(), idle: 0, finished: Vec::new(), closing: false };
        let shared = Shared { state: Mutex::new(state), work: Condvar::new(), notifier };
        Self { shared: Arc::new(shared), workers: Vec::new(), limit, is_refused: false }
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
        let is_short = state.jobs.waiting() > state.idle && self.workers.len() < self.limit;
        drop(state);
        self.shared.work.notify_one();
        if is_short {
            self.start_worker();
        }
        if self.workers.is_empty()
            && let Ended::Waiting((_, job)) = self.shared.lock().jobs.end(key)
        {
            return Err(job);
        }
        Ok(Ticket { shared: Arc::clone(&self.shared), key, id })
    }

    /// Starts another worker, if the system can start a thread.
    fn start_worker(&mut self) {
        let shared = Arc::clone(&self.shared);
        let name = format!("sinbin-worker-{}", self.workers.len());
        let started = thread::Builder::new().name(name).spawn(move || shared.work());
        let was_refused = mem::replace(&mut self.is_refused, started.is_err());
        match started {
            Ok(worker) => self.workers.push(worker),
            // The error is already logged. Without this check, each submitted job would log it again.
            Err(_) if was_refused => {}
            Err(error) => {
                tracing::error!(%error, workers = self.workers.len(), "a worker thread could not be started");
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
        for worker in self.workers.drain(..) {
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
        priority::lower();
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
    /// `None` when the pool closes.
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
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        if state.closing { None } else { state.jobs.take_first() }
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
        let mut pool = Pool::new(1, reactor.notifier());
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
        let mut pool = Pool::new(1, reactor.notifier());
        let (go_on, until) = channel();
        let id = JobId::from_bits;
        drop(submit(&mut pool, id(1), Work::Stays(until)));
        let _next = submit(&mut pool, id(2), Work::Short);
        // If the worker has not started the job, no receiver is left.
        go_on.send(()).ok();
        assert_eq!(finished(&pool, 1), [id(2)]);
    }
}
