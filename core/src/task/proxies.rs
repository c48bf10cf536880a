//! The table of the waits that proxies make for other tasks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem::take;
use core::task::Waker;

use crate::kernel::id::TaskId;
use crate::kernel::step::WaitKey;
use crate::task::error::WaitError;

/// The waits that proxies make, by their targets. A target has one proxy at most, because only one task can wait for it.
pub(crate) struct Proxies {
    waits: BTreeMap<WaitKey, ProxyWait>,
    /// The targets of each task for which proxies wait, or have an outcome.
    by_task: BTreeSet<(TaskId, WaitKey)>,
}

/// A wait that a proxy makes.
struct ProxyWait {
    /// The task that makes the wait.
    proxy: TaskId,
    /// The task for which it is made.
    task: TaskId,
    state: State,
    before: Option<Before>,
}

/// The end of the wait before, of which futures have yet to be told while others wait again.
struct Before {
    task: TaskId,
    outcome: Result<(), WaitError>,
    untold: usize,
    /// The step from which on futures wait again.
    since: u32,
}

enum State {
    /// The proxy waits.
    Waiting(Waiters),
    /// The wait was withdrawn. The proxy ends when it runs next, unless it is wanted again by then.
    Withdrawn,
    /// The wait has ended in this way. This number of futures have yet to be told.
    Over(Result<(), WaitError>, usize),
}

/// The futures of a task that wait for one target.
#[derive(Default)]
struct Waiters {
    /// The wakers of the futures that executors within the task poll.
    wakers: Vec<Waker>,
    /// The number of futures that the task itself polls and that have waited in the step `step`. In each of its steps,
    /// a task polls those of its own futures that still wait.
    own: usize,
    step: u32,
}

/// A future that waits.
pub(crate) struct Waiter {
    /// The waker with which an executor polls the future, or `None` if the task itself polls it.
    pub(crate) waker: Option<Waker>,
    /// The number of the step in progress.
    pub(crate) step: u32,
}

impl Waiter {
    /// Returns true if the future's waker does nothing, and so does not identify the future.
    fn is_deaf(&self) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(Waker::noop()))
    }
}

/// The futures to be woken, and their task.
pub(crate) struct Woken {
    pub(crate) task: TaskId,
    pub(crate) wakers: Vec<Waker>,
}

impl Waiters {
    fn add(&mut self, waiter: &mut Waiter) {
        match &waiter.waker {
            None => self.add_own(1, waiter.step),
            Some(_) if self.has(waiter) => {}
            Some(_) => self.wakers.extend(waiter.waker.take()),
        }
    }

    /// Returns true if an executor has registered the future before.
    fn has(&self, waiter: &Waiter) -> bool {
        waiter.waker.as_ref().is_some_and(|new| self.wakers.iter().any(|waker| waker.will_wake(new)))
    }

    fn add_own(&mut self, count: usize, step: u32) {
        self.own = if self.step == step { self.own + count } else { count };
        self.step = step;
    }

    fn len(&self) -> usize {
        self.wakers.len() + self.own
    }

    /// Removes one of the task's own futures, which has waited last in the step `waited`. Returns true if others of them
    /// have waited in the step in progress, and no executor within the task waits.
    fn drop_own(&mut self, waited: u32, step: u32) -> bool {
        if self.step == step && waited == step {
            self.own = self.own.saturating_sub(1);
        }
        self.step == step && self.own > 0 && self.wakers.is_empty()
    }
}

