//! Tasks, and the context that they run in.

use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;

use crate::exec::buffers::Buffers;
use crate::exec::host::{Connects, Host, Jobs};
use crate::exec::label::Label;
use crate::job::Job;
use crate::kernel::error::{Failure, Full, IoError, Op};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::slab::NONE;
use crate::kernel::step::{Step, Wait, WakeReason};
use crate::kernel::wait_slot::WaitSlot;
use crate::kernel::{End, Kernel};

/// The maximum number of tasks that one step can spawn without a heap. To spawn more, the task yields first. With a
/// heap (feature `alloc`), only the kernel's capacity is a limit.
pub const MAX_SPAWNS: usize = 8;

/// Tasks that a step spawned and that the executor has not stored yet.
#[cfg(not(feature = "alloc"))]
pub(crate) type Spawned<T> = heapless::Vec<(TaskId, T), MAX_SPAWNS>;
#[cfg(feature = "alloc")]
pub(crate) type Spawned<T> = alloc::vec::Vec<(TaskId, T)>;

/// A task as a state machine: it runs until it has to wait, and returns what it waits for.
///
/// `H` is the host. A task that uses only the operations of [`Host`] runs on every host.
///
/// ```
/// use core::pin::Pin;
/// use core::time::Duration;
/// # use sinbin_core::{Cx, Host, Step, Task, Wait, WakeReason};
///
/// /// Ticks `left` times, once a second.
/// struct Ticker {
///     left: u32,
/// }
///
/// impl<H: Host> Task<H> for Ticker {
///     fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
///         if self.left == 0 || cx.wake_reason() == WakeReason::Cancelled {
///             return Step::Done;
///         }
///         self.left -= 1;
///         Step::Wait(Wait::time(cx.after(Some(Duration::from_secs(1)))))
///     }
/// }
/// ```
pub trait Task<H: Host> {
    /// Runs to the next wait. The returned step decides when the task runs again; [`Cx::wake_reason`] returns why it runs.
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step;

    /// Passes the task its id before its first step.
    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        let _ = id;
    }

    /// Returns the task's name and where it was spawned, if the task knows them. For reports.
    fn label(&self) -> Option<Label> {
        None
    }

    /// Returns the name of the lock, channel or event that the task waits for, if it has one. For reports.
    fn wait_name(&self) -> Option<&'static str> {
        None
    }

    /// Notifies the task that its step panicked and that the host caught the panic. [`end`](Self::end) is called next.
    fn panicked(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        let _ = cx;
    }

    /// Releases what the task holds. Called once, after [`Step::Done`] or [`Step::Fail`].
    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        let _ = cx;
    }
}

/// The context of a running task: its host, the loop's buffers, and requests to the kernel.
///
/// ```
/// use core::pin::Pin;
/// # use sinbin_core::kernel::Op;
/// # use sinbin_core::{Cx, Host, Instant, SourceId, Step, Task};
///
/// /// Reads a connection to its end, discards what it reads, and closes the connection.
/// struct Discard(SourceId);
///
/// impl<H: Host> Task<H> for Discard {
///     fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
///         let mut buffer = [0; 64];
///         match cx.recv(self.0, &mut buffer) {
///             Ok(0) => Step::Done,
///             Ok(_) => Step::Yield,
///             // If the operation would block, this is a wait until bytes come.
///             Err(error) => cx.failed(Op::Recv, self.0, error, Instant::NEVER),
///         }
///     }
///
///     fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
///         cx.close(self.0);
///     }
/// }
/// ```
pub struct Cx<'a, H: Host> {
    /// The host, for I/O.
    pub host: &'a mut H,
    /// The loop's shared buffers, and blocks for bytes that must outlive the step.
    pub buffers: &'a mut Buffers<H::Storage>,
    pub(crate) kernel: &'a mut Kernel<H::Storage>,
    pub(crate) spawned: &'a mut Spawned<H::Task>,
    /// The last task of a turn that is interrupted to store new tasks, after which the turn continues.
    pub(crate) held_back: u32,
}

impl<'a, H: Host> Cx<'a, H> {
    pub(crate) fn new(
        kernel: &'a mut Kernel<H::Storage>,
        host: &'a mut H,
        buffers: &'a mut Buffers<H::Storage>,
        spawned: &'a mut Spawned<H::Task>,
    ) -> Self {
        Self { host, buffers, kernel, spawned, held_back: NONE }
    }

