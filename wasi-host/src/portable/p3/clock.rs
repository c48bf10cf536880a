//! `wasi:clocks/monotonic-clock`, by the clock of the watcher.

use std::future::poll_fn;
use std::task::Poll;

use sinbin::Instant;
use wasmtime::Result;
use wasmtime::component::Accessor;
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock::{Host, HostWithStore, Mark};
use wasmtime_wasi::p3::bindings::clocks::types::Duration;

use super::super::Guest;
use super::super::io::Io;
use super::super::tasks::{Held, Hold, Timer};
use super::P3;

impl Io {
    /// Creates a timer, which ends with its handle.
    ///
    /// # Errors
    ///
    /// Traps if the guest holds too many resources.
    fn timer(&mut self, deadline: Instant) -> Result<(Timer, Hold)> {
        self.settle();
        self.count(1)?;
        Ok((self.tasks.timer(deadline), self.tasks.hold(Held::Timer)))
    }
}

/// Waits until the clock has reached a time.
async fn wait(store: &Accessor<Guest, P3>, deadline: impl FnOnce(u64) -> u64) -> Result<()> {
    let (timer, _hold) = store.with(|mut store| {
        let io = &mut store.get().io;
        io.timer(Instant::from_nanos(deadline(io.now().as_nanos())))
    })?;
    poll_fn(|context| {
        if store.with(|mut store| store.get().io.now()) >= timer.deadline() {
            return Poll::Ready(());
        }
        timer.park(context.waker());
        Poll::Pending
    })
    .await;
    Ok(())
}

impl HostWithStore<Guest> for P3 {
    async fn wait_until(store: &Accessor<Guest, Self>, when: Mark) -> Result<()> {
        wait(store, |_| when).await
    }

    async fn wait_for(store: &Accessor<Guest, Self>, span: Duration) -> Result<()> {
        // A time that the clock never reaches is waited for without end.
        wait(store, |now| now.saturating_add(span)).await
    }
}

impl Host for Guest {
    fn now(&mut self) -> Result<Mark> {
        Ok(self.io.now().as_nanos())
    }

    fn get_resolution(&mut self) -> Result<Duration> {
        Ok(1)
    }
}
