//! The implementation of [`Platform`] on WASI 0.2: `poll`, the end of stdin, and jobs in slices.

use core::convert::Infallible;
use core::time::Duration;

use sinbin_core::serve::{Admission, Platform, Until};
use sinbin_core::{Executor, Instant, Service, SourceId, Task};

use crate::connection::Connection;
use crate::host::{Portable, Unread};
use crate::now;
use crate::poller::{Key, List, Watched};
use crate::sockets::Sockets;
use crate::stdin::Stdin;

impl<S: Service<Conn: Task<Self>>> Platform for Portable<S> {
    type Service = S;
    type Closed = Unread;
    type Error = Infallible;

    fn room(&mut self) -> &mut Admission<Unread> {
        &mut self.room
    }

    fn now(&self) -> Instant {
        now()
    }

    /// Returns the time that a host may take to report input. Requests that were sent before the request to stop are
    /// answered, so no receive fails with `Stopping` before this time has passed.
    #[inline]
    fn settle(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn linger(&mut self, source: SourceId, (connection, peer): Unread) {
        self.sockets.insert(source, connection, true);
        self.peers.rename(source, peer);
    }

    fn let_go(&mut self, (connection, _): Unread) {
        self.leave(connection);
    }

    fn served(&self) -> impl Iterator<Item = SourceId> {
        self.sockets.served()
    }

    fn is_to_stop(&self) -> bool {
        self.is_to_stop
    }

    fn begin_drain(&mut self) {
        self.sockets.drain();
    }

    fn leaving(&self) -> usize {
        self.leaving.len()
    }

    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        let is_busy = !self.slicer.is_idle();
        if let Some(job) = self.slicer.run(self.slice) {
            executor.kernel.job_done(job);
        }
        is_busy
    }

    fn is_busy(&self) -> bool {
        !self.slicer.is_idle()
    }

    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> Result<bool, Infallible> {
        while let Some((source, interest)) = executor.kernel.next_change() {
            self.sockets.watch(source, interest);
        }
        let Self { sockets, leaving, stdin, poller, .. } = self;
        let watched = InUse { sockets, leaving, stdin: stdin.as_ref() };
        let (mut may_have_ended, mut has_left) = (false, false);
        for key in poller.wait(&watched, executor.kernel.now(), until) {
            match *key {
                Key::Source(source, readiness) => executor.kernel.ready(source, readiness),
                Key::Stdin => may_have_ended = true,
                Key::Left => has_left = true,
            }
        }
        let has_looked = poller.has_looked();
        if has_left {
            self.reap_closed();
        }
        if may_have_ended && self.stdin.as_ref().is_some_and(Stdin::has_ended) {
            self.stdin = None;
            self.is_to_stop = true;
        }
        Ok(has_looked)
    }
}

/// The sources that the loop waits for, and stdin.
struct InUse<'s> {
    sockets: &'s Sockets,
    leaving: &'s [Connection],
    stdin: Option<&'s Stdin>,
}

impl Watched for InUse<'_> {
    fn gather_always<'a>(&'a self, list: &mut List<'a>) {
        list.push_some(self.stdin.map(|stdin| &stdin.readable), Key::Stdin);
        self.sockets.gather_listeners(list);
    }

    fn gather<'a>(&'a self, list: &mut List<'a>, from: usize, count: usize) -> Option<usize> {
        if from == 0 {
            for connection in self.leaving {
                list.push_some(connection.writable(), Key::Left);
            }
        }
        self.sockets.gather(list, from, count)
    }
}
