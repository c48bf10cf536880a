//! Who computes: slices between the turns, or threads that end when they like, fail, and die.

use std::collections::VecDeque;

use sinbin_core::{Job, JobId, Limits, Progress, Slicer};

use crate::rng::Rng;

/// The jobs of a run.
pub(crate) enum Work<J: Job> {
    Slices(Slicer<J, Limits>),
    Threads { threads: u32, running: Vec<Running<J>>, done: VecDeque<(JobId, J::Output)> },
}

/// A job, and whose it is.
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

    /// Takes a job in. Whether somebody else has to say when it is done.
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

    /// Whether the loop has computing of its own to do.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Slices(slicer) if !slicer.is_idle())
    }

    /// Runs a slice of `budget`, or as luck will have it. Returns the job if it is done.
    pub(crate) fn slice(&mut self, budget: Option<u32>, rng: &mut Rng) -> Option<JobId> {
        match self {
            Self::Slices(slicer) => {
                slicer.run(budget.unwrap_or_else(|| *rng.pick(&[u32::MAX, 1, 100, 2000])))
            }
            Self::Threads { .. } => None,
        }
    }

    /// The job's time is over. Whether it is done; a job that is gone is not, nor one that takes more than `budget`, if
    /// there is one.
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

    /// Whether a thread computes this.
    pub(crate) fn is_running(&self, id: JobId) -> bool {
        matches!(self, Self::Threads { running, .. } if running.iter().any(|running| running.id == id))
    }

    /// The job fails. Whether there was such a job.
    pub(crate) fn fail(&mut self, id: JobId) -> bool {
        let Self::Threads { running, .. } = self else { return false };
        let before = running.len();
        running.retain(|running| running.id != id);
        running.len() < before
    }

    /// A thread dies. Returns the jobs that die with it.
    pub(crate) fn die(&mut self, rng: &mut Rng) -> Vec<JobId> {
        let Self::Threads { threads, running, .. } = self else { return Vec::new() };
        let dead = rng.below(*threads);
        let its = running.extract_if(.., |running| running.thread == dead);
        its.map(|running| running.id).collect()
    }

    /// All threads die. Returns the jobs that die with them.
    pub(crate) fn die_all(&mut self) -> Vec<JobId> {
        let Self::Threads { running, .. } = self else { return Vec::new() };
        running.drain(..).map(|running| running.id).collect()
    }

    /// Whether nothing is left to compute, or to be taken.
    pub(crate) fn is_idle(&mut self) -> bool {
        match self {
            // What was cancelled may stand in the rotation until it would be its turn.
            Self::Slices(slicer) => slicer.next().is_none(),
            Self::Threads { running, done, .. } => running.is_empty() && done.is_empty(),
        }
    }
}
