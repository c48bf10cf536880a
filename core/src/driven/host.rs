//! The host that the tasks see. It contains the driver's input, and collects the commands to the driver.

mod requests;

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::driven::compute::{Compute, Sliced, Submitted, Work};
use crate::driven::connects::Connects;
use crate::driven::guard::DriversGuard;
use crate::driven::sources::{ADDRESS, Entry, Sources};
use crate::driven::{Command, ConnectId, Event, SourceHandle, Tally};
use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::{Host, Jobs, Serves, Service};
use crate::exec::label::{Label, NamedWait};
use crate::job::{Job, WireJob};
use crate::kernel::Kernel;
use crate::kernel::error::IoError;
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::id_map::IdMap;
use crate::kernel::interest::Interest;
use crate::kernel::storage::{Limits, Storage, TaskNote};
use crate::serve::acceptor::Acceptor;
use crate::serve::guard::{Guard as _, Guarded};
use crate::serve::task::ServeTask;

/// A connection that waits for its acceptor.
struct Arrival {
    listener: SourceId,
    connection: SourceHandle,
    peer: Option<[u8; ADDRESS]>,
}

/// The host of a [`Driven`](crate::driven::Driven) loop that runs the service `S`, with the kernel's tables in `M`.
pub struct DrivenHost<S: Service, M = Limits> {
    service: S,
    storage: M,
    pub(super) sources: Sources,
    pub(super) connects: Connects,
    arrivals: Vec<Arrival>,
    listeners: Vec<SourceId>,
    work: Work<S::Job>,
    /// The bytes of this call's events, and the number of them that belong to processed events.
    input: Vec<u8>,
    told: usize,
    /// The bytes of this call's commands.
    output: Vec<u8>,
    commands: Vec<Command>,
    /// The number of commands, and of their bytes, in the last call.
    before: (usize, usize),
    stopping: bool,
    /// The tasks that wait until the loop is to stop.
    stop_waiters: IdMap<TaskId, ()>,
    /// True if some events are reported in later calls.
    pub(super) has_more: bool,
    pub(super) counts: Tally,
    pub(super) guarded: DriversGuard,
    /// Jobs that panicked while they were encoded.
    lost: Vec<JobId>,
}

impl<S: Service<Job: WireJob>, M: Storage> DrivenHost<S, M> {
    pub(super) fn new(service: S, limits: &Limits, storage: M, compute: Compute) -> Self {
        Self {
            service,
            storage,
            sources: Sources::new(limits.tasks()),
            connects: Connects::default(),
            arrivals: Vec::new(),
            listeners: Vec::new(),
            work: Work::new(limits, compute),
            input: Vec::new(),
            told: 0,
            output: Vec::new(),
            commands: Vec::new(),
            before: (0, 0),
            stopping: false,
            stop_waiters: IdMap::new(),
            has_more: false,
            counts: Tally::default(),
            guarded: DriversGuard::default(),
            lost: Vec::new(),
        }
    }

    /// Drops all jobs and results.
    pub(super) fn clear(&mut self) {
        self.work.clear(self.guarded);
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, window: usize, input: Vec<u8>) {
        self.input = input;
        self.told = 0;
        self.has_more = false;
        // A turn usually resembles the previous one.
        self.commands.reserve(self.before.0);
        self.output.reserve(self.before.1);
        self.sources.begin(u32::try_from(window).unwrap_or(u32::MAX));
    }

    /// Ends a call.
    pub(super) fn finish(&mut self) -> (Vec<Command>, Vec<u8>) {
        let Self { sources, commands, .. } = self;
        sources.finish(|command| commands.push(command));
        self.input = Vec::new();
        self.before = (commands.len(), self.output.len());
        (mem::take(&mut self.commands), mem::take(&mut self.output))
    }

    /// Returns the number of connections that were not accepted yet.
    pub(super) fn arrivals(&self) -> usize {
        self.arrivals.len()
    }

