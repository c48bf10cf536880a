use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::PATIENCE;

/// The output of a child on one of its pipes. A thread reads the pipe, so that the child never blocks.
pub(crate) struct Tail(Arc<Shared>);

struct Shared {
    text: Mutex<Text>,
    more: Condvar,
}

#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tail {
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared { text: Mutex::default(), more: Condvar::new() });
        let tail = Self(Arc::clone(&shared));
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let count = pipe.read(&mut chunk).unwrap_or(0);
                let mut text = shared.lock();
                text.bytes.extend_from_slice(&chunk[..count]);
                text.ended = count == 0;
                shared.more.notify_all();
                if text.ended {
                    return;
                }
            }
        });
        tail
    }

    /// Returns the output so far.
    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().bytes).into_owned()
    }

    /// Waits for the end of the pipe, and returns the whole output.
    pub(crate) fn whole(&self) -> String {
        self.wait("the end of the output", |text, ended| ended.then(|| text.to_owned()))
    }

    /// Waits until `find` returns a value. `find` receives the output so far, and whether the pipe has ended.
    pub(crate) fn wait<T>(&self, what: &str, find: impl Fn(&str, bool) -> Option<T>) -> T {
        self.wait_for(PATIENCE, what, find)
    }

    /// Waits as [`wait`](Self::wait) does, for `patience` at most.
    pub(crate) fn wait_for<T>(
        &self,
        patience: Duration,
        what: &str,
        find: impl Fn(&str, bool) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        let mut text = self.0.lock();
        loop {
            let so_far = String::from_utf8_lossy(&text.bytes);
            if let Some(found) = find(&so_far, text.ended) {
                return found;
            }
            assert!(!text.ended, "{what}: the output ended: {so_far:?}");
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: not within {patience:?}: {so_far:?}");
            let waited = self.0.more.wait_timeout(text, left);
            text = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
