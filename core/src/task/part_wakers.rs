//! The table of the wakers of parts of tasks that wait to be woken by name.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::take;
use core::task::Waker;

use crate::kernel::id::TaskId;

/// The number of wakers of one task from which on they are all used now and then, because nothing tells that a future
/// was dropped: the wakers of futures that exist come back.
const MIN_LIMIT: usize = 32;

/// The steps of a task in which the wakers of its parts come back.
const STEPS: u8 = 2;

/// The wakers of parts, by task.
pub(crate) struct PartWakers(BTreeMap<TaskId, Wakers>);

struct Wakers {
    wakers: Vec<Waker>,
    /// The number of wakers beyond which they are all used.
    limit: usize,
    /// The number of steps of the task until the limit is set anew, after all wakers were used.
    settling: u8,
    /// The number of times that the task was woken by name; it wraps.
    calls: u32,
    /// The step in which a part has registered last.
    last: u32,
}

impl PartWakers {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Keeps a waker of a part of `task`. Returns the wakers to be used now.
    pub(crate) fn keep(&mut self, task: TaskId, waker: &mut Option<Waker>, step: u32) -> Vec<Waker> {
        let none = || Wakers { wakers: Vec::new(), limit: MIN_LIMIT, settling: 0, calls: 0, last: step };
        let Wakers { wakers, limit, settling, last, .. } = self.0.entry(task).or_insert_with(none);
        *last = step;
        if waker.as_ref().is_none_or(|new| wakers.iter().any(|waker| waker.will_wake(new))) {
            return Vec::new();
        }
        wakers.extend(waker.take());
        if wakers.len() <= *limit || *settling > 0 {
            return Vec::new();
        }
        *settling = STEPS;
        take(wakers)
    }

    /// Counts a step of the task.
    pub(crate) fn count_step(&mut self, task: TaskId) {
        if let Some(Wakers { wakers, limit, settling, .. }) = self.0.get_mut(&task)
            && *settling > 0
        {
            *settling -= 1;
            if *settling == 0 {
                *limit = MIN_LIMIT.max(2 * wakers.len());
            }
        }
    }

    /// Counts a wake by name of `task`, and returns the wakers of its parts.
    pub(crate) fn call(&mut self, task: TaskId) -> Vec<Waker> {
        if let Some(parts) = self.0.get_mut(&task) {
            parts.calls = parts.calls.wrapping_add(1);
        }
        self.take(task)
    }

    /// Returns the number of wakes by name of `task` since a part of it has waited for one.
    pub(crate) fn calls(&self, task: TaskId) -> u32 {
        self.0.get(&task).map_or(0, |parts| parts.calls)
    }

    /// Removes the wakers of parts of `task`, and returns them.
    pub(crate) fn take(&mut self, task: TaskId) -> Vec<Waker> {
        self.0.get_mut(&task).map(|parts| take(&mut parts.wakers)).unwrap_or_default()
    }

    /// Returns the step in which a part of `task` has registered last, if one waits.
    pub(crate) fn kept(&self, task: TaskId) -> Option<u32> {
        self.0.get(&task).filter(|parts| !parts.wakers.is_empty()).map(|parts| parts.last)
    }

    /// Removes a task that has ended. Returns the wakers of its parts.
    pub(crate) fn remove(&mut self, task: TaskId) -> Vec<Waker> {
        self.0.remove(&task).map(|parts| parts.wakers).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
