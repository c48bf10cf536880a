//! The storage of a future while its task exists, and then of its result until that is taken.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::kernel::slab::NONE;
#[cfg(feature = "alloc")]
use crate::task::member_list::MemberList;
use crate::task::report::{UnjoinedFailure, failure, name_of};
use crate::task::wakers::{Source, WakerState};

/// The state of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The slot is free.
    Free,
    /// The slot contains the future, which has not completed.
    Running,
    /// The slot contains the future, which has not completed, and the task is cancelled.
    Ending,
    /// The content is being dropped: no other code may access it.
    Busy,
    /// The slot contains the result.
    Done,
    /// The task was cancelled and has no result.
    Cancelled,
    /// The task panicked, or was dropped and its drop panicked. It has no result.
    Panicked,
    /// The result was taken or discarded.
    Taken,
}

/// The state of a task's notification of its cancellation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The task is not cancelled.
    None,
    /// The task is cancelled, and no operation of it has failed for that yet.
    Due,
    /// The task is cancelled, and an operation of it has failed for that.
    Given,
}

/// The two sides that refer to a slot. The slot is free when both have left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The executor, which owns the task.
    Task,
    /// The owner of the handle, which may take the result.
    Handle,
}

/// The part of a slot that does not depend on the type of the future.
pub struct TaskHeader {
    stage: Cell<Stage>,
    /// The state of the notification of the task's cancellation.
    pub(crate) notice: Cell<Notice>,
    has: [Cell<bool>; 2],
    pub(crate) caller: WakerState,
    /// The party that waits for the end.
    pub(crate) joiner: Cell<Joiner>,
    /// The list of the group that is the joiner. It is taken before the slot is free, and so needs no drop.
    #[cfg(feature = "alloc")]
    group: ManuallyDrop<Cell<Option<alloc::rc::Rc<MemberList>>>>,
    /// The number of the task's end among those of its loop: see [`RunContext::end_number`](crate::task::RunContext).
    #[cfg(not(feature = "alloc"))]
    pub(crate) end_number: Cell<u32>,
    spawned: Cell<&'static Location<'static>>,
    /// The index of this slot in its pool, and of the next free slot.
    pub(crate) index: Cell<u32>,
    pub(crate) next: Cell<u32>,
}

/// The party that waits for the end of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Joiner {
    None,
    /// This task, which is woken by the end.
    Task(TaskId),
    /// The group that the task is a member of, at this index of the group's list.
    #[cfg(feature = "alloc")]
    Group(u32),
}

impl TaskHeader {
    const fn new(stage: Stage, spawned: &'static Location<'static>) -> Self {
        Self {
            stage: Cell::new(stage),
            notice: Cell::new(Notice::None),
            has: [Cell::new(true), Cell::new(true)],
            caller: WakerState::new(),
            joiner: Cell::new(Joiner::None),
            #[cfg(feature = "alloc")]
            group: ManuallyDrop::new(Cell::new(None)),
            #[cfg(not(feature = "alloc"))]
            end_number: Cell::new(0),
            spawned: Cell::new(spawned),
            index: Cell::new(NONE),
            next: Cell::new(NONE),
        }
    }

    /// Makes the task a member of a group until it ends.
    #[cfg(feature = "alloc")]
    pub(crate) fn enter_group(&self, list: &alloc::rc::Rc<MemberList>, index: u32) {
        self.group.set(Some(alloc::rc::Rc::clone(list)));
        self.joiner.set(Joiner::Group(index));
    }

    /// Ends the membership in a group without a note in the group's list.
    #[cfg(feature = "alloc")]
    pub(crate) fn leave_group(&self) {
        self.joiner.set(Joiner::None);
        self.group.set(None);
    }

    /// Records the end of the task in its group's list, if the task is a member of one. Returns the task to wake.
    #[inline]
    pub(crate) fn take_joiner(&self) -> Option<TaskId> {
        match self.joiner.replace(Joiner::None) {
            Joiner::None => None,
            Joiner::Task(task) => Some(task),
            #[cfg(feature = "alloc")]
            Joiner::Group(index) => self.end_membership(index),
        }
    }

    #[cfg(feature = "alloc")]
    #[cold]
    fn end_membership(&self, index: u32) -> Option<TaskId> {
        self.group.take().and_then(|list| list.end(index))
    }

    #[inline]
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Marks the task as cancelled. Returns true if it was running and not cancelled before.
    pub(crate) fn cancel(&self) -> bool {
        let is_news = self.stage.get() == Stage::Running;
        if is_news {
            self.stage.set(Stage::Ending);
            self.notice.set(Notice::Due);
            self.caller.mark_slow();
        }
        is_news
    }

    /// Returns true if the task was notified of its cancellation before it ended.
    pub(crate) fn was_told(&self) -> bool {
        self.notice.get() == Notice::Given
    }

    /// Returns true if the future has ended, and is not being dropped.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_alive() && self.stage.get() != Stage::Busy
    }

    /// Returns true if the slot contains the future, which is not being dropped.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.stage.get(), Stage::Running | Stage::Ending)
    }
}

/// A slot for a future of the type `F`, and then for its result.
///
/// Only this file accesses the content: the task does so while the slot contains the future, and the handle does so
/// when the result is available. A value is dropped while the stage is `Busy`, in which no code accesses the content.
/// The sides that refer to the slot drop the content; dropping the slot itself does not. A pool may therefore lie in
/// memory that its own futures borrow from.
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

/// A slot whose future's type is unknown. Only slots implement this: see [`TaskRef`](crate::task::task_ref::TaskRef).
pub trait AnyTaskCell {
    fn label(&self) -> Label;

