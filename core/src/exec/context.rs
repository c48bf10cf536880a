//! Tasks, and what they see of the world while they run.

use core::pin::Pin;
use core::time::Duration;

use crate::exec::buffers::Buffers;
use crate::exec::host::{Host, Jobs};
use crate::exec::label::Label;
use crate::job::Job;
use crate::kernel::error::{Failure, Full, IoError, Op};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::slab::NONE;
use crate::kernel::step::{Step, Wait, WakeReason};
use crate::kernel::wait_slot::WaitSlot;
use crate::kernel::{End, Kernel};

/// How many tasks one step can spawn at least; it yields before it spawns more. With a heap (feature `alloc`), the
/// kernel's limit is the only one.
pub const MAX_SPAWNS: usize = 8;

/// Tasks that a step spawned, on their way to their places.
#[cfg(not(feature = "alloc"))]
pub(crate) type Spawned<T> = heapless::Vec<(TaskId, T), MAX_SPAWNS>;
#[cfg(feature = "alloc")]
pub(crate) type Spawned<T> = alloc::vec::Vec<(TaskId, T)>;

/// A task as a state machine: it runs until it has to wait, and says what for.
///
/// `H` is the host; a task that asks for no more of it than [`Host`] runs everywhere.
pub trait Task<H: Host> {
    /// Runs to the next wait. What it returns decides when it is called again;
    /// [`Cx::wake_reason`] says why it was.
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step;

    /// Tells it its id, before its first step.
    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        let _ = id;
    }

    /// Returns the task's name, and where it was spawned, for reports: if it knows.
    fn label(&self) -> Option<Label> {
        None
    }

    /// Says that a step ended in a panic, which the host has caught. [`end`](Self::end) comes next.
    fn panicked(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        let _ = cx;
    }

    /// Runs once, after [`Step::Done`] or [`Step::Fail`]: the place to give back what the task holds.
    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        let _ = cx;
    }
}

