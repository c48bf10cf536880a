//! Panics of simulated code as values: their location and message.

use std::cell::{Cell, RefCell};
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `act`, and returns the message of a panic in it instead of printing it.
pub(crate) fn catch<R>(act: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CATCHING.get() {
                CAUGHT.with_borrow_mut(|caught| *caught = info.to_string().replace('\n', " "));
            } else {
                before(info);
            }
        }));
    });
    let before = CATCHING.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(act));
    CATCHING.set(before);
    outcome.map_err(|payload| {
        // The payload belongs to the service, and its destructor may panic.
        forget(payload);
        CAUGHT.take()
    })
}

/// Unwinds to the enclosing [`catch`].
pub(crate) fn give_up() -> ! {
    resume_unwind(Box::new(()))
}
