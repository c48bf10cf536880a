//! The rate of requests, printed every second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sinbin_cli::output;

use super::stats::rate;

/// A thread that prints the rate of requests every second, until it is dropped.
pub(crate) struct Ticker(Option<Sender<()>>, Option<JoinHandle<()>>);

impl Ticker {
    pub(crate) fn start(counter: Arc<AtomicU64>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let (count, now) = (counter.load(Ordering::Relaxed), Instant::now());
                output::line_or_end(rate(count - last, (now - since).as_secs_f64()));
                (last, since) = (count, now);
            }
        })?;
        Ok(Self(Some(stop), Some(thread)))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.take();
        if let Some(thread) = self.1.take() {
            thread.join().ok();
        }
    }
}