    /// Returns the id of the running task.
    #[must_use]
    pub fn id(&mut self) -> TaskId {
        self.kernel.head().0
    }

    /// Returns the kernel in its state during the turn, for reports and simulators.
    #[must_use]
    pub fn kernel(&self) -> &Kernel<H::Storage> {
        self.kernel
    }

    /// Returns why the task runs.
    #[must_use]
    pub fn wake_reason(&mut self) -> WakeReason {
        self.kernel.head().1
    }

    /// Returns the slot of the wait tables whose event woke the task. Meaningful only if such an event is why the task
    /// runs.
    pub(crate) fn fired(&mut self) -> WaitSlot {
        let running = self.kernel.ready.head;
        WaitSlot(self.kernel.tasks.at(running).value.by)
    }

    /// Forgets that the event of this slot woke the task, because its operation was attempted.
    pub(crate) fn use_up(&mut self, wait_slot: WaitSlot) {
        let running = self.kernel.ready.head;
        let by = &mut self.kernel.tasks.at(running).value.by;
        if *by == wait_slot.0 {
            *by = WaitSlot::NONE.0;
        }
    }

    /// Returns the moment when the turn began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.kernel.now()
    }

    /// Returns the time by the host's clock: [`Host::clock`].
    #[must_use]
    #[inline]
    pub fn clock(&self) -> Instant {
        self.host.clock(self.now())
    }

    /// Returns the moment `span` from now by the host's clock, or [`Instant::NEVER`] without a span.
    #[must_use]
    #[inline]
    pub fn after(&self, span: Option<Duration>) -> Instant {
        span.map_or(Instant::NEVER, |span| self.clock() + span)
    }

    /// Accepts a connection from `listener` and spawns the host's task for it.
    ///
    /// # Errors
    ///
    /// Fails with the errors of [`Host::accept`], with [`IoError::Closed`] if the listener is closed, and with
    /// [`IoError::NoRoom`] also at a capacity limit of the kernel or after [`MAX_SPAWNS`] tasks in one step. No
    /// connection is lost then: it stays in the listener's backlog.
    pub fn accept(&mut self, listener: SourceId) -> Result<SourceId, IoError> {
        if !self.kernel.is_open(listener) {
            return Err(IoError::Closed);
        }
        if !self.has_room() {
            return Err(IoError::NoRoom);
        }
        let connection = self.kernel.open().map_err(|Full| IoError::NoRoom)?;
        if let Err(error) = self.host.accept(listener, connection) {
            self.kernel.close(connection);
            return Err(error);
        }
        let task = self.host.serve(listener, connection);
        let spawned = self.spawn(task);
        debug_assert!(spawned.is_ok(), "`has_room` returned true");
        if let Ok(task) = spawned {
            self.host.spawned(task, connection);
        }
        Ok(connection)
    }

    /// Starts to connect to `address`. The returned source becomes ready to send when the attempt has ended. Then call
    /// [`connected`](Self::connected).
    ///
    /// # Errors
    ///
    /// Fails with the errors of [`Connects::connect`], and with [`IoError::NoRoom`] at a capacity limit of the kernel.
    ///
    /// ```
    /// use core::net::SocketAddr;
    /// use core::pin::Pin;
    /// # use sinbin_core::exec::Connects;
    /// # use sinbin_core::kernel::Op;
    /// # use sinbin_core::{Cx, Instant, SourceId, Step, Task};
    ///
    /// /// Connects to a server, and sends a byte to it.
    /// struct Knock {
    ///     address: SocketAddr,
    ///     server: Option<SourceId>,
    /// }
    ///
    /// impl<H: Connects> Task<H> for Knock {
    ///     fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
    ///         let server = match self.server {
    ///             Some(server) => server,
    ///             None => match cx.connect(self.address) {
    ///                 Ok(server) => *self.server.insert(server),
    ///                 Err(_) => return Step::Done,
    ///             },
    ///         };
    ///         // While the attempt is in progress, this is a wait. A deadline would limit its time.
    ///         if let Err(error) = cx.connected(server) {
    ///             return cx.failed(Op::Connect, server, error, Instant::NEVER);
    ///         }
    ///         match cx.send(server, b"!") {
    ///             Ok(_) => Step::Done,
    ///             Err(error) => cx.failed(Op::Send, server, error, Instant::NEVER),
    ///         }
    ///     }
    ///
    ///     fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
    ///         if let Some(server) = self.server {
    ///             cx.close(server);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn connect(&mut self, address: SocketAddr) -> Result<SourceId, IoError>
    where
        H: Connects,
    {
        self.open(|host, new| host.connect(address, new)).map(|(source, ())| source)
    }

    /// Starts to connect to a name, which the host resolves, as [`connect`](Self::connect) does.
    ///
    /// # Errors
    ///
    /// Fails as [`connect`](Self::connect) does, and with [`IoError::Unsupported`] if the host resolves no names by
    /// itself.
    pub fn connect_name(&mut self, host: &str, port: u16) -> Result<SourceId, IoError>
    where
        H: Connects,
    {
        self.open(|of, new| of.connect_name(host, port, new)).map(|(source, ())| source)
    }

    /// Returns the outcome of an attempt to connect.
    ///
    /// # Errors
    ///
    /// Fails with the reason why there is no connection: [`IoError::WouldBlock`] if the attempt is still in progress.
    pub fn connected(&mut self, source: SourceId) -> Result<(), IoError>
    where
        H: Connects,
    {
        self.host.connected(source)
    }

    /// Receives from `source`: [`Host::recv`].
    ///
    /// # Errors
    ///
    /// Fails with the errors of the host.
    pub fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.host.recv(source, buffer)
    }

    /// Sends to `source`: [`Host::send`].
    ///
    /// # Errors
    ///
    /// Fails with the errors of the host.
    pub fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.host.send(source, bytes)
    }

    /// Sends the rest of `bytes`, of which `sent` bytes are sent already, and adds the newly sent bytes to `sent`.
    ///
    /// # Errors
    ///
    /// Returns the step to end with if not all bytes are sent: a wait until `deadline` for the source to accept more,
    /// or the end of the task, as [`failed`](Self::failed) decides.
    pub fn send_all(
        &mut self,
        source: SourceId,
        bytes: &[u8],
        sent: &mut usize,
        deadline: Instant,
    ) -> Result<(), Step> {
        while let Some(rest) = bytes.get(*sent..).filter(|rest| !rest.is_empty()) {
            match self.send(source, rest) {
                Ok(0) => return Err(self.failed(Op::Send, source, IoError::WouldBlock, deadline)),
                Ok(count) => *sent += count,
                Err(error) => return Err(self.failed(Op::Send, source, error, deadline)),
            }
        }
        Ok(())
    }

    /// Closes `source` and wakes every task that waits for it.
    pub fn close(&mut self, source: SourceId) {
        if self.kernel.close(source) {
            self.host.close(source);
        }
    }

    /// Returns the step after an operation on `source` failed. The step is a wait if the operation would block;
    /// [`Step::Done`] if the host is stopping, or if the source was closed after the task was woken; and [`Step::Fail`]
    /// otherwise.
    #[must_use]
    pub fn failed(&self, op: Op, source: SourceId, error: IoError, deadline: Instant) -> Step {
        match (error, op) {
            (IoError::WouldBlock, Op::Send | Op::Connect) => Step::Wait(Wait::send(source).until(deadline)),
            (IoError::Stopping, _) => Step::Done,
            (IoError::Closed, _) if !self.kernel.is_open(source) => Step::Done,
            (IoError::WouldBlock, _) => Step::Wait(Wait::recv(source).until(deadline)),
            _ => Step::Fail(Failure { op, source, error }),
        }
    }

    /// Spawns a task. Its first step is in the next turn.
    ///
    /// # Errors
    ///
    /// Returns the task if the kernel is full, or after [`MAX_SPAWNS`] tasks in one step.
    pub fn spawn(&mut self, task: H::Task) -> Result<TaskId, H::Task> {
        let mut task = Some(task);
        let id = self.spawn_as(|_| task.take());
        task.map_or(Ok(id), Err)
    }

    /// Spawns the task that `make` returns for the new id. Does not call `make` if there is no capacity.
    #[inline]
    pub(crate) fn spawn_as(&mut self, make: impl FnOnce(TaskId) -> Option<H::Task>) -> TaskId {
        let nobody = TaskId::from_bits(u64::MAX);
        if !self.has_room() {
            return nobody;
        }
        let Ok(id) = self.kernel.spawn() else { return nobody };
        let parent = self.kernel.head().0;
        self.host.spawned_by(parent, id);
        if self.kernel.end != End::Open {
            self.kernel.cancel(id);
        }
        self.hold_turn();
        if let Some(task) = make(id) {
            #[cfg(feature = "alloc")]
            self.spawned.push((id, task));
            // `has_room` returned true.
            #[cfg(not(feature = "alloc"))]
            self.spawned.push((id, task)).ok();
        }
        id
    }

    /// Interrupts the turn after this step, so that new tasks are stored before other tasks run.
    fn hold_turn(&mut self) {
        let running = self.kernel.ready.head;
        if self.kernel.last != running {
            self.held_back = core::mem::replace(&mut self.kernel.last, running);
        }
    }

    /// Continues the interrupted turn.
    pub(crate) fn continue_turn(&mut self) {
        self.kernel.last = core::mem::replace(&mut self.held_back, NONE);
    }

    /// Returns true if [`spawn`](Self::spawn) would accept another task.
    #[must_use]
    pub fn has_room(&self) -> bool {
        #[cfg(feature = "alloc")]
        let is_full = false;
        #[cfg(not(feature = "alloc"))]
        let is_full = self.spawned.is_full();
        !is_full && !self.kernel.is_full() && self.kernel.end != End::Closed
    }

    /// Returns true if the running task is cancelled and no finished step has delivered that. If no task is cancelled,
    /// the check is one comparison.
    #[inline]
    pub(crate) fn is_cancelled(&mut self) -> bool {
        self.kernel.cancelling > 0 && self.kernel.is_head_to_be_told()
    }

    /// Delivers the cancellation of the running task in the current step, so that no later step delivers it. Returns
    /// true if there is one to deliver.
    pub(crate) fn take_cancel(&mut self) -> bool {
        self.kernel.take_cancel()
    }

    /// Opens a source and passes it to `make`, with the host. Closes the source if `make` fails.
    pub(crate) fn open<T>(
        &mut self,
        make: impl FnOnce(&mut H, SourceId) -> Result<T, IoError>,
    ) -> Result<(SourceId, T), IoError> {
        let source = self.kernel.open().map_err(|Full| IoError::NoRoom)?;
        match make(self.host, source) {
            Ok(made) => Ok((source, made)),
            Err(error) => {
                self.kernel.close(source);
                Err(error)
            }
        }
    }

    pub(crate) fn begin_job(&mut self) -> Result<JobId, Full> {
        self.kernel.begin_job()
    }

    pub(crate) fn has_job(&self, id: JobId) -> bool {
        self.kernel.has_job(id)
    }

    pub(crate) fn end_job(&mut self, id: JobId) -> bool {
        self.kernel.end_job(id)
    }

    /// Ends another task's wait: [`Kernel::wake`].
    pub fn wake(&mut self, task: TaskId) -> bool {
        self.kernel.wake(task)
    }

    /// Cancels another task: [`Kernel::cancel_once`].
    pub fn cancel(&mut self, task: TaskId) -> bool {
        self.kernel.cancel_once(task)
    }

    /// Submits a job to the host. Wait for the returned id, then call [`take_job`](Self::take_job).
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if the kernel has no free slot for a job.
    pub fn submit<J: Job>(&mut self, job: J) -> Result<JobId, Full>
    where
        H: Jobs<J>,
    {
        let id = self.kernel.begin_job()?;
        self.host.submit(id, job);
        Ok(id)
    }

    /// Removes and returns the job's result, if the job is done. Its id is no longer valid then.
    pub fn take_job<J: Job>(&mut self, id: JobId) -> Option<J::Output>
    where
        H: Jobs<J>,
    {
        let output = self.host.take(id)?;
        self.kernel.end_job(id);
        Some(output)
    }

    /// Cancels the job.
    pub fn cancel_job<J: Job>(&mut self, id: JobId)
    where
        H: Jobs<J>,
    {
        if self.kernel.end_job(id) {
            self.host.cancel(id);
        }
    }
}
