//! The implementation of [`Platform`]: the poll of the network, sleep, and jobs in slices.

use core::convert::Infallible;

use sinbin_core::kernel::Storage;
use sinbin_core::serve::{Admission, Platform, Until};
use sinbin_core::{Executor, Instant, Service, SourceId, Task};
use smoltcp::phy::Device;

use crate::board::Board;
use crate::host::{Metal, Stop};
use crate::sources::Unread;

impl<V, D, B, S> Platform for Metal<V, D, B, S>
where
    V: Service<Conn: Task<Self>>,
    D: Device,
    B: Board,
    S: Storage,
{
    type Service = V;
    type Closed = Unread;
    type Error = Infallible;

    #[inline]
    fn room(&mut self) -> &mut Admission<Unread> {
        &mut self.room
    }

    #[inline]
    fn now(&self) -> Instant {
        self.board.now()
    }

    fn linger(&mut self, source: SourceId, unread: Unread) {
        self.sources.linger(source, unread);
    }

    fn let_go(&mut self, unread: Unread) {
        self.sources.let_go(unread, self.board.now());
        self.room.leave(1);
    }

    fn served(&self) -> impl Iterator<Item = SourceId> {
        self.sources.served()
    }

    fn is_to_stop(&self) -> bool {
        self.stop != Stop::No
    }

    fn begin_drain(&mut self) {
        self.sources.draining = true;
    }

    fn leaving(&self) -> usize {
        self.sources.leaving()
    }

    #[inline]
    fn take_wakes(&mut self, executor: &mut Executor<Self>) {
        if let Some(signals) = &self.signals {
            signals.deliver(&mut executor.kernel);
        }
        if self.stop == Stop::Asked {
            self.stop = Stop::Told;
            Self::wake_all(executor);
        }
    }

    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        let is_busy = !self.slicer.is_idle();
        if is_busy && let Some(job) = self.slicer.run(self.sources.settings.slice) {
            executor.kernel.job_done(job);
        }
        is_busy
    }

    fn is_busy(&self) -> bool {
        !self.slicer.is_idle()
    }

    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> Result<bool, Infallible> {
        while let Some((source, interest)) = executor.kernel.next_change() {
            self.sources.watch(source, interest);
        }
        // The loop learns of the request to stop when this returns.
        let until = if self.is_to_stop() && !self.sources.draining { Until::Poll } else { until };
        // Tasks have sent answers, or read bytes and so opened windows.
        let mut next_send = Instant::ZERO;
        loop {
            self.board.alive();
            let now = self.board.now();
            if next_send <= now {
                self.sources.net.send(now);
            }
            let has_received = self.sources.net.receive(now, self.sources.settings.burst);
            // The next call sends the acknowledgements together with the answers of the tasks.
            if self.notify(executor, now) {
                return Ok(true);
            }
            let deadline = match until {
                Until::Poll | Until::Due => return Ok(true),
                Until::At(deadline) => deadline,
            };
            // The deadline may have passed during the poll, which then has not seen all that came before it.
            if now >= deadline {
                return Ok(true);
            }
            next_send = if has_received { now } else { self.sources.net.next_send(now) };
            let next = deadline.min(next_send).min(self.sources.next_end());
            if next > now {
                let signals = self.signals;
                self.board.sleep(next, &|| signals.is_some_and(|signals| signals.are_pending()));
            }
        }
    }
}

impl<V, D, B, S> Metal<V, D, B, S>
where
    V: Service<Conn: Task<Self>>,
    D: Device,
    B: Board,
    S: Storage,
{
    /// Notifies the kernel of each source that is ready. Returns true if a task may run.
    fn notify(&mut self, executor: &mut Executor<Self>, now: Instant) -> bool {
        let mut is_ready = false;
        self.sources.sort(now, |source, readiness| {
            executor.kernel.ready(source, readiness);
            is_ready = true;
        });
        is_ready || self.signals.is_some_and(|signals| signals.are_pending())
    }

    /// Wakes every task, of which some may wait for the request to stop. O(n²), once.
    #[cold]
    fn wake_all(executor: &mut Executor<Self>) {
        let mut index = 0;
        loop {
            let id = executor.kernel.tasks().nth(index).map(|task| task.id);
            let Some(id) = id else { return };
            executor.kernel.wake(id);
            index += 1;
        }
    }
}
