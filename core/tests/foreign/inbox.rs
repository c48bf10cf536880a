//! Wakes from outside, by any thread.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use sinbin_core::TaskId;
use sinbin_core::task::Wakers;

/// The time after which a missing wake-up counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Wakes from outside.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A waker per task, so that `will_wake` recognizes it.
    wakers: BTreeMap<TaskId, Arc<TaskWaker>>,
    woken: Vec<TaskId>,
    /// True if the loop rests until a task is woken.
    rests: bool,
}

impl Inbox {
    /// Waits, in another thread, until all tasks wait.
    pub(crate) fn all_wait(&self) {
        let state = self.0.state.lock().unwrap();
        let waited = self.0.changed.wait_timeout_while(state, PATIENCE, |state| !state.rests).unwrap().1;
        assert!(!waited.timed_out(), "the loop never rests");
    }

    pub(crate) fn take(&self) -> Vec<TaskId> {
        mem::take(&mut self.0.state.lock().unwrap().woken)
    }

    /// Waits for a wake-up.
    pub(crate) fn rest(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.rests = true;
        self.0.changed.notify_all();
        let wait = self.0.changed.wait_timeout_while(state, PATIENCE, |state| state.woken.is_empty());
        let (mut state, waited) = wait.unwrap();
        assert!(!waited.timed_out(), "no task was woken");
        state.rests = false;
    }
}

impl Wakers for Inbox {
    fn waker(&self, task: TaskId) -> Waker {
        let make = || Arc::new(TaskWaker { inbox: Arc::downgrade(&self.0), task });
        let mut state = self.0.state.lock().unwrap();
        Arc::clone(state.wakers.entry(task).or_insert_with(make)).into()
    }
}

struct TaskWaker {
    inbox: Weak<Shared>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.state.lock().unwrap().woken.push(self.task);
            inbox.changed.notify_all();
        }
    }
}
