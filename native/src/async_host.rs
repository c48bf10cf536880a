//! Operations of the native loop for tasks that are `async fn`s.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use sinbin_core::task::{AsyncHost, AsyncService, Conn, ErasedJob, Resolver};
use sinbin_core::{Interest, IoError, JobId, SourceId, TaskId};

use crate::caught::Caught;
use crate::host::{Native, index};
use crate::observe::{EventKind, SourceKind};
use crate::sockets::{self, Listening, Socket};

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> AsyncHost<'d> for Native<AsyncService<'d, M, F>> {
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        self.sockets.shutdown(source)
    }

    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        let listener = sockets::bind(address, self.dual_stack)?;
        let bound = listener.local_addr()?;
        self.sockets.insert(new, Socket::Listener(Listening::Tcp(listener)), false);
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

    fn operate(
        &mut self,
        source: SourceId,
        interest: Interest,
        attempt: &mut dyn FnMut(&dyn Any) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        self.sockets.operate(source, interest, attempt)
    }

    #[cfg(unix)]
    fn connect_path(&mut self, path: &str, new: SourceId) -> Result<(), IoError> {
        if !self.room.has_room() {
            return Err(IoError::NoRoom);
        }
        let stream = sockets::connect_path(path)?;
        self.sockets.insert(new, Socket::Stream(stream), false);
        self.observer.source(new, SourceKind::Connected, None);
        self.room.enter();
        Ok(())
    }

    #[cfg(unix)]
    fn listen_path(&mut self, path: &str, new: SourceId) -> Result<(), IoError> {
        let listener = sockets::UnixPathListener::bind(path.as_ref()).inspect_err(|error| {
            tracing::debug!(path, %error, "a task cannot listen");
        })?;
        self.sockets.insert(new, Socket::Listener(Listening::Unix(Box::new(listener))), false);
        self.observer.source(new, SourceKind::Listener, None);
        Ok(())
    }

    fn resolver(&self) -> Option<Arc<dyn Resolver>> {
        Some(Arc::clone(&self.names.0))
    }

    fn adopt(&mut self, connection: &mut dyn Any, new: SourceId) -> Result<(), IoError> {
        if !self.room.has_room() {
            return Err(IoError::NoRoom);
        }
        let socket = sockets::adopt(connection)?;
        let is_connection = matches!(socket, Socket::Stream(_));
        self.sockets.insert(new, socket, false);
        self.observer.source(new, SourceKind::Adopted, self.peer(new));
        if is_connection {
            self.room.enter();
        }
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

    fn submit_blocking(&mut self, id: JobId, call: &mut dyn ErasedJob) -> bool {
        let Some(call) = call.boxed() else { return false };
        self.counts.jobs += 1;
        self.blocking.submit(id, Caught::new(call)).is_ok()
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let output = self.compute.take(id).or_else(|| self.blocking.take(id));
        let output = output.and_then(Caught::into_inner);
        output.is_some_and(|mut output| job.put(&mut *output))
    }

    fn cancel_job(&mut self, id: JobId) {
        self.counts.cancelled += 1;
        self.observer.event(EventKind::JobCancelled, None, index(id.index()));
        self.compute.cancel(id);
        self.blocking.cancel(id);
    }
}
