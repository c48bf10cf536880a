//! Wakers that can be kept beyond a step, for the futures of other crates.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;
use core::task::Waker;

use sinbin_core::TaskId;
use sinbin_core::task::{Handle, Wakers};

use crate::sole::Sole;

/// The wakers of an instance. An instance has one thread, so each wake comes from a task, or from the loop itself.
pub(crate) struct TaskWakers;

struct State {
    /// The loop, once it is made.
    handle: Option<Handle<'static>>,
    /// The waker of each task that has asked for one, by index: a waker is equal to the one before it.
    made: Vec<Option<(TaskId, Waker)>>,
    /// The tasks that were woken while no task ran.
    pending: Vec<TaskId>,
}

/// Calls `act` with the state of the instance. On other targets than wasm there is no instance, and no state outlasts the
/// call.
fn with_state<R>(act: impl FnOnce(&mut State) -> R) -> R {
    const NEW: State = State { handle: None, made: Vec::new(), pending: Vec::new() };
    #[cfg(target_arch = "wasm32")]
    {
        static STATE: Sole<State> = Sole(RefCell::new(NEW));
        act(&mut STATE.0.borrow_mut())
    }
    #[cfg(not(target_arch = "wasm32"))]
    act(&mut Sole(RefCell::new(NEW)).0.borrow_mut())
}

/// Sets the loop whose tasks are woken.
pub(crate) fn set_loop(handle: Handle<'static>) {
    with_state(|state| state.handle = Some(handle));
}

/// Returns the tasks that were woken while no task ran.
pub(crate) fn take_pending() -> Vec<TaskId> {
    with_state(|state| mem::take(&mut state.pending))
}

/// A waker of a task.
struct TaskWaker(TaskId);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The state is not borrowed meanwhile, since the loop calls code of the guest.
        let handle = with_state(|state| state.handle);
        if !handle.is_some_and(|handle| handle.wake(self.0)) {
            with_state(|state| state.pending.push(self.0));
        }
    }
}

impl Wakers for TaskWakers {
    fn waker(&self, task: TaskId) -> Waker {
        let index = task.index();
        with_state(|state| {
            if state.made.len() <= index {
                state.made.resize(index + 1, None);
            }
            match &state.made[index] {
                Some((owner, waker)) if *owner == task => waker.clone(),
                _ => {
                    let waker = Waker::from(Arc::new(TaskWaker(task)));
                    state.made[index] = Some((task, waker.clone()));
                    waker
                }
            }
        })
    }
}
