//! Programs: what they print, and their end.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;

use sinbin_core::TaskId;
use sinbin_core::task::{Async, Conn, Handle};

use crate::bindings::exports::sinbin::service::guest::{Answer, Event, Limits, Settings, Tally};
use crate::bindings::sinbin::service::types::Rest;
use crate::run::{GuestJob, Run, tasks_on};
use crate::sole::Sole;

/// The state of an instance that is a program.
struct State {
    is_program: bool,
    printed: Vec<u8>,
    exit_code: Option<u8>,
}

/// Calls `act` with the state of the instance. On other targets than wasm there is no instance, and no state outlasts the
/// call.
fn with_state<R>(act: impl FnOnce(&mut State) -> R) -> R {
    const NEW: State = State { is_program: false, printed: Vec::new(), exit_code: None };
    #[cfg(target_arch = "wasm32")]
    {
        static STATE: Sole<State> = Sole(RefCell::new(NEW));
        act(&mut STATE.0.borrow_mut())
    }
    #[cfg(not(target_arch = "wasm32"))]
    act(&mut Sole(RefCell::new(NEW)).0.borrow_mut())
}

/// Writes bytes to the standard output of a program. The host gets them at the end of the turn. Those of a turn that traps
/// are lost. A guest that serves clients has no output: the bytes are dropped.
pub fn print(bytes: impl AsRef<[u8]>) {
    with_state(|state| {
        if state.is_program {
            state.printed.extend_from_slice(bytes.as_ref());
        }
    });
}

#[doc(hidden)]
#[must_use]
pub fn take_output() -> Vec<u8> {
    with_state(|state| mem::take(&mut state.printed))
}

#[doc(hidden)]
#[must_use]
pub fn exit_code() -> u8 {
    with_state(|state| state.exit_code).unwrap_or_default()
}

/// A loop that ends when the program has an exit code, whatever its other tasks do.
struct Ends(Box<dyn Run>);

impl Run for Ends {
    fn turn(&mut self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        let mut answer = self.0.turn(now, window, events, input);
        if with_state(|state| state.exit_code.is_some()) {
            answer.rest = Rest::Over;
        }
        answer
    }

    fn counts(&self) -> Tally {
        self.0.counts()
    }

    fn wake(&mut self, task: TaskId) -> bool {
        self.0.wake(task)
    }
}

/// Starts a program: `new` creates its state from its arguments, and `run` is its main task, which returns the exit code.
/// Other instances compute its jobs of type `J`.
///
/// # Errors
///
/// Fails if `new` does: the error is a message for the user.
pub fn program<J: GuestJob, T: 'static>(
    new: impl FnOnce(&[String]) -> Result<T, String>,
    run: impl AsyncFnOnce(T, Handle<'static>) -> u8 + 'static,
    settings: &Settings,
    max_jobs: u32,
) -> Result<(Box<dyn Run>, Limits), String> {
    let state = new(&settings.arguments)?;
    let main = |handle| {
        let main = async move {
            let code = run(state, handle).await;
            with_state(|state| state.exit_code = Some(code));
        };
        Async::new(handle, main).0
    };
    // No client connects, since the host passes no listener.
    let (run, limits) =
        tasks_on::<J, _, _>(|_| Ok(|_: Conn<'static>| async {}), Some(main), settings, max_jobs)?;
    with_state(|state| state.is_program = true);
    Ok((Box::new(Ends(run)), limits))
}