    /// Returns the number of listeners that are not closed.
    pub(super) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Returns true if this loop has jobs to compute.
    pub(super) fn is_busy(&self) -> bool {
        self.work.is_busy()
    }

    /// Runs a slice of a job that this loop computes. Returns true if there was such a job.
    pub(super) fn slice(&mut self, kernel: &mut Kernel<M>) -> bool {
        for job in self.lost.drain(..) {
            kernel.end_job(job);
        }
        match self.work.slice(self.guarded) {
            None => return false,
            Some(Sliced::More) => {}
            Some(Sliced::Done(job)) => kernel.job_done(job),
            Some(Sliced::Lost(job)) => {
                kernel.end_job(job);
            }
        }
        true
    }

    /// Closes the listeners if the service is to stop and every connection was accepted.
    pub(super) fn close_listeners(&mut self, kernel: &mut Kernel<M>) {
        if self.stopping && self.arrivals.is_empty() {
            let mut listeners = mem::take(&mut self.listeners);
            listeners.extend(self.connects.listeners());
            for listener in listeners {
                if kernel.close(listener) {
                    Host::close(self, listener);
                }
            }
        }
    }

    /// Processes an event from the driver.
    pub(super) fn tell(&mut self, event: Event, executor: &mut Executor<Self>)
    where
        S::Conn: Task<Self>,
    {
        let known = match event {
            Event::Listener(handle) => self.listen(handle, executor),
            Event::Accepted { listener, connection, len } => self.arrive(listener, connection, len),
            Event::Received { source, len } => self.receive(source, len),
            Event::Computed { job, len } => self.computed(job, len, &mut executor.kernel),
            Event::Lost(job) => self.work.lost(job) && executor.kernel.end_job(job),
            Event::Ended(source) => self.sources.touch(source).map(|entry| entry.ended()).is_some(),
            Event::Writable(source) => self.sources.touch(source).map(|entry| entry.writable()).is_some(),
            Event::Stuck(source) => self.sources.touch(source).map(|entry| entry.stuck()).is_some(),
            Event::Hangup(source) => self.hang_up(source, &mut executor.kernel),
            Event::Failed(source) => self.sources.touch(source).map(|entry| entry.failed()).is_some(),
            Event::Idle(source) => self.sources.touch(source).map(|entry| entry.idle()).is_some(),
            Event::Stop => {
                self.stopping = true;
                for (task, ()) in self.stop_waiters.drain() {
                    executor.kernel.wake(task);
                }
                true
            }
            Event::Took(nanos) => {
                executor.kernel.turn_took(Duration::from_nanos(nanos));
                true
            }
            Event::More => {
                self.has_more = true;
                true
            }
            Event::Connected { request, source, len } => {
                self.connect_done(request, source, len, &mut executor.kernel)
            }
            Event::ConnectFailed { request, reason } => {
                let source = SourceId::from_bits(request.0);
                let is_known = self.connects.is_pending(source);
                if is_known {
                    self.connects.fail(source, reason);
                    executor.kernel.ready(source, self.connects.awaited(source));
                }
                is_known
            }
            Event::WallClock(_) => true,
            Event::Entropy { len } => self.take_input(len).is_some(),
        };
        if !known {
            self.counts.ignored += 1;
        }
    }

    fn listen(&mut self, handle: SourceHandle, executor: &mut Executor<Self>) -> bool
    where
        S::Conn: Task<Self>,
    {
        if !self.sources.is_free(handle) {
            return false;
        }
        let Ok(source) = executor.kernel.open() else { return false };
        self.insert(source, handle, None);
        if executor.spawn(ServeTask::accept(Acceptor::new(source))).is_err() {
            executor.kernel.close(source);
            self.sources.remove(source);
            return false;
        }
        self.listeners.push(source);
        true
    }

    /// Adds a source, whose handle a reader of the tables can see.
    fn insert(&mut self, source: SourceId, handle: SourceHandle, peer: Option<[u8; ADDRESS]>) {
        self.storage.note_handle(source, handle.0);
        self.sources.insert(source, handle, peer);
    }

