//! The interface that a host provides for tasks that are `async fn`s.

use core::any::Any;
use core::net::SocketAddr;

use crate::exec::buffers::BufferedBytes;
use crate::exec::context::Cx;
use crate::exec::host::Host;
#[cfg(feature = "alloc")]
use crate::exec::label::NamedWait;
use crate::job::erased::ErasedJob;
use crate::kernel::error::{Full, IoError};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::interest::Interest;
use crate::kernel::step::WakeReason;
use crate::kernel::wait_slot::WaitSlot;
use crate::task::handle::Handle;
#[cfg(feature = "alloc")]
use crate::task::resolver::Resolver;
use crate::task::run_context::{Forwarded, Ops, RunContext};
use crate::task::start::Async;
use crate::task::task_ref::Owned;

/// A host whose tasks can be `async fn`s.
///
/// Only [`Host::Task`] must support them. An operation that a host does not provide fails with an error in the task
/// that requests it.
pub trait AsyncHost<'d>: Host<Task: From<Async<'d>>> {
    /// Ends the sending direction of `source`, which can still receive.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::Unsupported`] if the host does not support half-close.
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        let _ = source;
        Err(IoError::Unsupported)
    }

    /// Starts to listen on `address` as `new`, and returns the bound address, or `address` if it is bound later.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::Unsupported`] if tasks may not listen.
    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        let _ = (address, new);
        Err(IoError::Unsupported)
    }

    /// Returns the address of a listener that is bound later than [`listen`](Self::listen) returns, and `None` for one that
    /// was bound before. The source becomes ready to receive when it is bound, and when that has failed.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] until the listener is bound, and with the reason why it could not be bound.
    fn bound(&mut self, listener: SourceId) -> Option<Result<SocketAddr, IoError>> {
        let _ = listener;
        None
    }

    /// Returns the address of the peer of `source`, if the host knows it.
    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        let _ = source;
        None
    }

    /// Starts to connect to `address` as `new`, which becomes ready to send when the attempt has ended.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::Unsupported`] if tasks may not connect.
    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        let _ = (address, new);
        Err(IoError::Unsupported)
    }

    /// Starts to resolve `host` and to connect to one of its addresses as `new`, which becomes ready to send when the
    /// attempt has ended. A host that does not do this by itself has a [resolver](Self::resolver) instead.
    ///
    /// # Errors
    ///
    /// Fails as [`connect`](Self::connect) does: with [`IoError::Unsupported`] if the host resolves no names by itself.
    fn connect_name(&mut self, host: &str, port: u16, new: SourceId) -> Result<(), IoError> {
        let _ = (host, port, new);
        Err(IoError::Unsupported)
    }

    /// Returns the result of a connection attempt.
    ///
    /// # Errors
    ///
    /// Fails with the reason why no connection exists: [`IoError::WouldBlock`] if the attempt is still in progress.
    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        let _ = source;
        Err(IoError::Unsupported)
    }

    /// Calls `attempt` with the object that the host has for a source: an operation of the task, which receives if
    /// `interest` is [`Interest::RECV`], and sends if it is [`Interest::SEND`]. It does not block.
    ///
    /// # Errors
    ///
    /// Fails with the error of `attempt`, with [`IoError::Stopping`] instead of [`IoError::WouldBlock`] if it receives
    /// and the host is stopping, and with [`IoError::Unsupported`] if the host gives no access to its objects.
    fn operate(
        &mut self,
        source: SourceId,
        interest: Interest,
        attempt: &mut dyn FnMut(&dyn Any) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        let _ = (source, interest, attempt);
        Err(IoError::Unsupported)
    }

    /// Connects to the Unix socket at `path`, as `new`.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::WouldBlock`] if the backlog of the listener is full, and
    /// [`IoError::Unsupported`] if there are no such sockets.
    fn connect_path(&mut self, path: &str, new: SourceId) -> Result<(), IoError> {
        let _ = (path, new);
        Err(IoError::Unsupported)
    }

    /// Starts to listen on a Unix socket at `path`, as `new`.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::AddressInUse`] if the path exists, unless it is a socket on which no
    /// process listens, and [`IoError::Unsupported`] if there are no such sockets.
    fn listen_path(&mut self, path: &str, new: SourceId) -> Result<(), IoError> {
        let _ = (path, new);
        Err(IoError::Unsupported)
    }

    /// Returns the resolver of names. Its calls are [submitted](Self::submit_blocking) as blocking calls.
    #[cfg(feature = "alloc")]
    fn resolver(&self) -> Option<alloc::sync::Arc<dyn Resolver>> {
        None
    }

    /// Stores a connection that was made elsewhere as `new`. `connection` is an `Option` of a type that the host knows,
    /// and the host takes the value out.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with [`IoError::Unsupported`] if the host does not know the type.
    fn adopt(&mut self, connection: &mut dyn Any, new: SourceId) -> Result<(), IoError> {
        let _ = (connection, new);
        Err(IoError::Unsupported)
    }

    /// Returns true if the loop is to stop. Otherwise the host wakes `task` by name when the loop is to stop.
    fn is_stopping(&mut self, task: TaskId) -> bool {
        let _ = task;
        false
    }

    /// Asks the loop to stop.
    ///
    /// # Errors
    ///
    /// Returns [`IoError::Unsupported`] if tasks may not stop their loop.
    fn stop(&mut self) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    /// Takes the job out of `job` and starts it. When the job is done, the host notifies the kernel. Returns true if
    /// the host computes jobs of that kind.
    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let _ = (id, job);
        false
    }

    /// Takes the job out of `job`, and runs it on a thread that may block. When the job is done, the host notifies the
    /// kernel. Returns true if the host has such threads.
    fn submit_blocking(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let _ = (id, job);
        false
    }

    /// Stores the result of the job in `job`, if it is available. Returns true if it was.
    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let _ = (id, job);
        false
    }

    /// Discards the job, whose result is no longer wanted.
    fn cancel_job(&mut self, id: JobId) {
        let _ = id;
    }
}