/// The world as a running task sees it: its host, its loop's buffers, and the kernel's requests.
pub struct Cx<'a, H: Host> {
    /// The host, for I/O.
    pub host: &'a mut H,
    /// Bytes: the loop's shared buffers, and blocks for what has to outlive the step.
    pub buffers: &'a mut Buffers<H::Storage>,
    pub(crate) kernel: &'a mut Kernel<H::Storage>,
    pub(crate) spawned: &'a mut Spawned<H::Task>,
    /// The last task of the turn, which goes on when new tasks are settled.
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

    /// Which task this is.
    #[must_use]
    pub fn id(&mut self) -> TaskId {
        self.kernel.head().0
    }

    /// The kernel as it is in the middle of a turn, for reports and simulators.
    #[must_use]
    pub fn kernel(&self) -> &Kernel<H::Storage> {
        self.kernel
    }

    /// Why it runs.
    #[must_use]
    pub fn wake_reason(&mut self) -> WakeReason {
        self.kernel.head().1
    }

    /// The place whose readiness, hangup or end woke the task, where that is why it runs.
    pub(crate) fn fired(&mut self) -> WaitSlot {
        let running = self.kernel.ready.head;
        WaitSlot(self.kernel.tasks.at(running).value.by)
    }

    /// When the turn began.
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

    /// Returns the moment `span` from now, by the host's clock; [`Instant::NEVER`] without a span.
    #[must_use]
    #[inline]
    pub fn after(&self, span: Option<Duration>) -> Instant {
        span.map_or(Instant::NEVER, |span| self.clock() + span)
    }

    /// Takes a connection from `listener` and spawns the host's task for it.
    ///
    /// # Errors
    ///
    /// Those of [`Host::accept`]; [`IoError::NoRoom`] also at a limit of the kernel, or after
    /// [`MAX_SPAWNS`] in one step. Nothing is lost then:
    /// the connection waits with the listener.
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
        debug_assert!(spawned.is_ok(), "there was room");
        Ok(connection)
    }

    /// Receives from `source`: [`Host::recv`].
    ///
    /// # Errors
    ///
    /// Those of the host.
    pub fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.host.recv(source, buffer)
    }

    /// Sends to `source`: [`Host::send`].
    ///
    /// # Errors
    ///
    /// Those of the host.
    pub fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.host.send(source, bytes)
    }

    /// Sends what is left of `bytes`, of which the first `sent` are sent already, and counts on there.
    ///
    /// # Errors
    ///
    /// The step to end with where not all is sent: a wait for the source to take more, until `deadline`, or the end of the
    /// task, as [`failed`](Self::failed) has it.
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

    /// Closes `source`; whoever waits for it is told.
    pub fn close(&mut self, source: SourceId) {
        if self.kernel.close(source) {
            self.host.close(source);
        }
    }

    /// The step after an operation on `source` failed: a wait where it would block, a good end where the host
    /// is stopping or somebody has closed the source (the task was woken before that), else a bad one.
    #[must_use]
    pub fn failed(&self, op: Op, source: SourceId, error: IoError, deadline: Instant) -> Step {
        match (error, op) {
            (IoError::WouldBlock, Op::Send) => Step::Wait(Wait::send(source).until(deadline)),
            (IoError::Stopping, _) => Step::Done,
            (IoError::Closed, _) if !self.kernel.is_open(source) => Step::Done,
            (IoError::WouldBlock, _) => Step::Wait(Wait::recv(source).until(deadline)),
            _ => Step::Fail(Failure { op, source, error }),
        }
    }

    /// Spawns a task; it runs in the next turn.
    ///
    /// # Errors
    ///
    /// Gives the task back when the kernel is full, or after [`MAX_SPAWNS`] in one step.
    pub fn spawn(&mut self, task: H::Task) -> Result<TaskId, H::Task> {
        let mut task = Some(task);
        let id = self.spawn_as(|_| task.take());
        task.map_or(Ok(id), Err)
    }

    /// Spawns what `make` makes, to which it tells the id; without room it does not call it.
    #[inline]
    pub(crate) fn spawn_as(&mut self, make: impl FnOnce(TaskId) -> Option<H::Task>) -> TaskId {
        let nobody = TaskId::from_bits(u64::MAX);
        if !self.has_room() {
            return nobody;
        }
        let Ok(id) = self.kernel.spawn() else { return nobody };
        if self.kernel.end != End::Open {
            self.kernel.cancel(id);
        }
        self.hold_turn();
        if let Some(task) = make(id) {
            #[cfg(feature = "alloc")]
            self.spawned.push((id, task));
            // There was room.
            #[cfg(not(feature = "alloc"))]
            self.spawned.push((id, task)).ok();
        }
        id
    }

    /// Ends the turn with this step for the moment, so that new tasks are settled before others run.
    fn hold_turn(&mut self) {
        let running = self.kernel.ready.head;
        if self.kernel.last != running {
            self.held_back = core::mem::replace(&mut self.kernel.last, running);
        }
    }

    /// Goes on with it.
    pub(crate) fn continue_turn(&mut self) {
        self.kernel.last = core::mem::replace(&mut self.held_back, NONE);
    }

    /// Whether [`spawn`](Self::spawn) would take another task.
    #[must_use]
    pub fn has_room(&self) -> bool {
        #[cfg(feature = "alloc")]
        let is_full = false;
        #[cfg(not(feature = "alloc"))]
        let is_full = self.spawned.is_full();
        !is_full && !self.kernel.is_full() && self.kernel.end != End::Closed
    }

    /// Returns true if the running task is cancelled and to be told so. Where no task is, that is known at once.
    #[inline]
    pub(crate) fn is_cancelled(&mut self) -> bool {
        self.kernel.cancelling > 0 && self.kernel.is_head_to_be_told()
    }

    /// Returns true if the running task is cancelled and to be told so. The present step tells it: another call returns
    /// false.
    pub(crate) fn take_cancel(&mut self) -> bool {
        self.kernel.take_cancel()
    }

    /// Has the host make something of a new source.
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

    /// Hands a job to the host; wait for its id, then [`take_job`](Self::take_job).
    ///
    /// # Errors
    ///
    /// [`Full`] when the kernel has no place for another job.
    pub fn submit<J: Job>(&mut self, job: J) -> Result<JobId, Full>
    where
        H: Jobs<J>,
    {
        let id = self.kernel.begin_job()?;
        self.host.submit(id, job);
        Ok(id)
    }

    /// The job's result, once it is there; the id is gone then.
    pub fn take_job<J: Job>(&mut self, id: JobId) -> Option<J::Output>
    where
        H: Jobs<J>,
    {
        let output = self.host.take(id)?;
        self.kernel.end_job(id);
        Some(output)
    }

    /// Gives the job up.
    pub fn cancel_job<J: Job>(&mut self, id: JobId)
    where
        H: Jobs<J>,
    {
        if self.kernel.end_job(id) {
            self.host.cancel(id);
        }
    }
}
