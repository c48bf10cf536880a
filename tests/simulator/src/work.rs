//! The executors of jobs: slices between the turns, or threads that may be slow, fail, and die.

use std::collections::VecDeque;

use sinbin_core::job::Slicer;
use sinbin_core::{Job, JobId, Limits, Progress};

use crate::rng::Rng;

/// The jobs of a run.
pub(crate) enum Work<J: Job> {
    Slices(Slicer<J, Limits>),
    Threads { threads: u32, running: Vec<Running<J>>, done: VecDeque<(JobId, J::Output)> },
}

/// A job and the thread that computes it.
pub(crate) struct Running<J> {
    id: JobId,
    job: J,
    thread: u32,
}

impl<J: Job> Work<J> {
    pub(crate) fn slices(limits: &Limits) -> Self {
        Self::Slices(Slicer::new(limits))
    }

    pub(crate) fn threads(threads: u32) -> Self {
        Self::Threads { threads: threads.max(1), running: Vec::new(), done: VecDeque::new() }
    }

    /// Submits a job. Returns true if the caller has to schedule the end of the job.
    pub(crate) fn submit(&mut self, id: JobId, job: J, rng: &mut Rng) -> bool {
        match self {
            Self::Slices(slicer) => {
                slicer.submit(id, job);
                false
            }
            Self::Threads { threads, running, .. } => {
                running.push(Running { id, job, thread: rng.below(*threads) });
                true
            }
        }
    }

    pub(crate) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self {
            Self::Slices(slicer) => slicer.take(id),
            Self::Threads { done, .. } => {
                let place = done.iter().position(|(job, _)| *job == id)?;
                done.remove(place).map(|(_, output)| output)
            }
        }
    }

    pub(crate) fn cancel(&mut self, id: JobId) {
        match self {
            Self::Slices(slicer) => slicer.cancel(id),
            Self::Threads { running, done, .. } => {
                running.retain(|running| running.id != id);
                done.retain(|(job, _)| *job != id);
            }
        }
    }

    /// Returns true if the loop has jobs to compute.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Slices(slicer) if !slicer.is_idle())
    }

    /// Runs a slice of `budget`, or of a random size. Returns the job if it is done.
    pub(crate) fn slice(&mut self, budget: Option<u32>, rng: &mut Rng) -> Option<JobId> {
        match self {
            Self::Slices(slicer) => {
                slicer.run(budget.unwrap_or_else(|| *rng.pick(&[u32::MAX, 1, 100, 2000])))
            }
            Self::Threads { .. } => None,
        }
    }

    /// Continues a job whose time has come. Returns true if the job is done. Returns false if the job does not exist,
    /// or if it needs more than `budget`.
    pub(crate) fn finish(&mut self, id: JobId, budget: Option<u32>, rng: &mut Rng) -> bool {
        let Self::Threads { running, done, threads } = self else { return false };
        let Some(place) = running.iter().position(|running| running.id == id) else { return false };
        let mut job = running.swap_remove(place).job;
        let slice = budget.unwrap_or_else(|| *rng.pick(&[u32::MAX, 100]));
        loop {
            if let Progress::Done(output) = job.run(slice) {
                done.push_back((id, output));
                return true;
            }
            if budget.is_some() {
                let thread = rng.below(*threads);
                running.push(Running { id, job, thread });
                return false;
            }
        }
    }

    /// Returns true if a thread computes the job.
    pub(crate) fn is_running(&self, id: JobId) -> bool {
        matches!(self, Self::Threads { running, .. } if running.iter().any(|running| running.id == id))
    }

    /// Makes the job fail. Returns true if the job existed.
    pub(crate) fn fail(&mut self, id: JobId) -> bool {
        let Self::Threads { running, .. } = self else { return false };
        let before = running.len();
        running.retain(|running| running.id != id);
        running.len() < before
    }

    /// Lets a random thread die. Returns the jobs that are lost.
    pub(crate) fn die(&mut self, rng: &mut Rng) -> Vec<JobId> {
        let Self::Threads { threads, running, .. } = self else { return Vec::new() };
        let dead = rng.below(*threads);
        let its = running.extract_if(.., |running| running.thread == dead);
        its.map(|running| running.id).collect()
    }

    /// Lets all threads die. Returns the jobs that are lost.
    pub(crate) fn die_all(&mut self) -> Vec<JobId> {
        let Self::Threads { running, .. } = self else { return Vec::new() };
        running.drain(..).map(|running| running.id).collect()
    }

    /// Returns true if no job is left to compute, and no result is left to be taken.
    pub(crate) fn is_idle(&mut self) -> bool {
        match self {
            // Cancelled jobs may stay in the rotation until their turn; `next` skips them.
            Self::Slices(slicer) => slicer.next().is_none(),
            Self::Threads { running, done, .. } => running.is_empty() && done.is_empty(),
        }
    }
}
