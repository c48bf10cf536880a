//! Waits that the kernel cannot make for a task itself, and that a task of their own makes instead: a proxy.
//!
//! The kernel wakes tasks, and a wait of a task has [`MAX_WAITS`](crate::kernel::MAX_WAITS) targets. Two kinds of
//! futures need more. A future that an executor within the task polls has a waker of its own, and the kernel would wake
//! the task instead. A future that waits for a fifth source or job finds no place in the task's wait. For each target of
//! such futures, a proxy on the heap waits. When its wait ends, the proxy records the outcome, wakes the futures, and
//! ends.
//!
//! The wait is withdrawn when one of its futures is dropped. The proxy is then woken by name, finds that it is not
//! wanted, and ends. Other futures that wait for the target are woken, and register again.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use crate::kernel::id::{SourceId, TaskId};
use crate::kernel::step::{WaitKey, WaitTarget};
use crate::task::deferred::Deferred;
use crate::task::error::WaitError;
use crate::task::handle::Handle;
use crate::task::proxies::{Waiter, Woken};
use crate::task::run_context::RunContext;
use crate::task::start::Async;
use crate::task::wakers::WakerState;

impl<'d> Handle<'d> {
    /// Lets a proxy wait for `target`, if the running task was `refused` that wait for a reason that a proxy does not have.
    #[cold]
    pub(crate) fn wait_by_proxy(
        self,
        target: WaitTarget,
        refused: WaitError,
        context: &Context<'_>,
    ) -> Poll<WaitError> {
        if !matches!(refused, WaitError::Wrapped | WaitError::TooMany) {
            return Poll::Ready(refused);
        }
        let run_context = self.run_context();
        let Some(caller) = run_context.caller() else { return Poll::Ready(refused) };
        caller.mark_proxied();
        let (task, key) = (caller.task(), WaitKey::new(target));
        // The functions of a waker are user code: none is called while the table is borrowed.
        let waker = (refused == WaitError::Wrapped).then(|| context.waker().clone());
        let mut waiter = Waiter { waker, step: run_context.step_number() };
        let joined = run_context.proxies().borrow_mut().join(key, task, &mut waiter);
        match joined {
            Ok(true) => {
                run_context.share_proxy(key);
                return Poll::Pending;
            }
            Ok(false) => {}
            Err(busy) => return Poll::Ready(busy),
        }
        let guard = Abandons { handle: self, key };
        let (proxy, _) = Async::new(self, proxy(target, guard));
        let Ok(proxy) = self.start(proxy) else { return Poll::Ready(WaitError::TooMany) };
        run_context.proxies().borrow_mut().insert(key, proxy, task, &mut waiter);
        run_context.share_proxy(key);
        run_context.mark_proxies();
        Poll::Pending
    }
}

/// Waits for `target`, until the wait ends or is withdrawn.
async fn proxy(target: WaitTarget, guard: Abandons<'_>) {
    let Abandons { handle, key } = guard;
    let run_context = handle.run_context();
    let mut has_begun = false;
    let wait = poll_fn(|context| {
        if !run_context.proxies().borrow_mut().is_wanted(key) {
            run_context.mark_proxies();
            return Poll::Ready(());
        }
        let (reason, fired) = run_context.wake_reason();
        let outcome =
            if core::mem::replace(&mut has_begun, true) { key.outcome(reason, fired) } else { None };
        let Some(outcome) = outcome else {
            return run_context.leave(target, context).map(|refused| run_context.settle(key, Err(refused)));
        };
        run_context.settle(key, outcome.map_err(|_| WaitError::Busy));
        Poll::Ready(())
    });
    // The part of the task that the proxy waits for may be shielded from the end of the loop.
    handle.shield(wait).await;
    core::mem::forget(guard);
}

/// A guard that ends the wait of a proxy which is dropped before its end. The futures then register again.
struct Abandons<'d> {
    handle: Handle<'d>,
    key: WaitKey,
}

impl Drop for Abandons<'_> {
    fn drop(&mut self) {
        let run_context = self.handle.run_context();
        let is_wanted = run_context.proxies().borrow_mut().is_wanted(self.key);
        if is_wanted {
            run_context.settle(self.key, Ok(()));
        }
    }
}