    /// Releases the slot for one of its sides. Returns true if the slot is free now.
    fn leave(&self, side: Side) -> bool;
}

/// A slot, as the task sees it.
pub trait Body: AnyTaskCell {
    /// Polls the future, which must exist. Returns true if the future has completed.
    ///
    /// # Safety
    ///
    /// The caller is the slot's task and is not polling already: it borrows the slot exclusively. The slot contains the
    /// future: the stage is [`Stage::Running`] or [`Stage::Ending`].
    #[expect(unsafe_code, reason = "the slot does not count its borrows")]
    unsafe fn poll(self: Pin<&Self>, context: &mut Context<'_>) -> bool;

    /// Drops the future, if it exists. `stage` says how the task has ended.
    fn end(&self, stage: Stage);
}

/// A slot, as the owner of the handle sees it.
pub(crate) trait Outcome<T>: AnyTaskCell {
    /// Returns the result, once.
    fn take(&self) -> Option<T>;

    /// Drops the future, if it exists. The future must not be in the middle of a poll.
    fn cut_off(&self);
}

impl<F: Future> Slot<F> {
    #[inline]
    pub(crate) const fn head(&self) -> &TaskHeader {
        &self.head
    }

    /// Creates a free slot.
    #[track_caller]
    pub(crate) const fn free() -> Self {
        Self {
            head: TaskHeader::new(Stage::Free, Location::caller()),
            content: UnsafeCell::new(ManuallyDrop::new(Content::Nothing)),
        }
    }

    /// Creates a slot that contains `future`.
    #[cfg(feature = "alloc")]
    pub(crate) fn of(future: F, at: &'static Location<'static>, wakers: &Source<'_>) -> Self {
        let slot = Self {
            head: TaskHeader::new(Stage::Running, at),
            content: UnsafeCell::new(ManuallyDrop::new(Content::Future(future))),
        };
        slot.head.caller.reset(wakers);
        slot
    }

    /// Moves `future` into this slot, which must be free.
    pub(crate) fn fill(&self, future: F, at: &'static Location<'static>, wakers: &Source<'_>) {
        let TaskHeader { stage, notice, has, caller, joiner, spawned, .. } = &self.head;
        assert!(stage.get() == Stage::Free, "a slot must be free before it is filled");
        notice.set(Notice::None);
        caller.reset(wakers);
        has.iter().for_each(|side| side.set(true));
        joiner.set(Joiner::None);
        spawned.set(at);
        self.replace(Content::Future(future), Stage::Running);
    }

    /// Drops the future, if it exists, of a task that may have been dropped without its end, with its executor for
    /// example. No task is woken then, but a group has to know.
    fn abandon(&self) {
        Body::end(self, Stage::Cancelled);
        self.head.take_joiner();
    }

    /// Drops the output, which no task takes.
    fn discard(&self) {
        if let Some(output) = Outcome::take(self) {
            self.report(&output);
        }
    }

    /// Reports the error of the task, if `output` is one that can be reported.
    #[inline]
    fn report(&self, output: &F::Output) {
        if let Some(error) = failure(output) {
            self.report_error(error);
        }
    }

    #[cold]
    fn report_error(&self, error: &dyn fmt::Display) {
        // SAFETY: the caller is one of the two sides that refer to the slot, and has not left yet.
        #[expect(unsafe_code, reason = "see Caller::reports")]
        let Some(reports) = (unsafe { self.head.caller.reports() }) else { return };
        let (task, was_cancelled) = (self.head.caller.task(), self.head.notice.get() != Notice::None);
        reports.failed(&UnjoinedFailure { task, label: self.label(), error, was_cancelled });
    }

    /// Drops the content in place, and stores `content`, even if the drop panics; in that case the stage becomes
    /// `Panicked`. No other code may be using the content.
    #[inline]
    fn replace(&self, content: Content<F>, stage: Stage) {
        debug_assert!(self.head.stage.get() != Stage::Busy, "the content is being dropped");
        self.head.stage.set(Stage::Busy);
        if stage != Stage::Running {
            self.head.caller.mark_slow();
        }
        let mut settles = Settles { stage: &self.head.stage, to: Stage::Panicked };
        // SAFETY: all other code that accesses the content checks the stage first, and does not access the content
        // while the stage is `Busy`. (The value that is dropped here may call such code.) A future in the slot is
        // dropped in place, and only once: an assignment stores the new value even if the drop of the old one panics.
        #[expect(unsafe_code, reason = "a RefCell does not allow pinning, and counts borrows")]
        unsafe {
            **self.content.get() = content;
        }
        settles.to = stage;
    }
}

/// A guard that sets the stage when the old content has been dropped, even if that panics.
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
            (Side::Task, Stage::Running | Stage::Ending | Stage::Cancelled | Stage::Panicked) => {
                self.abandon();
            }
            (Side::Handle, Stage::Done) => self.discard(),
            _ => {}
        }
        let is_free = !has[0].get() && !has[1].get() && stage.get() != Stage::Busy;
        if is_free {
            if stage.get() == Stage::Done {
                // The handle was dropped while the future was being dropped, before the output was stored.
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
        debug_assert!(self.head.is_alive(), "the slot must contain a future");
        // SAFETY: while the slot contains the future, only the task accesses the content, and the caller is the task.
        let content: &mut Content<F> = unsafe { &mut *self.content.get() };
        let Content::Future(future) = content else {
            // SAFETY: at these stages the content is the future, because `replace` sets both.
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
        // SAFETY: as in `replace`. No future is moved, because the content is the output.
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