    fn arrive(&mut self, listener: SourceHandle, connection: SourceHandle, len: u32) -> bool {
        let Some(bytes) = self.take_input(len) else { return false };
        let peer = self.input[bytes].try_into().ok();
        let is_new = self.sources.is_free(connection);
        // Connections can't be accepted from a connection.
        let Self { listeners, connects, .. } = self;
        let is_listener =
            |(id, _): &(SourceId, &mut Entry)| listeners.contains(id) || connects.is_listener(*id);
        let touched = self.sources.touch_and_name(listener).filter(is_listener);
        let id = touched.filter(|_| is_new).map(|(id, entry)| {
            entry.arrived();
            id
        });
        let Some(listener) = id else {
            self.turn_away(connection);
            return false;
        };
        self.arrivals.push(Arrival { listener, connection, peer });
        true
    }

    /// Closes a connection that can't be accepted, unless its handle already belongs to another source.
    fn turn_away(&mut self, connection: SourceHandle) {
        if !self.sources.is_taken(connection) {
            self.commands.push(Command::Close(connection));
        }
    }

    /// Closes the connections that have arrived from a listener that its task closes.
    fn turn_away_arrivals(&mut self, listener: SourceId) {
        let gone: Vec<_> = self.arrivals.extract_if(.., |arrival| arrival.listener == listener).collect();
        for arrival in gone {
            self.turn_away(arrival.connection);
        }
    }

    /// Records a requested connection, and wakes the task that waits for it.
    fn connect_done(
        &mut self,
        request: ConnectId,
        handle: SourceHandle,
        len: u32,
        kernel: &mut Kernel<M>,
    ) -> bool {
        let Some(bytes) = self.take_input(len) else { return false };
        let source = SourceId::from_bits(request.0);
        if !self.connects.is_pending(source) || !self.sources.is_free(handle) {
            self.turn_away(handle);
            return false;
        }
        self.insert(source, handle, self.input[bytes].try_into().ok());
        let interest = self.connects.establish(source);
        self.sources.change(source, interest);
        kernel.ready(source, self.connects.awaited(source));
        true
    }

    fn receive(&mut self, source: SourceHandle, len: u32) -> bool {
        let Some(bytes) = self.take_input(len) else { return false };
        let (Ok(start), Ok(end)) = (u32::try_from(bytes.start), u32::try_from(bytes.end)) else {
            return false;
        };
        self.sources.touch(source).is_some_and(|entry| entry.received(start..end))
    }

    /// Reports a hangup to the kernel, which expects it of every source that it watches, whatever the interest is. If a
    /// task begins to wait for the hangup later, its interest contains the hangup. Or the source is also watched for
    /// the end of the stream; after that was received, the interest contains only the hangup.
    fn hang_up(&mut self, source: SourceHandle, kernel: &mut Kernel<M>) -> bool {
        let Some((id, entry)) = self.sources.touch_and_name(source) else { return false };
        entry.hung_up();
        kernel.ready(id, Interest::HANGUP);
        true
    }

    fn computed(&mut self, job: JobId, len: u32, kernel: &mut Kernel<M>) -> bool {
        let Some(bytes) = self.take_input(len) else { return false };
        match self.work.computed(job, &self.input[bytes], self.guarded) {
            None => return false,
            Some(true) => kernel.job_done(job),
            // The bytes are not a result, so the job has none.
            Some(false) => {
                kernel.end_job(job);
            }
        }
        true
    }

    /// Takes the next `len` bytes of the input, and returns their range.
    fn take_input(&mut self, len: u32) -> Option<core::ops::Range<usize>> {
        let start = self.told;
        let end = start.checked_add(len as usize).filter(|end| *end <= self.input.len())?;
        self.told = end;
        Some(start..end)
    }
}

