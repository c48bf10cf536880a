//! The talk's `pool`: threads that run functions, oldest first.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// The number of processes in the talk's pool. (Python needs processes, because a thread that computes holds the
/// interpreter's lock. Here threads run in parallel.)
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

    /// Calls `function` on one of the threads. The returned receiver is the talk's `future`: its `recv()` waits for the
    /// result.
    pub fn submit<T: Send + 'static>(&self, function: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
        let (sender, future) = channel();
        let work = Box::new(move || {
            // The receiver may have been dropped.
            sender.send(function()).ok();
        });
        self.0.send(work).expect("the threads live as long as the pool");
        future
    }
}
