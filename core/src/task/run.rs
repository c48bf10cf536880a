//! The adapter that makes an `async fn` a task of the kernel.

use core::pin::Pin;
use core::task::Context;

use crate::exec::context::{Cx, Task};
use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::kernel::step::Step;
use crate::task::host::AsyncHost;
use crate::task::slot::{Body, Stage};
use crate::task::start::Async;

impl<'d, B: Body + ?Sized + 'd> Async<'d, B> {
    /// Drops the future, if it exists. The resources that it holds are released through the run context.
    fn drop_future<H: AsyncHost<'d>>(&self, cx: &mut Cx<'_, H>, stage: Stage) {
        let head = self.body.head();
        if !head.is_over() {
            self.handle.run_context().enter(cx, &head.caller, || self.body.end(stage));
        }
    }

    /// Runs a step of a task that is cancelled, that has kept a waker, or that runs within another step. A cancelled
    /// task is ended where it stands if this step has not notified it, because it waits for something that can't fail,
    /// or has notified it too often.
    #[cold]
    fn resume_slow<H: AsyncHost<'d>>(&mut self, cx: &mut Cx<'_, H>) -> Step {
        let (run_context, body) = (self.handle.run_context(), &self.body);
        let head = body.head();
        // A task that is cancelled again is to end now: only a host that ends all of its tasks cancels twice.
        let is_asked = cx.take_cancel();
        let is_last = is_asked && !head.cancel();
        let is_cancelled = head.stage() != Stage::Running;
        run_context.enter(cx, &head.caller, || {
            let poll = || {
                run_context.ring(head.caller.task());
                // The parts of a task that is cancelled learn of it by the end of their waits.
                #[cfg(feature = "alloc")]
                if is_asked && head.caller.is_proxied() {
                    run_context.end_waits_of_parts(head.caller.task());
                }
                let waker = run_context.kept_waker(&head.caller);
                // SAFETY: the stage is checked before this is called, and `self` is borrowed exclusively.
                #[expect(unsafe_code, reason = "see Body::poll")]
                let is_over = unsafe { body.pinned().poll(&mut Context::from_waker(&waker)) };
                run_context.forget_kept_waker();
                is_over
            };
            let is_over =
                is_last || head.is_over() || run_context.cancelled(is_cancelled, &head.notice, poll);
            #[cfg(feature = "alloc")]
            let is_shielded = head.caller.is_proxied()
                && run_context.goes_on_for_parts(head.caller.task(), is_cancelled && !is_over);
            #[cfg(not(feature = "alloc"))]
            let is_shielded = false;
            if !is_over && (!is_cancelled || run_context.was_told() || is_shielded) {
                run_context.leave_alarms(head.caller.task());
                return run_context.step(&head.caller);
            }
            run_context.forget();
            body.end(Stage::Cancelled);
            Step::Done
        })
    }
}

impl<'d, B: Body + ?Sized + 'd, H: AsyncHost<'d>> Task<H> for Async<'d, B> {
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        let this = self.get_mut();
        let (run_context, body) = (this.handle.run_context(), &this.body);
        let head = body.head();
        if run_context.is_entered() || head.caller.needs_slow_path() || cx.is_cancelled() {
            return this.resume_slow(cx);
        }
        // SAFETY: the future gets a reference to the waker for the duration of the step. The task's wakers are in the
        // run context, on which the task has a handle. `self` is borrowed exclusively. The future exists, because
        // otherwise the task would be on the slow path.
        #[expect(unsafe_code, reason = "see Caller::lend and Body::poll")]
        let is_over = run_context.enter_alone(cx, &head.caller, || unsafe {
            let waker = head.caller.lend();
            body.pinned().poll(&mut Context::from_waker(&waker))
        });
        if is_over {
            run_context.forget();
            return Step::Done;
        }
        run_context.step(&head.caller)
    }

    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        self.is(id);
    }

    fn label(&self) -> Option<Label> {
        Some(self.body.label())
    }

    fn wait_name(&self) -> Option<&'static str> {
        Some(self.handle.run_context().named_wait(self.body.head().caller.task())?.name)
    }

    fn panicked(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        self.handle.run_context().forget_panicked();
        self.drop_future(cx, Stage::Panicked);
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        self.drop_future(cx, Stage::Cancelled);
        let (run_context, caller) = (self.handle.run_context(), &self.body.head().caller);
        // Parts that another task has taken over are polled there.
        run_context.ring_all(caller.task());
        // Futures that were leaked have not withdrawn their waits.
        #[cfg(feature = "alloc")]
        if caller.is_proxied() {
            run_context.enter(cx, caller, || run_context.forget_waits_of_parts(caller.task()));
        }
        #[cfg(not(feature = "alloc"))]
        self.body.head().end_number.set(run_context.end_number());
        if let Some(joiner) = self.body.head().take_joiner() {
            #[cfg(feature = "alloc")]
            run_context.wake_parts(joiner);
            cx.wake(joiner);
        }
    }
}
