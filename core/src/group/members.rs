//! The tasks of a group, independent of how the group handles their results.

#[cfg(feature = "alloc")]
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, ready};

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::kernel::step::ExpectedWaker;
#[cfg(not(feature = "alloc"))]
use crate::task::error::group::MAX_CHILDREN;
use crate::task::error::{JoinErrorKind, WaitError};
use crate::task::handle::Handle;
use crate::task::join::JoinHandle;
use crate::task::member_list::MemberList;
#[cfg(not(feature = "alloc"))]
use crate::task::slot::Joiner;

#[cfg(feature = "alloc")]
type Table<'d, R> = alloc::vec::Vec<Option<Member<'d, R>>>;
#[cfg(not(feature = "alloc"))]
type Table<'d, R> = heapless::Vec<Option<Member<'d, R>>, MAX_CHILDREN>;

/// The list of members. The slots of the members refer to it, so it must not move with the group.
#[cfg(feature = "alloc")]
type List = core::cell::OnceCell<Rc<MemberList>>;
#[cfg(not(feature = "alloc"))]
type List = MemberList;

/// Tasks with results of the type `R`, which end when this value is dropped.
pub(super) struct Members<'d, R> {
    pub(super) handle: Handle<'d>,
    /// The members, at their indexes in the list.
    table: RefCell<Table<'d, R>>,
    list: List,
}

/// A task of a group, which ends when this value is dropped.
pub(super) struct Member<'d, R>(JoinHandle<'d, R>);

impl<R> Drop for Member<'_, R> {
    fn drop(&mut self) {
        #[cfg(feature = "alloc")]
        self.0.head().leave_group();
        self.0.cut_off();
    }
}

impl<R> Member<'_, R> {
    pub(super) fn task(&self) -> TaskId {
        self.0.task()
    }

    pub(super) fn label(&self) -> Label {
        self.0.label()
    }

    pub(super) fn was_told(&self) -> bool {
        self.0.was_told()
    }

    /// Returns the result of the task, which has ended.
    pub(super) fn end(&self) -> Result<R, JoinErrorKind> {
        self.0.end().unwrap_or(Err(JoinErrorKind::Cancelled))
    }
}

impl<'d, R> Members<'d, R> {
    #[cfg(feature = "alloc")]
    pub(super) const fn new(handle: Handle<'d>) -> Self {
        Self { handle, table: RefCell::new(Table::new()), list: List::new() }
    }

    #[cfg(not(feature = "alloc"))]
    pub(super) const fn new(handle: Handle<'d>) -> Self {
        Self { handle, table: RefCell::new(Table::new()), list: MemberList::new() }
    }

    /// Returns the list; `None` if there has been no member and no wait.
    #[cfg(feature = "alloc")]
    fn list(&self) -> Option<&MemberList> {
        Some(self.list.get()?)
    }

    #[cfg(not(feature = "alloc"))]
    const fn list(&self) -> Option<&MemberList> {
        Some(&self.list)
    }

    /// Returns the list, which is created with the first member or wait.
    #[cfg(feature = "alloc")]
    fn list_or_new(&self) -> &Rc<MemberList> {
        self.list.get_or_init(|| Rc::new(MemberList::new()))
    }

    #[cfg(not(feature = "alloc"))]
    const fn list_or_new(&self) -> &MemberList {
        &self.list
    }

    /// Returns the number of members, including those that have ended and were not removed.
    pub(super) fn len(&self) -> usize {
        self.list().map_or(0, |list| list.running() + list.ended())
    }

    /// Returns true if the table has no free slot.
    #[cfg(feature = "alloc")]
    #[expect(clippy::unused_self, reason = "without a heap, the table has a capacity")]
    pub(super) const fn is_full(&self) -> bool {
        false
    }

