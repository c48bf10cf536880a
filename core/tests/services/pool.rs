//! Who computes: slices between the turns, or threads that end when they like.

use std::collections::BTreeMap;

use sinbin_core::fib::FibJob;
use sinbin_core::{Job, JobId, Progress, Slicer, Storage};

use crate::luck::Luck;

pub enum Pool<S: Storage> {
    Slices(Slicer<FibJob, S>),
    Threads { running: Vec<(JobId, FibJob)>, done: BTreeMap<JobId, u64> },
}

/// What became of a job.
pub enum News {
    Done(JobId),
    /// Whoever computed it failed.
    Lost(JobId),
}

impl<S: Storage> Pool<S> {
    pub fn slices(storage: &S) -> Self {
        Self::Slices(Slicer::new(storage))
    }

    pub fn threads() -> Self {
        Self::Threads { running: Vec::new(), done: BTreeMap::new() }
    }

    pub fn submit(&mut self, id: JobId, job: FibJob) {
        match self {
            Self::Slices(slicer) => slicer.submit(id, job),
            Self::Threads { running, .. } => running.push((id, job)),
        }
    }

    pub fn take(&mut self, id: JobId) -> Option<u64> {
        match self {
            Self::Slices(slicer) => slicer.take(id),
            Self::Threads { done, .. } => done.remove(&id),
        }
    }

    pub fn cancel(&mut self, id: JobId) {
        match self {
            Self::Slices(slicer) => slicer.cancel(id),
            Self::Threads { running, done } => {
                running.retain(|(job, _)| *job != id);
                done.remove(&id);
            }
        }
    }

    /// Works for a while.
    pub fn work(&mut self, luck: &mut Luck, may_fail: bool) -> Option<News> {
        match self {
            Self::Slices(slicer) => {
                let budget = [u32::MAX, 1, 100, 2000][luck.below(4)];
                slicer.run(budget).map(News::Done)
            }
            Self::Threads { running, done } => {
                if running.is_empty() || luck.strikes(3) {
                    return None;
                }
                if may_fail && luck.strikes(4) {
                    return self.lose().map(News::Lost);
                }
                let (id, job) = running.remove(luck.below(running.len()));
                done.insert(id, complete(job));
                Some(News::Done(id))
            }
        }
    }

    /// A thread fails, and its job is gone.
    pub fn lose(&mut self) -> Option<JobId> {
        match self {
            Self::Slices(_) => None,
            Self::Threads { running, .. } => running.pop().map(|(id, _)| id),
        }
    }

    /// Whether nothing is left to compute, or to be taken.
    pub fn is_idle(&mut self) -> bool {
        match self {
            // What was cancelled may stand in the rotation until it would be its turn.
            Self::Slices(slicer) => slicer.run(u32::MAX).is_none() && slicer.is_idle(),
            Self::Threads { running, done } => running.is_empty() && done.is_empty(),
        }
    }
}

fn complete(mut job: FibJob) -> u64 {
    loop {
        if let Progress::Done(value) = job.run(1000) {
            return value;
        }
    }
}
