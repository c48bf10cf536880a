//! The list of the tasks of a group: which of them run, and which have ended, in the order of their ends.
//!
//! With a heap, the slot of each member refers to the list. The end of a member moves its entry, and returns the task
//! that waits for the group, in constant time. Without a heap a slot can't refer to the list, which moves
//! with its group; the group checks all of its members instead, of which there are few.

use core::cell::RefCell;

use crate::kernel::id::TaskId;
use crate::kernel::slab::NONE;
#[cfg(not(feature = "alloc"))]
use crate::task::error::group::MAX_CHILDREN;

#[cfg(feature = "alloc")]
type Links = alloc::vec::Vec<Link>;
#[cfg(not(feature = "alloc"))]
type Links = heapless::Vec<Link, MAX_CHILDREN>;

/// The list of a group's members, which are named by indexes. All operations are O(1).
pub(crate) struct MemberList(RefCell<State>);

struct State {
    links: Links,
    /// The members that run, in the order in which they were added, and those that have ended, in the order of their
    /// ends.
    lists: [List; 2],
    /// The first free index.
    free: u32,
    /// The task that waits for the group.
    waiter: Option<TaskId>,
    /// The number of futures of that task that wait for the group.
    waits: u32,
    /// A task that is known not to be a member. It never becomes one, because members are new tasks.
    outsider: Option<TaskId>,
    /// The number of links that were read or written, for tests.
    #[cfg(test)]
    visits: u64,
}

/// A list that is linked through the entries of its members.
#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    len: u32,
}

/// The entry of a member, or of a free index, which uses only `next`.
#[derive(Clone, Copy)]
struct Link {
    before: u32,
    next: u32,
}

const RUNNING: usize = 0;
const ENDED: usize = 1;

impl MemberList {
    pub(crate) const fn new() -> Self {
        let list = List { first: NONE, last: NONE, len: 0 };
        Self(RefCell::new(State {
            links: Links::new(),
            lists: [list; 2],
            free: NONE,
            waiter: None,
            waits: 0,
            outsider: None,
            #[cfg(test)]
            visits: 0,
        }))
    }

    /// Returns the number of members that run.
    pub(crate) fn running(&self) -> usize {
        self.0.borrow().lists[RUNNING].len as usize
    }

    /// Returns the number of members that have ended and were not removed.
    pub(crate) fn ended(&self) -> usize {
        self.0.borrow().lists[ENDED].len as usize
    }

    /// Adds a member that runs, and returns its index: the smallest that was never used, unless an index is free.
    /// Without a heap, the list must not be full.
    pub(crate) fn add(&self) -> u32 {
        let state = &mut *self.0.borrow_mut();
        let mut index = state.free;
        if index == NONE {
            // The kernel has fewer tasks than indexes.
            index = u32::try_from(state.links.len()).unwrap_or(NONE);
            state.links.extend([Link { before: NONE, next: NONE }]);
        } else {
            state.free = state.at(index).next;
        }
        state.push(RUNNING, index);
        index
    }

    /// Moves a member that ran to those that have ended. Returns the task that waits for the group.
    pub(crate) fn end(&self, index: u32) -> Option<TaskId> {
        let state = &mut *self.0.borrow_mut();
        state.remove(RUNNING, index);
        state.push(ENDED, index);
        state.waiter
    }

    /// Removes the member that ended first of those that have ended. Its index becomes free.
    pub(crate) fn take_ended(&self) -> Option<u32> {
        self.take_first(ENDED)
    }

    /// Removes the member that was added first of those that run. Its index becomes free.
    pub(crate) fn take_running(&self) -> Option<u32> {
        self.take_first(RUNNING)
    }

    /// Returns the member that runs and was added next after `index`, or the first one for `None`.
    pub(crate) fn next_running(&self, index: Option<u32>) -> Option<u32> {
        let state = &mut *self.0.borrow_mut();
        let next = match index {
            None => state.lists[RUNNING].first,
            Some(index) => state.at(index).next,
        };
        (next != NONE).then_some(next)
    }

    /// Returns the task that waits for the group.
    pub(crate) fn waiter(&self) -> Option<TaskId> {
        self.0.borrow().waiter
    }

