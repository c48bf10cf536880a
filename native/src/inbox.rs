//! Wakes from outside of the loop: by other threads, and by futures that do not use the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};

use sinbin_core::TaskId;
use sinbin_core::task::Wakers;

use crate::reactor::Notifier;

/// The tasks that were woken since the loop last called [`take`](Self::take).
#[derive(Clone)]
pub(crate) struct Inbox(Arc<Shared>);

struct Shared {
    /// The wakers of tasks, by the indexes of the task ids.
    wakers: Mutex<Vec<Option<Arc<TaskWaker>>>>,
    /// The wakers that were woken. Each is in the list once, however often it was woken.
    woken: Mutex<Vec<Arc<TaskWaker>>>,
    /// True if `woken` may contain wakers.
    any: AtomicBool,
    /// The thread of the loop. A wake from this thread does not need to interrupt a wait.
    home: ThreadId,
    notifier: OnceLock<Notifier>,
}

impl Inbox {
    /// Creates the inbox of the loop of the current thread.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            wakers: Mutex::default(),
            woken: Mutex::default(),
            any: AtomicBool::new(false),
            home: thread::current().id(),
            notifier: OnceLock::new(),
        }))
    }

    /// Sets the notifier that ends the loop's wait after a wake from another thread.
    pub(crate) fn interrupt_by(&self, notifier: Notifier) {
        // A loop has one reactor, so the notifier is set once.
        self.0.notifier.set(notifier).ok();
    }

    /// Returns the tasks that were woken since the last call.
    #[inline]
    pub(crate) fn take(&self) -> Vec<TaskId> {
        if !self.0.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        // A wake after this store sets the flag again.
        self.0.any.store(false, Ordering::SeqCst);
        let mut woken = self.0.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = woken.drain(..).map(|waker| {
            waker.is_there.store(false, Ordering::Relaxed);
            waker.task
        });
        tasks.collect()
    }
}

impl Shared {
    fn put(&self, waker: &Arc<TaskWaker>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.is_there.swap(true, Ordering::Relaxed) {
            woken.push(Arc::clone(waker));
        }
        self.any.store(true, Ordering::SeqCst);
        drop(woken);
        if thread::current().id() != self.home
            && let Some(notifier) = self.notifier.get()
        {
            notifier.notify();
        }
    }
}

impl Wakers for Inbox {
    fn waker(&self, task: TaskId) -> Waker {
        let mut wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if wakers.len() <= task.index() {
            wakers.resize(task.index() + 1, None);
        }
        let place = &mut wakers[task.index()];
        let waker = match place {
            Some(waker) if waker.task == task => Arc::clone(waker),
            _ => {
                let waker = Arc::new(TaskWaker::new(&self.0, task));
                *place = Some(Arc::clone(&waker));
                waker
            }
        };
        Waker::from(waker)
    }
}

/// The waker of one task.
struct TaskWaker {
    /// A weak reference: the inbox owns the waker, and may be dropped before it.
    inbox: Weak<Shared>,
    task: TaskId,
    /// True if the waker is in `woken`. Accessed only under the lock of `woken`.
    is_there: AtomicBool,
}

impl TaskWaker {
    fn new(inbox: &Arc<Shared>, task: TaskId) -> Self {
        Self { inbox: Arc::downgrade(inbox), task, is_there: AtomicBool::new(false) }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.put(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_woken_again_and_again_is_there_once() {
        let inbox = Inbox::new();
        let tasks = [1, 2].map(TaskId::from_bits);
        let wakers = tasks.map(|task| inbox.waker(task));
        for _ in 0..2 {
            for waker in wakers.iter().cycle().take(1000) {
                waker.wake_by_ref();
            }
            assert_eq!(inbox.take(), tasks);
            assert_eq!(inbox.take(), []);
        }
    }
}
