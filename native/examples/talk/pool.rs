//! The talk's `pool`: threads that compute what they are given, oldest first.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// As many threads as the talk's pool has processes. (Python needs processes: its threads take turns, since
/// whoever computes holds the interpreter's lock. Here threads run at the same time.)
const WORKERS: usize = 4;

#[derive(Clone)]
pub struct Pool(Sender<Work>);

impl Pool {
    pub fn new() -> Self {
        let (sender, receiver) = channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..WORKERS {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || {
                loop {
                    let work = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = work else { return };
                    work();
                }
            });
        }
        Self(sender)
    }

    /// Has `function` called by one of the threads. What comes back is the talk's `future`: its `recv()` waits for the
    /// result.
    pub fn submit<T: Send + 'static>(&self, function: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
        let (sender, future) = channel();
        let work = Box::new(move || {
            // Nobody may be there to hear it any more.
            sender.send(function()).ok();
        });
        self.0.send(work).expect("the threads live as long as the pool");
        future
    }
}