impl<'d, H: AsyncHost<'d>> Ops<'d> for Cx<'_, H> {
    fn clock(&self) -> Instant {
        Cx::clock(self)
    }

    fn seen(&mut self) -> Instant {
        self.kernel.seen_by_running()
    }

    fn wake_reason(&mut self) -> (WakeReason, WaitSlot) {
        (Cx::wake_reason(self), self.fired())
    }

    fn use_up(&mut self, wait_slot: WaitSlot) {
        Cx::use_up(self, wait_slot);
    }

    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        self.host.peer(source)
    }

    #[inline]
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.host.recv(source, buffer)
    }

    fn read(&mut self, source: SourceId, limit: usize) -> Result<(&[u8], bool), IoError> {
        let input = self.buffers.input.as_mut();
        let limit = limit.min(input.len());
        let count = self.host.recv(source, &mut input[..limit])?;
        Ok((&self.buffers.input.as_ref()[..count], count == limit))
    }

    fn read_kept(&mut self, source: SourceId) -> Result<(BufferedBytes, bool), IoError> {
        let limit = self.buffers.read_limit();
        let count = self.host.recv(source, &mut self.buffers.input.as_mut()[..limit])?;
        Ok((self.buffers.keep_input(count), count == limit))
    }

    fn forward(&mut self, from: SourceId, to: SourceId) -> Result<Forwarded, IoError> {
        let limit = self.buffers.read_limit();
        let received = self.host.recv(from, &mut self.buffers.input.as_mut()[..limit])?;
        let bytes = &self.buffers.input.as_ref()[..received];
        let sent = if bytes.is_empty() { Ok(0) } else { self.host.send(to, bytes) };
        let sent = if sent == Err(IoError::WouldBlock) { Ok(0) } else { sent };
        let mut rest = BufferedBytes::EMPTY;
        if let Ok(sent) = sent
            && sent < received
        {
            rest.keep_input(self.buffers, sent..received);
        }
        Ok(Forwarded { received, is_cut: received == limit, sent, rest })
    }

    fn send_kept(&mut self, to: SourceId, held: &BufferedBytes) -> Result<usize, IoError> {
        self.host.send(to, held.bytes(self.buffers))
    }

    fn kept<'b>(&'b self, held: &'b BufferedBytes) -> &'b [u8] {
        held.bytes(self.buffers)
    }

    fn give_back(&mut self, block: u32) {
        self.buffers.give_back(block);
    }

    #[inline]
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.host.send(source, bytes)
    }

    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        self.host.shutdown(source)
    }

    fn close(&mut self, source: SourceId) {
        Cx::close(self, source);
    }

    fn listen(&mut self, address: SocketAddr) -> Result<(SourceId, SocketAddr), IoError> {
        self.open(|host, new| host.listen(address, new))
    }

    fn bound(&mut self, listener: SourceId) -> Option<Result<SocketAddr, IoError>> {
        self.host.bound(listener)
    }

    fn take(&mut self, listener: SourceId) -> Result<(SourceId, Option<SocketAddr>), IoError> {
        let (new, ()) = self.open(|host, new| host.accept(listener, new))?;
        Ok((new, self.host.peer(new)))
    }

    fn connect(&mut self, address: SocketAddr) -> Result<SourceId, IoError> {
        let (new, ()) = self.open(|host, new| host.connect(address, new))?;
        Ok(new)
    }

    #[cfg(feature = "alloc")]
    fn connect_name(&mut self, host: &str, port: u16) -> Result<SourceId, IoError> {
        let (new, ()) = self.open(|of, new| of.connect_name(host, port, new))?;
        Ok(new)
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        self.host.connected(source)
    }

    fn operate(
        &mut self,
        source: SourceId,
        interest: Interest,
        attempt: &mut dyn FnMut(&dyn Any) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        self.host.operate(source, interest, attempt)
    }

    fn connect_path(&mut self, path: &str) -> Result<SourceId, IoError> {
        let (new, ()) = self.open(|host, new| host.connect_path(path, new))?;
        Ok(new)
    }

    fn listen_path(&mut self, path: &str) -> Result<SourceId, IoError> {
        let (new, ()) = self.open(|host, new| host.listen_path(path, new))?;
        Ok(new)
    }

    #[cfg(feature = "alloc")]
    fn resolver(&self) -> Option<alloc::sync::Arc<dyn Resolver>> {
        self.host.resolver()
    }

    fn adopt(&mut self, connection: &mut dyn Any) -> Result<SourceId, IoError> {
        let (new, ()) = self.open(|host, new| host.adopt(connection, new))?;
        Ok(new)
    }

    fn is_stopping(&mut self) -> bool {
        let task = self.id();
        self.host.is_stopping(task)
    }

    fn stop(&mut self) -> Result<(), IoError> {
        self.host.stop()
    }

    #[cfg(feature = "alloc")]
    fn has_room(&self) -> bool {
        Cx::has_room(self)
    }

    #[inline]
    fn spawn(&mut self, run_context: &'d RunContext<'d>, task: &mut Option<Owned<'d>>) -> TaskId {
        self.spawn_as(|id| {
            let task = Async::of(Handle::new(run_context), task.take()?);
            task.is(id);
            Some(task.into())
        })
    }

    fn wake(&mut self, task: TaskId) -> bool {
        Cx::wake(self, task)
    }

    #[cfg(not(feature = "alloc"))]
    fn wake_all(&mut self) {
        self.kernel.wake_every_task();
    }

    fn cancel(&mut self, task: TaskId) -> bool {
        Cx::cancel(self, task)
    }

    #[cfg(feature = "alloc")]
    fn name_wait(&mut self, task: TaskId, wait: Option<NamedWait>) {
        self.host.waits_for(task, wait);
    }

    fn submit_job(&mut self, job: &mut dyn ErasedJob, blocks: bool) -> Result<JobId, Full> {
        let id = self.begin_job()?;
        let is_taken =
            if blocks { self.host.submit_blocking(id, job) } else { self.host.submit_job(id, job) };
        if is_taken {
            Ok(id)
        } else {
            self.end_job(id);
            Err(Full)
        }
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let is_there = self.host.take_job(id, job);
        if is_there {
            self.end_job(id);
        }
        is_there
    }

    fn has_job(&self, id: JobId) -> bool {
        Cx::has_job(self, id)
    }

    fn cancel_job(&mut self, id: JobId) {
        if self.end_job(id) {
            self.host.cancel_job(id);
        }
    }
}