    /// Records that a future of `task` begins to wait for the group. Returns false if another task waits already.
    pub(crate) fn begin_wait(&self, task: TaskId) -> bool {
        let state = &mut *self.0.borrow_mut();
        let may_wait = state.waiter.is_none_or(|waiter| waiter == task);
        if may_wait {
            state.waiter = Some(task);
            state.waits += 1;
        }
        may_wait
    }

    /// Records that a future has ended its wait. Returns true if no future waits any longer.
    pub(crate) fn end_wait(&self) -> bool {
        let state = &mut *self.0.borrow_mut();
        state.waits -= 1;
        let is_last = state.waits == 0;
        if is_last {
            state.waiter = None;
        }
        is_last
    }

    /// Returns true if `task` is the task that was last found not to be a member.
    pub(crate) fn is_outsider(&self, task: TaskId) -> bool {
        self.0.borrow().outsider == Some(task)
    }

    pub(crate) fn set_outsider(&self, task: TaskId) {
        self.0.borrow_mut().outsider = Some(task);
    }

    fn take_first(&self, list: usize) -> Option<u32> {
        let state = &mut *self.0.borrow_mut();
        let first = state.lists[list].first;
        if first == NONE {
            return None;
        }
        state.remove(list, first);
        state.at(first).next = state.free;
        state.free = first;
        Some(first)
    }
}

impl State {
    fn at(&mut self, index: u32) -> &mut Link {
        #[cfg(test)]
        {
            self.visits += 1;
        }
        &mut self.links[index as usize]
    }

    fn push(&mut self, list: usize, index: u32) {
        let last = self.lists[list].last;
        *self.at(index) = Link { before: last, next: NONE };
        if last == NONE {
            self.lists[list].first = index;
        } else {
            self.at(last).next = index;
        }
        self.lists[list].last = index;
        self.lists[list].len += 1;
    }

    fn remove(&mut self, list: usize, index: u32) {
        let Link { before, next } = *self.at(index);
        if before == NONE {
            self.lists[list].first = next;
        } else {
            self.at(before).next = next;
        }
        if next == NONE {
            self.lists[list].last = before;
        } else {
            self.at(next).before = before;
        }
        self.lists[list].len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::MemberList;

    /// An operation on the list; the number selects one of the members that run.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        Add,
        End(usize),
        TakeEnded,
        TakeRunning,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => Just(Op::Add),
            3 => (0..1000_usize).prop_map(Op::End),
            2 => Just(Op::TakeEnded),
            1 => Just(Op::TakeRunning),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 300 }, failure_persistence: None, ..ProptestConfig::default() })]

        /// The list behaves like a model of two vectors, and no operation visits more than six entries, however many
        /// members there are.
        #[test]
        fn the_list_is_in_order_and_each_operation_visits_few_entries(ops in vec(op(), 0..200)) {
            let list = MemberList::new();
            let (mut running, mut ended) = (Vec::new(), Vec::<u32>::new());
            for op in ops {
                let before = list.0.borrow().visits;
                match op {
                    Op::Add => {
                        let index = list.add();
                        prop_assert!(!running.contains(&index) && !ended.contains(&index));
                        running.push(index);
                    }
                    Op::End(at) if !running.is_empty() => {
                        let index = running.remove(at % running.len());
                        prop_assert_eq!(list.end(index), None);
                        ended.push(index);
                    }
                    Op::End(_) => {}
                    Op::TakeEnded => {
                        let first = (!ended.is_empty()).then(|| ended.remove(0));
                        prop_assert_eq!(list.take_ended(), first);
                    }
                    Op::TakeRunning => {
                        let first = (!running.is_empty()).then(|| running.remove(0));
                        prop_assert_eq!(list.take_running(), first);
                    }
                }
                prop_assert!(list.0.borrow().visits - before <= 6);
                let all = core::iter::successors(list.next_running(None), |at| list.next_running(Some(*at)));
                prop_assert_eq!(&all.collect::<Vec<_>>(), &running);
                prop_assert_eq!((list.running(), list.ended()), (running.len(), ended.len()));
            }
        }
    }
}
