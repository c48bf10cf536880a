//! Wakers of parts of tasks, kept until a deadline.

use core::task::Waker;

use crate::kernel::id::TaskId;
use crate::kernel::instant::Instant;

/// A table of wakers, each with its task and the deadline at which it is woken.
pub(crate) struct Alarms {
    #[cfg(feature = "alloc")]
    moments: alloc::collections::BTreeMap<u32, (TaskId, Instant)>,
    #[cfg(feature = "alloc")]
    wakers: alloc::collections::BTreeMap<(u64, Instant, u32), Waker>,
    #[cfg(not(feature = "alloc"))]
    kept: heapless::Vec<(u32, TaskId, Instant, Waker), MAX_ALARMS>,
    last: u32,
}

/// The number of alarms without a heap. A future that finds no free slot is polled again and again.
#[cfg(not(feature = "alloc"))]
const MAX_ALARMS: usize = 8;

impl Alarms {
    /// Returns a number that is not in use.
    pub(crate) fn number(&mut self) -> u32 {
        // The counter may wrap around; a number that is still in use is skipped.
        self.last = self.last.checked_add(1).unwrap_or(1);
        while self.has(self.last) {
            self.last = self.last.checked_add(1).unwrap_or(1);
        }
        self.last
    }
}

#[cfg(feature = "alloc")]
impl Alarms {
    pub(crate) const fn new() -> Self {
        use alloc::collections::BTreeMap;
        Self { moments: BTreeMap::new(), wakers: BTreeMap::new(), last: 0 }
    }

    fn has(&self, number: u32) -> bool {
        self.moments.contains_key(&number)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// Keeps the waker. Returns the waker if the table is full.
    pub(crate) fn insert(
        &mut self,
        number: u32,
        task: TaskId,
        moment: Instant,
        waker: Waker,
    ) -> Result<(), Waker> {
        self.moments.insert(number, (task, moment));
        self.wakers.insert((task.to_bits(), moment, number), waker);
        Ok(())
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Waker> {
        let (task, moment) = self.moments.remove(&number)?;
        self.wakers.remove(&(task.to_bits(), moment, number))
    }

    /// Returns the earliest deadline that a part of the task waits for, and its number.
    pub(crate) fn first(&self, task: TaskId) -> Option<(Instant, u32)> {
        let all = (task.to_bits(), Instant::ZERO, 0)..=(task.to_bits(), Instant::NEVER, u32::MAX);
        self.wakers.range(all).next().map(|((_, moment, number), _)| (*moment, *number))
    }
}

#[cfg(not(feature = "alloc"))]
impl Alarms {
    pub(crate) const fn new() -> Self {
        Self { kept: heapless::Vec::new(), last: 0 }
    }

    fn has(&self, number: u32) -> bool {
        self.kept.iter().any(|kept| kept.0 == number)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Keeps the waker. Returns the waker if the table is full.
    pub(crate) fn insert(
        &mut self,
        number: u32,
        task: TaskId,
        moment: Instant,
        waker: Waker,
    ) -> Result<(), Waker> {
        self.kept.push((number, task, moment, waker)).map_err(|(_, _, _, waker)| waker)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Waker> {
        let at = self.kept.iter().position(|kept| kept.0 == number)?;
        Some(self.kept.swap_remove(at).3)
    }

    /// Returns the earliest deadline that a part of the task waits for, and its number.
    pub(crate) fn first(&self, task: TaskId) -> Option<(Instant, u32)> {
        self.kept.iter().filter(|kept| kept.1 == task).map(|kept| (kept.2, kept.0)).min()
    }
}
