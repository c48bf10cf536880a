//! Python's `selectors`: a function is registered for a socket, and is called once when the socket is ready.

use sinbin::{Step, Wait, WakeReason};

use crate::event_loop::{EventLoop, Task};

/// An event loop that calls functions. All state that the next function needs is passed on by the previous one.
pub type Selector = EventLoop<Registered>;

type Callback = Box<dyn FnOnce(&mut Selector)>;

/// A function that is called when its wait ends: to the kernel, a task of two steps.
pub struct Registered {
    wait: Wait,
    callback: Option<Callback>,
}

impl Selector {
    pub fn register(&mut self, wait: Wait, callback: impl FnOnce(&mut Self) + 'static) {
        self.spawn(Registered { wait, callback: Some(Box::new(callback)) });
    }
}

impl Task for Registered {
    fn resume(&mut self, selector: &mut Selector, reason: WakeReason) -> Step {
        if reason == WakeReason::Spawned {
            return Step::Wait(self.wait);
        }
        if let Some(callback) = self.callback.take() {
            callback(selector);
        }
        Step::Done
    }
}