impl Proxies {
    pub(crate) const fn new() -> Self {
        Self { waits: BTreeMap::new(), by_task: BTreeSet::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Adds a future of `task` to the wait of the proxy that `target` has. Returns false if none waits.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Busy`] if the proxy waits for another task.
    pub(crate) fn join(
        &mut self,
        target: WaitKey,
        task: TaskId,
        waiter: &mut Waiter,
    ) -> Result<bool, WaitError> {
        let Some(wait) = self.waits.get_mut(&target) else { return Ok(false) };
        match &mut wait.state {
            State::Waiting(waiters) if wait.task == task => waiters.add(waiter),
            // The executor that polls the future has moved to this task.
            State::Waiting(waiters) if waiters.has(waiter) && !waiter.is_deaf() => {
                self.by_task.remove(&(wait.task, target));
                self.by_task.insert((task, target));
                wait.task = task;
            }
            State::Waiting(_) => return Err(WaitError::Busy),
            State::Withdrawn => {
                let mut waiters = Waiters::default();
                waiters.add(waiter);
                wait.task = task;
                wait.state = State::Waiting(waiters);
                self.by_task.insert((task, target));
            }
            State::Over(..) => return Ok(false),
        }
        Ok(true)
    }

    /// Records that `proxy` waits for `target`, for which no other proxy waits, for a future of `task`.
    pub(crate) fn insert(&mut self, target: WaitKey, proxy: TaskId, task: TaskId, waiter: &mut Waiter) {
        let mut waiters = Waiters::default();
        waiters.add(waiter);
        let before = self.waits.remove(&target).and_then(|ProxyWait { task, state, .. }| {
            self.by_task.remove(&(task, target));
            let State::Over(outcome, untold) = state else { return None };
            Some(Before { task, outcome, untold, since: waiter.step })
        });
        self.by_task.insert((task, target));
        self.waits.insert(target, ProxyWait { proxy, task, state: State::Waiting(waiters), before });
    }

    /// Adds futures that the task itself polls, and that wait for `target` in the step `step`, to the wait of its proxy.
    pub(crate) fn add_own(&mut self, target: WaitKey, count: usize, step: u32) {
        if count > 0
            && let Some(ProxyWait { state: State::Waiting(waiters), .. }) = self.waits.get_mut(&target)
        {
            waiters.add_own(count, step);
        }
    }

    /// Returns true if a proxy waits for `target` for the sake of a part of `task`.
    pub(crate) fn has_part(&self, target: WaitKey, task: TaskId) -> bool {
        let wait = self.waits.get(&target).filter(|wait| wait.task == task);
        wait.is_some_and(|wait| matches!(&wait.state, State::Waiting(waiters) if !waiters.wakers.is_empty()))
    }

    /// Returns true if the proxy of `target` is to wait. Otherwise the target has no proxy any more.
    pub(crate) fn is_wanted(&mut self, target: WaitKey) -> bool {
        match self.waits.get(&target).map(|wait| &wait.state) {
            Some(State::Waiting(_)) => true,
            Some(State::Withdrawn) => {
                self.remove(target);
                false
            }
            Some(State::Over(..)) | None => false,
        }
    }

    /// Returns true if a proxy waits for `target` for the sake of `task`, or has an outcome for it.
    pub(crate) fn is_of(&self, target: WaitKey, task: TaskId) -> bool {
        self.by_task.contains(&(task, target))
    }

    /// Returns the targets for which proxies wait for the sake of `task`, or have an outcome for it.
    pub(crate) fn of(&self, task: TaskId) -> impl Iterator<Item = WaitKey> {
        let from = self.by_task.range((task, WaitKey::LEAST)..);
        from.take_while(move |(owner, _)| *owner == task).map(|(_, target)| *target)
    }

    /// Records the end of the wait for `target`. Returns the futures, unless the wait was withdrawn or has ended before.
    pub(crate) fn settle(&mut self, target: WaitKey, outcome: Result<(), WaitError>) -> Option<Woken> {
        let wait = self.waits.get_mut(&target)?;
        let State::Waiting(waiters) = &mut wait.state else { return None };
        let waiters = take(waiters);
        wait.state = State::Over(outcome, waiters.len());
        Some(Woken { task: wait.task, wakers: waiters.wakers })
    }

    /// Returns the outcome of the wait for `target`, if it has ended and a future of `task`, which has waited last in the
    /// step `waited`, has yet to be told. `step` is the step in progress.
    pub(crate) fn take_outcome(
        &mut self,
        target: WaitKey,
        task: TaskId,
        waited: u32,
        step: u32,
    ) -> Option<Result<(), WaitError>> {
        let wait = self.waits.get_mut(&target)?;
        if let State::Over(outcome, untold) = &mut wait.state
            && wait.task == task
        {
            let outcome = *outcome;
            *untold = untold.saturating_sub(1);
            if *untold == 0 {
                self.remove(target);
            }
            return Some(outcome);
        }
        let waits_again = |since| waited.wrapping_sub(since) <= step.wrapping_sub(since);
        let before =
            wait.before.as_mut().filter(|before| before.task == task && !waits_again(before.since))?;
        let outcome = before.outcome;
        before.untold = before.untold.saturating_sub(1);
        if before.untold == 0 {
            wait.before = None;
        }
        Some(outcome)
    }

    /// Removes a future that has waited last in the step `waited`. Returns true if the wait for `target` goes on, because
    /// the task itself has other futures that wait.
    pub(crate) fn goes_on_without(&mut self, target: WaitKey, waited: u32, step: u32) -> bool {
        match self.waits.get_mut(&target).map(|wait| &mut wait.state) {
            Some(State::Waiting(waiters)) => waiters.drop_own(waited, step),
            _ => false,
        }
    }

    /// Withdraws the wait for `target`. Returns the proxy, which is to be woken, and the other futures that have waited.
    pub(crate) fn withdraw(&mut self, target: WaitKey) -> Option<(TaskId, Woken)> {
        let wait = self.waits.get_mut(&target)?;
        match &mut wait.state {
            State::Waiting(waiters) => {
                let woken = Woken { task: wait.task, wakers: take(&mut waiters.wakers) };
                wait.state = State::Withdrawn;
                let proxy = wait.proxy;
                self.by_task.remove(&(woken.task, target));
                Some((proxy, woken))
            }
            State::Withdrawn => None,
            State::Over(..) => {
                self.remove(target);
                None
            }
        }
    }

    fn remove(&mut self, target: WaitKey) {
        if let Some(wait) = self.waits.remove(&target) {
            self.by_task.remove(&(wait.task, target));
        }
    }
}