impl RunContext<'_> {
    /// Records the end of a proxy's wait, and wakes the futures for which it was made.
    fn settle(&self, target: WaitKey, outcome: Result<(), WaitError>) {
        let settled = self.proxies().borrow_mut().settle(target, outcome);
        if let Some(Woken { task, wakers }) = settled {
            wakers.into_iter().for_each(Waker::wake);
            // An executor within the task may have no other way to wake the task: see `NoWakers`.
            self.give_back(Deferred::Wake(task));
        }
    }

    /// Returns the outcome of a wait that a proxy has made for a future of the running task. The future has waited last
    /// in the step `waited`.
    #[cold]
    pub(crate) fn take_outcome(&self, target: WaitKey, waited: u32) -> Option<Result<(), WaitError>> {
        let task = self.caller()?.task();
        let outcome = self.proxies().borrow_mut().take_outcome(target, task, waited, self.step_number());
        self.mark_proxies();
        outcome
    }

    /// Ends the wait of a future of the running task whose operation has succeeded without the word of a proxy. The future
    /// has waited last in the step `waited`.
    #[cold]
    pub(crate) fn end_untold(&self, target: WaitKey, waited: u32) {
        let Some(task) = self.caller().map(WakerState::task) else { return };
        let is_of = self.proxies().borrow().is_of(target, task);
        if is_of && self.take_outcome(target, waited).is_none() {
            self.retract_proxy(target, waited);
        }
    }

    /// Withdraws the wait of a dropped future, which has waited last in the step `waited`.
    #[cold]
    pub(crate) fn retract_proxy(&self, target: WaitKey, waited: u32) {
        if !self.proxies().borrow_mut().goes_on_without(target, waited, self.step_number()) {
            self.withdraw(target);
        }
    }

    /// Withdraws the wait of a proxy, if one waits for `target`. Futures that still need the wait are woken.
    #[cold]
    pub(crate) fn withdraw(&self, target: WaitKey) {
        let withdrawn = self.proxies().borrow_mut().withdraw(target);
        self.mark_proxies();
        let Some((proxy, Woken { task, wakers })) = withdrawn else { return };
        self.wake_ended(proxy);
        // In its own step, the task polls its own futures anyway.
        let is_beside = self.caller().map(WakerState::task) != Some(task);
        if is_beside || !wakers.is_empty() {
            wakers.into_iter().for_each(Waker::wake);
            self.wake_ended(task);
        }
    }

    /// Withdraws all waits for a source that is closed.
    #[cold]
    pub(crate) fn withdraw_closed(&self, source: SourceId) {
        let targets = [WaitTarget::Recv(source), WaitTarget::Send(source), WaitTarget::Hangup(source)];
        targets.into_iter().for_each(|target| self.withdraw(WaitKey::new(target)));
    }

    /// Returns true if a proxy waits for `target` for the sake of a part of the running task.
    #[cold]
    pub(crate) fn shares_proxy(&self, target: WaitKey) -> bool {
        let task = self.caller().map(WakerState::task);
        task.is_some_and(|task| self.proxies().borrow().has_part(target, task))
    }

    /// Lets the proxy of `target` wait also for the futures with which the running task itself waits in this step.
    fn share_proxy(&self, target: WaitKey) {
        let own = self.remove_left(target, u8::MAX);
        self.proxies().borrow_mut().add_own(target, own.into(), self.step_number());
    }

    /// Withdraws the wait of a proxy, if one waits for `target` for the sake of the running task, which waits itself now:
    /// the kernel refuses a second task that waits for a target.
    #[cold]
    pub(crate) fn replace_proxy(&self, target: WaitKey) {
        let Some(task) = self.caller().map(WakerState::task) else { return };
        if self.proxies().borrow().is_of(target, task) {
            self.withdraw(target);
        }
    }

    /// Ends the waits of the parts of `task`, which is cancelled.
    #[cold]
    pub(crate) fn end_waits_of_parts(&self, task: TaskId) {
        self.withdraw_all(task);
        self.tell_parts(task);
    }

    /// Ends a step of `task`, which may go on if it `is_cancelled` and one of its parts is shielded. Returns true in that
    /// case.
    #[cold]
    pub(crate) fn goes_on_for_parts(&self, task: TaskId, is_cancelled: bool) -> bool {
        self.count_step(task);
        // All waits that are not shielded were refused.
        is_cancelled
            && !self.was_told()
            && (self.proxies().borrow().of(task).next().is_some() || self.goes_on_by_name(task))
    }

    /// Returns true if a part of the cancelled task may wait by name. Nothing tells that a part was dropped, so that all
    /// parts are asked to register again, unless one of them has done so in this step.
    fn goes_on_by_name(&self, task: TaskId) -> bool {
        let kept = self.part_wakers().borrow().kept(task);
        if kept.is_some_and(|step| step != self.step_number()) {
            self.tell_parts(task);
            self.yields_beside();
        }
        kept.is_some()
    }

    /// Forgets the waits of the parts of `task`, which has ended.
    #[cold]
    pub(crate) fn forget_waits_of_parts(&self, task: TaskId) {
        self.withdraw_all(task);
        self.forget_parts(task);
    }

    /// Withdraws the waits that proxies make for the task.
    fn withdraw_all(&self, task: TaskId) {
        let targets: Vec<_> = self.proxies().borrow().of(task).collect();
        targets.into_iter().for_each(|target| self.withdraw(target));
    }
}
