//! Where a future lives while its task does, and its result until somebody has taken it.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::kernel::slab::NONE;
use crate::task::report::{UnjoinedFailure, failure, name_of};
use crate::task::wakers::{Source, WakerState};

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The place is free.
    Free,
    /// The future is there, and not over.
    Running,
    /// The same, and the task is cancelled.
    Ending,
    /// The content is being dropped: nobody else may touch it.
    Busy,
    /// The result is there.
    Done,
    /// It was cancelled: there is no result.
    Cancelled,
    /// It panicked, or was dropped and that did: there is none either.
    Panicked,
    /// The result was taken, or nobody wanted it.
    Taken,
}

/// The task's knowledge of its being cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The task is not cancelled.
    None,
    /// The task is cancelled, and no operation of it has failed for that yet.
    Due,
    /// The task is cancelled, and an operation of it has failed for that.
    Given,
}

/// The two that have a slot; it is free when neither does any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The executor, which has the task.
    Task,
    /// Whoever may want its result.
    Handle,
}

/// What all slots have, whatever lives there.
pub struct TaskHeader {
    stage: Cell<Stage>,
    /// Whether the task knows that it is cancelled.
    pub(crate) notice: Cell<Notice>,
    has: [Cell<bool>; 2],
    pub(crate) caller: WakerState,
    /// Who waits for the end.
    pub(crate) joiner: Cell<Option<TaskId>>,
    spawned: Cell<&'static Location<'static>>,
    /// The pool's: where this slot is, and the next free one.
    pub(crate) index: Cell<u32>,
    pub(crate) next: Cell<u32>,
}

impl TaskHeader {
    const fn new(stage: Stage, spawned: &'static Location<'static>) -> Self {
        Self {
            stage: Cell::new(stage),
            notice: Cell::new(Notice::None),
            has: [Cell::new(true), Cell::new(true)],
            caller: WakerState::new(),
            joiner: Cell::new(None),
            spawned: Cell::new(spawned),
            index: Cell::new(NONE),
            next: Cell::new(NONE),
        }
    }

    #[inline]
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// The task is told that it is cancelled. Whether that is news.
    pub(crate) fn cancel(&self) -> bool {
        let is_news = self.stage.get() == Stage::Running;
        if is_news {
            self.stage.set(Stage::Ending);
            self.notice.set(Notice::Due);
            self.caller.mark_slow();
        }
        is_news
    }

    /// Returns true if the task was told that it is cancelled before it was over.
    pub(crate) fn was_told(&self) -> bool {
        self.notice.get() == Notice::Given
    }

    /// Whether the future is over, or being dropped.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_alive() && self.stage.get() != Stage::Busy
    }

    /// Returns true if the future is there, and not being dropped.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.stage.get(), Stage::Running | Stage::Ending)
    }
}

/// A place for a future of the type `F`, and then for its result.
///
/// Its content is touched in this file alone: while the future is there, by the task; when it is done, by the
/// handle; and what is dropped is dropped while the stage is `Busy`, at which nobody touches anything. It is dropped by those
/// who have the slot, not with it: so a pool may lie in memory that its own futures borrow from.
#[repr(C)]
pub struct Slot<F: Future> {
    head: TaskHeader,
    content: UnsafeCell<ManuallyDrop<Content<F>>>,
}

enum Content<F: Future> {
    Nothing,
    Future(F),
    Output(F::Output),
}

/// A slot, to those who don't know what lives there. Nothing else is one: see [`TaskRef`](crate::task::task_ref::TaskRef).
pub trait AnyTaskCell {
    fn label(&self) -> Label;

    /// One of the two that have the slot lets go of it. Whether it is free now.
    fn leave(&self, side: Side) -> bool;
}

/// A slot, to the task.
pub trait Body: AnyTaskCell {
    /// Polls the future, which must be there. Whether it is over.
    ///
    /// # Safety
    ///
    /// The caller is the slot's task, which is not doing so already: it has it borrowed exclusively. The future is
    /// there: the stage is [`Stage::Running`] or [`Stage::Ending`].
    #[expect(unsafe_code, reason = "the slot does not count its borrows")]
    unsafe fn poll(self: Pin<&Self>, context: &mut Context<'_>) -> bool;

    /// Drops the future, if it is there; it is over as `stage` says.
    fn end(&self, stage: Stage);
}

/// A slot, to whoever may want the result.
pub(crate) trait Outcome<T>: AnyTaskCell {
    /// The result, once.
    fn take(&self) -> Option<T>;

    /// Drops the future, if it is there. Nobody may be polling it.
    fn cut_off(&self);
}

impl<F: Future> Slot<F> {
    #[inline]
    pub(crate) const fn head(&self) -> &TaskHeader {
        &self.head
    }

    /// A place for somebody.
    #[track_caller]
    pub(crate) const fn free() -> Self {
        Self {
            head: TaskHeader::new(Stage::Free, Location::caller()),
            content: UnsafeCell::new(ManuallyDrop::new(Content::Nothing)),
        }
    }

    /// The place of `future`.
    #[cfg(feature = "alloc")]
    pub(crate) fn of(future: F, at: &'static Location<'static>, wakers: &Source<'_>) -> Self {
        let slot = Self {
            head: TaskHeader::new(Stage::Running, at),
            content: UnsafeCell::new(ManuallyDrop::new(Content::Future(future))),
        };
        slot.head.caller.reset(wakers);
        slot
    }

