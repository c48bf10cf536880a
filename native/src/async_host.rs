//! Operations of the native loop for tasks that are `async fn`s.

use std::any::Any;
use std::net::SocketAddr;

use sinbin_core::task::{AsyncHost, AsyncService, Conn, ErasedJob};
use sinbin_core::{IoError, JobId, SourceId, TaskId};

use crate::caught::Caught;
use crate::host::{Native, index};
use crate::observe::{EventKind, SourceKind};
use crate::sockets::{self, Socket};

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> AsyncHost<'d> for Native<AsyncService<'d, M, F>> {
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        self.sockets.shutdown(source)
    }

    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        let listener = sockets::bind(address, self.dual_stack)?;
        let bound = listener.local_addr()?;
        self.sockets.insert(new, Socket::Listener(listener), false);
        self.observer.source(new, SourceKind::Listener, Some(bound));
        Ok(bound)
    }

    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        self.sockets.peer(source)
    }

    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        if !self.room.has_room() {
            return Err(IoError::NoRoom);
        }
        let stream = sockets::connect(address)?;
        self.sockets.insert(new, Socket::Stream(stream), false);
        self.observer.source(new, SourceKind::Connected, Some(address));
        self.room.enter();
        Ok(())
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        self.sockets.connected(source)
    }

    fn adopt(&mut self, connection: &mut dyn Any, new: SourceId) -> Result<(), IoError> {
        if !self.room.has_room() {
            return Err(IoError::NoRoom);
        }
        let stream = sockets::adopt(connection)?;
        self.sockets.insert(new, Socket::Stream(stream), false);
        self.observer.source(new, SourceKind::Adopted, self.peer(new));
        self.room.enter();
        Ok(())
    }

    fn is_stopping(&mut self, task: TaskId) -> bool {
        let is_stopping = self.stopper.is_asked();
        if !is_stopping {
            self.stop_waiters.insert(task, ());
        }
        is_stopping
    }

    fn stop(&mut self) -> Result<(), IoError> {
        self.stopper.stop();
        Ok(())
    }

    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let Some(job) = job.boxed() else { return false };
        self.counts.jobs += 1;
        self.observer.event(EventKind::Submitted, None, index(id.index()));
        self.compute.submit(id, Caught::new(job));
        true
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let output = self.compute.take(id).and_then(Caught::into_inner);
        output.is_some_and(|mut output| job.put(&mut *output))
    }

    fn cancel_job(&mut self, id: JobId) {
        self.counts.cancelled += 1;
        self.observer.event(EventKind::JobCancelled, None, index(id.index()));
        self.compute.cancel(id);
    }
}
