//! The jobs of a run: on worker threads, or in slices between the turns.

use std::collections::VecDeque;
use std::time::Duration;

use sinbin_core::job::Slicer;
use sinbin_core::{Instant, Job, JobId, Limits, Progress};

use crate::frame::JobRow;
use crate::scenario::Computes;
use crate::world::{CALL, Fib};

/// The number of worker threads.
const WORKERS: usize = 2;

/// The calls of the recursion in a slice.
const SLICE: u32 = 100_000;

/// A slice of a job.
pub(super) struct Slice {
    /// The job, and the share of it that is computed.
    pub(super) text: String,
    /// The virtual time of the slice.
    pub(super) span: Duration,
    /// The job, if it is done.
    pub(super) done: Option<JobId>,
}

/// The jobs that are not taken yet.
pub(super) struct Jobs {
    workers: [Option<(JobId, Fib, Instant)>; WORKERS],
    waiting: VecDeque<(JobId, Fib)>,
    slicer: Slicer<Fib, Limits>,
    /// The jobs in the slicer, each with the number of calls that are left, for reports.
    sliced: Vec<(JobId, Fib)>,
    done: Vec<(JobId, u64)>,
    computes: Computes,
}

impl Jobs {
    pub(super) fn new(computes: Computes, limits: &Limits) -> Self {
        let slicer = Slicer::new(limits);
        let (waiting, sliced, done) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { workers: [None; WORKERS], waiting, slicer, sliced, done, computes }
    }

    /// Accepts a job. Returns the job that a worker begins to compute now, and the time of its end.
    pub(super) fn submit(&mut self, id: JobId, job: Fib, now: Instant) -> Option<(JobId, Instant)> {
        match self.computes {
            Computes::Slices => {
                self.slicer.submit(id, job);
                self.sliced.push((id, job));
                None
            }
            Computes::Workers => {
                self.waiting.push_back((id, job));
                self.begin(now)
            }
        }
    }

    /// Lets a free worker begin the next job. Returns the job, and the time of its end.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(JobId, Instant)> {
        let worker = self.workers.iter_mut().find(|worker| worker.is_none())?;
        let (id, job) = self.waiting.pop_front()?;
        let end = now + Duration::from_nanos(job.left * CALL);
        *worker = Some((id, job, end));
        Some((id, end))
    }

    /// Ends the job that a worker has computed by now. Returns the number of the worker, from 1, and the job.
    pub(super) fn finish(&mut self, id: JobId) -> Option<(usize, Fib)> {
        let is_it = |worker: &Option<(JobId, Fib, Instant)>| worker.is_some_and(|(job, ..)| job == id);
        let worker = self.workers.iter().position(is_it)?;
        let (_, mut job, _) = self.workers[worker].take()?;
        if let Progress::Done(value) = job.run(u32::MAX) {
            self.done.push((id, value));
        }
        Some((worker + 1, job))
    }

    /// Returns true if the loop has jobs to compute.
    pub(super) fn is_busy(&mut self) -> bool {
        self.slicer.next().is_some()
    }

    /// Computes a slice of the next job.
    pub(super) fn slice(&mut self) -> Slice {
        let next = self.slicer.next();
        let done = self.slicer.run(SLICE);
        let (mut text, mut calls) = (String::new(), 0);
        for (_, job) in self.sliced.iter_mut().filter(|(id, _)| Some(*id) == next) {
            calls = job.left.min(u64::from(SLICE));
            job.left -= calls;
            text = format!("fib({}): {} %", job.n, job.percent());
        }
        Slice { text, span: Duration::from_nanos(calls * CALL), done }
    }

    /// Removes the result of a job.
    pub(super) fn take(&mut self, id: JobId) -> Option<u64> {
        if let Some(place) = self.done.iter().position(|(job, _)| *job == id) {
            return Some(self.done.swap_remove(place).1);
        }
        let value = self.slicer.take(id);
        if value.is_some() {
            self.sliced.retain(|(job, _)| *job != id);
        }
        value
    }

    pub(super) fn cancel(&mut self, id: JobId) {
        match self.computes {
            Computes::Slices => self.slicer.cancel(id),
            Computes::Workers => {
                for worker in &mut self.workers {
                    worker.take_if(|(job, ..)| *job == id);
                }
            }
        }
        self.waiting.retain(|(job, _)| *job != id);
        self.sliced.retain(|(job, _)| *job != id);
        self.done.retain(|(job, _)| *job != id);
    }

    /// Returns the jobs as the page shows them.
    pub(super) fn rows(&self, now: Instant) -> Vec<JobRow> {
        let mut rows = Vec::new();
        let mut row = |id: JobId, text| rows.push(JobRow { id: id.to_string(), text });
        for (worker, (id, job, end)) in
            self.workers.iter().enumerate().filter_map(|(i, it)| Some((i, it.as_ref()?)))
        {
            let left = u64::try_from(end.since(now).as_nanos()).unwrap_or(u64::MAX) / CALL;
            let job = Fib { left: left.min(job.left), ..*job };
            row(*id, format!("fib({}) on worker {}: {} %", job.n, worker + 1, job.percent()));
        }
        for (id, job) in &self.waiting {
            row(*id, format!("fib({}) waits for a worker", job.n));
        }
        for (id, job) in &self.sliced {
            row(*id, format!("fib({}) in slices: {} %", job.n, job.percent()));
        }
        for (id, value) in &self.done {
            row(*id, format!("done: {value}"));
        }
        rows
    }
}