    /// Lets `future` move into a free place.
    pub(crate) fn fill(&self, future: F, at: &'static Location<'static>, wakers: &Source<'_>) {
        let TaskHeader { stage, notice, has, caller, joiner, spawned, .. } = &self.head;
        assert!(stage.get() == Stage::Free, "a place is free before it is filled");
        notice.set(Notice::None);
        caller.reset(wakers);
        has.iter().for_each(|side| side.set(true));
        joiner.set(None);
        spawned.set(at);
        self.replace(Content::Future(future), Stage::Running);
    }

    /// Drops the output, which nobody takes.
    fn discard(&self) {
        if let Some(output) = Outcome::take(self) {
            self.report(&output);
        }
    }

    /// Says what the task failed with, to whoever wants to hear of errors that nobody takes.
    #[inline]
    fn report(&self, output: &F::Output) {
        if let Some(error) = failure(output) {
            self.report_error(error);
        }
    }

    #[cold]
    fn report_error(&self, error: &dyn fmt::Display) {
        // SAFETY: this is called by one of the two that have the slot, before it leaves.
        #[expect(unsafe_code, reason = "see Caller::reports")]
        let Some(reports) = (unsafe { self.head.caller.reports() }) else { return };
        let (task, was_cancelled) = (self.head.caller.task(), self.head.notice.get() != Notice::None);
        reports.failed(&UnjoinedFailure { task, label: self.label(), error, was_cancelled });
    }

    /// Drops what is there, in place, and puts `content` there, also if the drop panics; the stage is `Panicked` then.
    /// Nobody else may be using it.
    #[inline]
    fn replace(&self, content: Content<F>, stage: Stage) {
        debug_assert!(self.head.stage.get() != Stage::Busy, "the content is nobody's");
        self.head.stage.set(Stage::Busy);
        if stage != Stage::Running {
            self.head.caller.mark_slow();
        }
        let mut settles = Settles { stage: &self.head.stage, to: Stage::Panicked };
        // SAFETY: all others who touch the content look at the stage before, and keep off while it is busy. (What
        // is dropped here may call them.) A future that is there is dropped where it is, and only once: an assignment
        // puts the new value there also where the drop of the old one panics.
        #[expect(unsafe_code, reason = "a RefCell would not let the future be pinned, and count besides")]
        unsafe {
            **self.content.get() = content;
        }
        settles.to = stage;
    }
}

/// Sets the stage when the content is no more being dropped, however that ends.
struct Settles<'a> {
    stage: &'a Cell<Stage>,
    to: Stage,
}

impl Drop for Settles<'_> {
    #[inline]
    fn drop(&mut self) {
        self.stage.set(self.to);
    }
}

impl<F: Future> AnyTaskCell for Slot<F> {
    fn label(&self) -> Label {
        Label { name: name_of::<F>(), spawned: self.head.spawned.get() }
    }

    #[inline]
    fn leave(&self, side: Side) -> bool {
        let TaskHeader { stage, has, .. } = &self.head;
        has[side as usize].set(false);
        match (side, stage.get()) {
            (Side::Task, Stage::Running | Stage::Ending) => self.replace(Content::Nothing, Stage::Cancelled),
            (Side::Handle, Stage::Done) => self.discard(),
            _ => {}
        }
        let is_free = !has[0].get() && !has[1].get() && stage.get() != Stage::Busy;
        if is_free {
            if stage.get() == Stage::Done {
                // The handle was dropped while the future was, before the output was there.
                self.discard();
            }
            self.replace(Content::Nothing, Stage::Free);
        }
        is_free
    }
}

impl<F: Future> Body for Slot<F> {
    #[inline]
    #[expect(unsafe_code, reason = "see the trait")]
    unsafe fn poll(self: Pin<&Self>, context: &mut Context<'_>) -> bool {
        debug_assert!(self.head.is_alive(), "there is a future to poll");
        // SAFETY: while the future is there, only the task touches the content, and that is the caller.
        let content: &mut Content<F> = unsafe { &mut *self.content.get() };
        let Content::Future(future) = content else {
            // SAFETY: at these stages the future is there; `replace` sets both.
            unsafe { core::hint::unreachable_unchecked() }
        };
        // SAFETY: the slot is pinned, and a future is never moved out of it.
        let future = unsafe { Pin::new_unchecked(future) };
        match future.poll(context) {
            Poll::Pending => false,
            Poll::Ready(output) => {
                let slot = self.get_ref();
                if slot.head.has[Side::Handle as usize].get() {
                    slot.replace(Content::Output(output), Stage::Done);
                } else {
                    slot.replace(Content::Nothing, Stage::Taken);
                    slot.report(&output);
                }
                true
            }
        }
    }

    fn end(&self, stage: Stage) {
        if self.head.is_alive() {
            self.replace(Content::Nothing, stage);
        }
    }
}

impl<F: Future> Outcome<F::Output> for Slot<F> {
    fn take(&self) -> Option<F::Output> {
        if self.head.stage.get() != Stage::Done {
            return None;
        }
        self.head.stage.set(Stage::Busy);
        // SAFETY: as in `replace`. No future is moved: what is there is its output.
        #[expect(unsafe_code, reason = "see replace")]
        let content = unsafe { core::mem::replace::<Content<F>>(&mut *self.content.get(), Content::Nothing) };
        self.head.stage.set(Stage::Taken);
        match content {
            Content::Output(output) => Some(output),
            Content::Nothing | Content::Future(_) => None,
        }
    }

    fn cut_off(&self) {
        Body::end(self, Stage::Cancelled);
    }
}
