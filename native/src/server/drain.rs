//! The end of a server: no new connections, and an answer to what was received.

use std::mem;

use sinbin_core::{Host, Instant, Interest, IoError, SourceId};

use super::Server;
use crate::host::NativeService;

impl<S: NativeService> Server<S> {
    pub(super) fn check_stop(&mut self) {
        match self.draining {
            None if self.stopper.is_asked() => self.begin_drain(),
            None => {}
            // Input that was received before the end is answered: a look at the sources comes between the two.
            Some(end) if self.executor.kernel.seen() >= end => self.cut_off(),
            Some(_) => {}
        }
    }

    fn begin_drain(&mut self) {
        tracing::info!(connections = self.host.open, "draining: what was received is answered");
        self.draining = Some(self.now() + self.drain_timeout);
        for (source, _) in mem::take(&mut self.listeners) {
            self.accept_waiting(source);
            self.close(source);
        }
        self.host.sockets.drain();
    }

    /// Takes the connections that wait in the backlog: what they have sent already was received.
    fn accept_waiting(&mut self, listener: SourceId) {
        while let Ok(new) = self.open() {
            let accepted = self.host.accept(listener, new);
            if accepted.is_err() {
                self.executor.kernel.close(new);
            }
            match accepted {
                Ok(()) => {
                    let task = self.host.serve(listener, new);
                    if self.spawn(task).is_err() {
                        self.close(new);
                    }
                }
                Err(IoError::Reset) => {}
                Err(_) => break,
            }
        }
    }

    /// Lets every connection that waits for requests look whether one is there, and end if there is none.
    pub(super) fn nudge(&mut self) {
        for source in self.host.sockets.served() {
            self.executor.kernel.ready(source, Interest::RECV);
        }
    }

    /// Ends all tasks, whatever they do. Whoever is there after the next turn is ended again: the first time a task may
    /// only be told.
    fn cut_off(&mut self) {
        if self.cuts == 0 {
            let late = self.host.sockets.served().count();
            if late > 0 {
                tracing::warn!(connections = late, "the time to drain is over: they are cut off");
            }
            self.cut += late;
        }
        self.cuts += 1;
        self.draining = Some(Instant::ZERO);
        self.executor.kernel.end_all();
    }
}
