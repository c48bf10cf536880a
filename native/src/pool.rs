//! Worker threads for jobs.
//!
//! A worker runs a job slice by slice and gives way to the jobs behind it after each, so that a short one
//! does not wait for the end of a long one. Between slices it looks whether anybody still wants the result.

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

/// How long the end of a pool waits for the slices that are being computed: a worker of low priority is slow where others
/// are busy.
const GRACE: Duration = Duration::from_millis(500);

/// How often it looks whether they have ended.
const LOOK: Duration = Duration::from_micros(200);

/// How much of a job a worker does before it looks around: some hundred microseconds.
const SLICE: u32 = 500_000;

/// A job that is over: its result, or `None` if it panicked.
pub type Finished<J> = (JobId, Option<<J as Job>::Output>);

/// What the loop keeps of a job that it has handed over; dropped, it cancels the job. One that waits for a worker is
/// dropped with it, on the same thread; one that has a worker is, there, when its slice is over.
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
    /// Workers that wait for a job.
    idle: usize,
    finished: Vec<Finished<J>>,
    closing: bool,
}

struct Shared<J: Job> {
    state: Mutex<State<J>>,
    work: Condvar,
    notifier: Notifier,
}

/// Threads at low priority, up to a number. They start when there are jobs for them: a process that has none
/// stays one of a single thread, whose system calls are cheaper.
pub struct Pool<J: Job> {
    shared: Arc<Shared<J>>,
    workers: Vec<JoinHandle<()>>,
    limit: usize,
    /// The system gave no thread the last time that one was wanted, and the log says so.
    is_refused: bool,
}

impl<J: SendJob> Pool<J> {
    /// A pool of up to `limit` threads, which notify the loop by `notifier` when a job is over.
    #[must_use]
    pub fn new(limit: usize, notifier: Notifier) -> Self {
        let state = State { jobs: Queue::new(), idle: 0, finished: Vec::new(), closing: false };
        let shared = Shared { state: Mutex::new(state), work: Condvar::new(), notifier };
        Self { shared: Arc::new(shared), workers: Vec::new(), limit, is_refused: false }
    }

    /// Has a worker begin with `job`. Dropped, the ticket cancels it.
    ///
    /// # Errors
    ///
    /// Gives the job back where there is no worker, and the system gives no thread for one.
    ///
    /// # Panics
    ///
    /// With 4 billion jobs there already.
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

    /// Starts another worker, if the system has a thread for it.
    fn start_worker(&mut self) {
        let shared = Arc::clone(&self.shared);
        let name = format!("sinbin-worker-{}", self.workers.len());
        let started = thread::Builder::new().name(name).spawn(move || shared.work());
        let was_refused = mem::replace(&mut self.is_refused, started.is_err());
        match started {
            Ok(worker) => self.workers.push(worker),
            // The error has been logged, and each job that comes would log it again.
            Err(_) if was_refused => {}
            Err(error) => {
                tracing::error!(%error, workers = self.workers.len(), "a worker thread could not be started");
            }
        }
    }

    /// What is over since the last time.
    #[must_use]
    pub fn finished(&self) -> Vec<Finished<J>> {
        mem::take(&mut self.shared.lock().finished)
    }
}

impl<J: Job> Drop for Pool<J> {
    /// Jobs end at their next slice boundary. A job whose slice does not end in half a second is left behind with its thread:
    /// the loop ends in its time.
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
    /// A panic of a job is caught outside the lock, so what it guards is whole.
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

    /// The job that waits longest, `again` being the youngest; waits for one. `None` when the pool closes.
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

    /// The result goes to the loop, if anybody wants it.
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

/// A job that a worker has, with its key and its id.
type Taken<J> = (Key, (JobId, J));

/// Drops a job, or its result: never under the lock, and a panic of it harms no other job.
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
        /// Keeps its worker until somebody says so.
        Stays(Receiver<()>),
        Short,
        /// Dropped, it panics.
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
            assert!(!matches!(self, Self::Grumbles), "it is meant to");
        }
    }

    fn submit(pool: &mut Pool<Work>, id: JobId, work: Work) -> Ticket<Work> {
        pool.submit(id, work).unwrap_or_else(|_| panic!("there are threads here"))
    }

    /// Waits for what the only worker has finished.
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
        // And where it has run, on the worker.
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
        // If the worker had not begun with it, nobody waits for this any more.
        go_on.send(()).ok();
        assert_eq!(finished(&pool, 1), [id(2)]);
    }
}