impl<S: Service<Job: WireJob>, M: Storage> Host for DrivenHost<S, M> {
    type Storage = M;
    type Task = ServeTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        let of_listener = |arrival: &Arrival| arrival.listener == listener;
        let Some(index) = self.arrivals.iter().position(of_listener) else {
            let is_given = self.listeners.contains(&listener);
            return Err(if is_given { IoError::WouldBlock } else { self.connects.none_arrived(listener) });
        };
        let arrival = self.arrivals.remove(index);
        if let Some(entry) = self.sources.get_mut(listener) {
            entry.taken();
        }
        // The handle was given to another connection while this one waited.
        if !self.sources.is_free(arrival.connection) {
            self.counts.ignored += 1;
            return Err(IoError::Reset);
        }
        self.insert(new, arrival.connection, arrival.peer);
        if self.connects.is_listener(listener) {
            self.connects.accepted(new);
        }
        Ok(())
    }

    #[inline]
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let bytes = &self.input[self.sources.recv(source, buffer.len())?];
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let (source, count) = self.sources.send(source, bytes.len())?;
        self.output.extend_from_slice(&bytes[..count as usize]);
        match self.commands.last_mut() {
            Some(Command::Send { source: last, len }) if *last == source => *len += count,
            _ => self.commands.push(Command::Send { source, len: count }),
        }
        Ok(count as usize)
    }

    fn close(&mut self, source: SourceId) {
        if let Some(handle) = self.sources.remove(source) {
            self.commands.push(Command::Close(handle));
        }
        if self.connects.is_listener(source) {
            self.turn_away_arrivals(source);
        }
        if let Some(request) = self.connects.close(source) {
            self.commands.push(Command::Abandon(request));
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> ServeTask<S> {
        ServeTask::connect(self, connection)
    }

    #[inline]
    fn spawned_by(&mut self, parent: TaskId, task: TaskId) {
        self.storage.note_task(task, TaskNote::SpawnedBy(parent));
    }

    #[inline]
    fn stored(&mut self, task: TaskId, label: impl FnOnce() -> Option<Label>) {
        if let Ok(Some(Label { name, spawned })) = self.guarded.call(label) {
            self.storage.note_task(task, TaskNote::Named(name, spawned));
        }
    }

    #[inline]
    fn waits_for(&mut self, task: TaskId, wait: Option<NamedWait>) {
        let wait = wait.map(|wait| (wait.kind.number(), wait.name));
        self.storage.note_task(task, TaskNote::WaitsFor(wait));
    }
}

impl<S: Service<Job: WireJob>, M: Storage> Guarded for DrivenHost<S, M> {
    type Guard = DriversGuard;

    #[inline]
    fn guard(&self) -> DriversGuard {
        self.guarded
    }
}

impl<S: Service<Job: WireJob>, M: Storage> Jobs<S::Job> for DrivenHost<S, M> {
    fn submit(&mut self, id: JobId, job: S::Job) {
        let before = self.output.len();
        let (output, guarded) = (&mut self.output, self.guarded);
        match self.work.submit(id, job, guarded, &mut |bytes| output.extend_from_slice(bytes)) {
            Submitted::Away => {
                let len = u32::try_from(self.output.len() - before).unwrap_or(u32::MAX);
                self.commands.push(Command::Submit { job: id, len });
            }
            Submitted::Here => self.counts.jobs += 1,
            Submitted::Lost => {
                self.output.truncate(before);
                self.lost.push(id);
            }
        }
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as Job>::Output> {
        self.work.take(id)
    }

    fn cancel(&mut self, id: JobId) {
        match self.work.cancel(id, self.guarded) {
            Some(true) => self.commands.push(Command::Cancel(id)),
            Some(false) => self.counts.cancelled += 1,
            None => {}
        }
    }
}

impl<S: Service<Job: WireJob>, M: Storage> Serves<S> for DrivenHost<S, M> {
    #[inline]
    fn service(&self) -> &S {
        &self.service
    }
}