    #[cfg(not(feature = "alloc"))]
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_CHILDREN
    }

    /// Adds a member that was spawned, and returns its id. The table must not be full.
    pub(super) fn add(&self, task: JoinHandle<'d, R>) -> TaskId {
        let id = task.task();
        let list = self.list_or_new();
        let index = list.add();
        if task.is_over() {
            // The caller started one task with the handle of another, which has ended already.
            if let Some(waiter) = list.end(index) {
                self.handle.wake(waiter);
            }
        } else {
            #[cfg(feature = "alloc")]
            task.head().enter_group(list, index);
            #[cfg(not(feature = "alloc"))]
            task.head().joiner.set(list.waiter().map_or(Joiner::None, Joiner::Task));
        }
        let mut table = self.table.borrow_mut();
        match table.get_mut(index as usize) {
            Some(place) => *place = Some(Member(task)),
            None => table.extend([Some(Member(task))]),
        }
        id
    }

    /// Removes the member that ended first of those that have ended.
    pub(super) fn take_ended(&self) -> Option<Member<'d, R>> {
        #[cfg(not(feature = "alloc"))]
        self.notice_ends();
        let index = self.list()?.take_ended()?;
        self.table.borrow_mut().get_mut(index as usize)?.take()
    }

    /// Cancels all members that run, in the order in which they were added.
    pub(super) fn cancel_all(&self) {
        let Some(list) = self.list() else { return };
        let table = self.table.borrow();
        for Member(task) in running(list, &table) {
            task.cancel();
        }
    }

    /// Waits until all members have ended.
    pub(super) fn poll_all_ended(
        &self,
        context: &Context<'_>,
        waits: &Waits<'_, 'd, R>,
    ) -> Poll<Result<(), WaitError>> {
        #[cfg(not(feature = "alloc"))]
        self.notice_ends();
        if self.list().is_none_or(|list| list.running() == 0) {
            return Poll::Ready(Ok(()));
        }
        self.poll_wait(context, waits).map(Err)
    }

    /// Waits for the end of a member; no member may have ended already. Without members, waits for one that another
    /// task, or another future of this task, adds. Returns pending, unless the running task can't wait or is a member
    /// itself, or another task waits.
    pub(super) fn poll_wait(&self, context: &Context<'_>, waits: &Waits<'_, 'd, R>) -> Poll<WaitError> {
        let current = match self.handle.current() {
            Ok(current) => current,
            Err(refused) => return Poll::Ready(refused),
        };
        let list = self.list_or_new();
        let table = self.table.borrow();
        if !list.is_outsider(current) {
            if running(list, &table).any(|member| member.task() == current) {
                return Poll::Ready(WaitError::Busy);
            }
            list.set_outsider(current);
        }
        if !waits.begin(list, current) {
            return Poll::Ready(WaitError::Busy);
        }
        #[cfg(not(feature = "alloc"))]
        running(list, &table).for_each(|member| member.0.head().joiner.set(Joiner::Task(current)));
        let mut members = running(list, &table);
        let by = match (members.next(), members.next()) {
            (Some(last), None) => ExpectedWaker::Task(last.task()),
            _ => ExpectedWaker::Anyone,
        };
        let refused = ready!(self.handle.run_context().leave_named(by, context));
        Poll::Ready(refused)
    }

    /// Finds the members that have ended, and records their ends in the order in which they occurred.
    #[cfg(not(feature = "alloc"))]
    fn notice_ends(&self) {
        let table = self.table.borrow();
        let age = |index: u32| {
            let Member(task) = table.get(index as usize)?.as_ref()?;
            task.is_over().then(|| self.handle.run_context().ends_since(task.head().end_number.get()))
        };
        while let Some((_, index)) = indexes(&self.list).filter_map(|index| Some((age(index)?, index))).max()
        {
            self.list.end(index);
        }
    }
}

/// Returns the indexes of the members that run, in the order in which they were added.
fn indexes(list: &MemberList) -> impl Iterator<Item = u32> {
    core::iter::successors(list.next_running(None), |index| list.next_running(Some(*index)))
}

/// Returns the members that run, in the order in which they were added.
fn running<'a, 'd, R>(
    list: &'a MemberList,
    table: &'a [Option<Member<'d, R>>],
) -> impl Iterator<Item = &'a Member<'d, R>> {
    indexes(list).filter_map(|index| table.get(index as usize)?.as_ref())
}

impl<R> Drop for Members<'_, R> {
    /// Ends the members that run in the order in which they were added. If one of them panics, the fields' own drop
    /// ends the others.
    fn drop(&mut self) {
        while let Some(index) = self.list().and_then(MemberList::take_running) {
            let member = self.table.get_mut().get_mut(index as usize).and_then(Option::take);
            drop(member);
        }
    }
}

/// A future's wait for members, which ends when this value is dropped: another task can wait then.
pub(super) struct Waits<'a, 'd, R> {
    members: &'a Members<'d, R>,
    has_begun: Cell<bool>,
}

impl<'a, 'd, R> Waits<'a, 'd, R> {
    pub(super) const fn new(members: &'a Members<'d, R>) -> Self {
        Self { members, has_begun: Cell::new(false) }
    }

    /// Records that the future waits. Returns false if another task waits already.
    fn begin(&self, list: &MemberList, task: TaskId) -> bool {
        if self.has_begun.get() {
            return list.waiter() == Some(task);
        }
        self.has_begun.set(list.begin_wait(task));
        self.has_begun.get()
    }
}

impl<R> Drop for Waits<'_, '_, R> {
    fn drop(&mut self) {
        if !self.has_begun.get() {
            return;
        }
        let Some(list) = self.members.list() else { return };
        let is_last = list.end_wait();
        #[cfg(feature = "alloc")]
        let _ = is_last;
        #[cfg(not(feature = "alloc"))]
        if is_last {
            let table = self.members.table.borrow();
            running(list, &table).for_each(|member| member.0.head().joiner.set(Joiner::None));
        }
    }
}
