//! A host for tests, with sources in memory and a clock that advances to the next deadline when all tasks wait.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sinbin_core::kernel::TaskView;
use sinbin_core::task::{
    Async, AsyncHost, BoxedJob, BoxedOutput, Conn, ErasedJob, Handle, JoinHandle, NamedWait, Resolver,
};
use sinbin_core::{
    Executor, Fixed, Host, Instant, Interest, IoError, Job, JobId, Progress, Readiness, Rest, SourceId,
    TaskId,
};

/// The number of tasks that a world can hold.
pub const TASKS: usize = 24;

/// The peer of a connection: the bytes that it has sent, and those that it has received.
#[derive(Default)]
pub struct Peer {
    pub inbox: VecDeque<u8>,
    pub outbox: Vec<u8>,
    /// The number of bytes that can still be sent to the peer.
    pub room: usize,
    /// True if the peer has sent its last byte.
    pub finished: bool,
    /// True if the connection's sending direction is shut down.
    pub is_shut: bool,
    /// The error of every operation, once the connection is broken.
    pub fails: Option<IoError>,
}

impl Peer {
    fn readiness(&self) -> Readiness {
        if self.fails.is_some() {
            return Interest::RECV | Interest::SEND;
        }
        let recv = if self.inbox.is_empty() && !self.finished { Interest::NONE } else { Interest::RECV };
        let send = if self.room == 0 { Interest::NONE } else { Interest::SEND };
        recv | send
    }
}

/// A host in memory.
#[derive(Default)]
pub struct Memory<'d> {
    pub peers: BTreeMap<SourceId, Peer>,
    watched: BTreeMap<SourceId, Interest>,
    /// The listeners, each with the results of its next accepts.
    pub listeners: BTreeMap<SourceId, VecDeque<Result<Peer, IoError>>>,
    /// The results of the next calls of `connected`.
    pub dialled: VecDeque<Result<(), IoError>>,
    /// The addresses that tasks have connected to, in order.
    pub dials: Vec<(SourceId, SocketAddr)>,
    /// The results of connecting to addresses. An attempt at another address waits for its result. If there are none,
    /// `dialled` has the results.
    pub routes: BTreeMap<SocketAddr, Result<(), IoError>>,
    /// The errors of the next attempts to connect to a Unix socket.
    pub path_errors: VecDeque<IoError>,
    /// The resolver of names.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// The jobs that [`World::compute`] is to compute. Their outputs go to `results`.
    pub jobs: BTreeMap<JobId, BoxedJob>,
    results: BTreeMap<JobId, BoxedOutput>,
    /// The number of calls of `recv`.
    pub receives: usize,
    /// True if the loop is to stop.
    pub is_stopping: bool,
    /// The tasks that wait until the loop is to stop.
    stop_waiters: Vec<TaskId>,
    /// The tasks that have ended, in order.
    pub ended: Vec<TaskId>,
    /// The named synchronizers that tasks wait for.
    pub named_waits: BTreeMap<TaskId, NamedWait>,
    _tasks: PhantomData<Async<'d>>,
}

impl<'d> Host for Memory<'d> {
    type Storage = Fixed<TASKS, 8, 2, 4>;
    type Task = Async<'d>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        let arrivals = self.listeners.get_mut(&listener).ok_or(IoError::Closed)?;
        self.peers.insert(new, arrivals.pop_front().ok_or(IoError::WouldBlock)??);
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.receives += 1;
        let peer = self.peers.get_mut(&source).ok_or(IoError::Closed)?;
        if let Some(error) = peer.fails {
            return Err(error);
        }
        if peer.inbox.is_empty() && !peer.finished {
            return Err(IoError::WouldBlock);
        }
        let count = buffer.len().min(peer.inbox.len());
        buffer.iter_mut().zip(peer.inbox.drain(..count)).for_each(|(to, from)| *to = from);
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let peer = self.peers.get_mut(&source).ok_or(IoError::Closed)?;
        if let Some(error) = peer.fails {
            return Err(error);
        }
        let count = bytes.len().min(peer.room);
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        peer.room -= count;
        peer.outbox.extend(&bytes[..count]);
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        let was_there = self.peers.remove(&source).is_some() || self.listeners.remove(&source).is_some();
        assert!(was_there, "a source is closed only once");
    }

    fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> {
        unreachable!("nothing is accepted")
    }

    fn waits_for(&mut self, task: TaskId, wait: Option<NamedWait>) {
        match wait {
            Some(wait) => self.named_waits.insert(task, wait),
            None => self.named_waits.remove(&task),
        };
    }

    fn ended(&mut self, task: TaskId, failure: Option<sinbin_core::kernel::Failure>) {
        assert_eq!(failure, None, "no task here fails");
        self.ended.push(task);
    }
}

impl<'d> AsyncHost<'d> for Memory<'d> {
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        let peer = self.peers.get_mut(&source).ok_or(IoError::Closed)?;
        peer.is_shut = true;
        Ok(())
    }

    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        if address.port() == 1 {
            return Err(IoError::AddressInUse);
        }
        self.listeners.insert(new, VecDeque::new());
        Ok(address)
    }

    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        self.dials.push((new, address));
        let room = if self.routes.contains_key(&address) { usize::MAX } else { 0 };
        self.peers.insert(new, Peer { room, ..Peer::default() });
        Ok(())
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        let dialled = self.dials.iter().rfind(|(dialled, _)| *dialled == source);
        if let Some(result) = dialled.and_then(|(_, address)| self.routes.get(address)) {
            return *result;
        }
        self.dialled.pop_front().expect("a task looks when there is something new")
    }

    fn operate(
        &mut self,
        source: SourceId,
        interest: Interest,
        attempt: &mut dyn FnMut(&dyn Any) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        let operated = match self.peers.get(&source) {
            Some(peer) => attempt(peer),
            None => attempt(self.listeners.get(&source).ok_or(IoError::Closed)?),
        };
        match operated {
            Err(IoError::WouldBlock) if interest == Interest::RECV && self.is_stopping => {
                Err(IoError::Stopping)
            }
            operated => operated,
        }
    }

    fn connect_path(&mut self, _: &str, new: SourceId) -> Result<(), IoError> {
        if let Some(error) = self.path_errors.pop_front() {
            return Err(error);
        }
        self.peers.insert(new, Peer { room: usize::MAX, ..Peer::default() });
        Ok(())
    }

    fn listen_path(&mut self, _: &str, new: SourceId) -> Result<(), IoError> {
        self.listeners.insert(new, VecDeque::new());
        Ok(())
    }

    fn resolver(&self) -> Option<Arc<dyn Resolver>> {
        self.resolver.clone()
    }

    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        self.peers.get(&source).map(|_| SocketAddr::from(([127, 0, 0, 1], 4000)))
    }

    fn adopt(&mut self, connection: &mut dyn Any, new: SourceId) -> Result<(), IoError> {
        let peer = connection.downcast_mut::<Option<Peer>>().ok_or(IoError::Unsupported)?;
        self.peers.insert(new, peer.take().expect("a host takes a connection once"));
        Ok(())
    }

    fn is_stopping(&mut self, task: TaskId) -> bool {
        if !self.is_stopping {
            self.stop_waiters.push(task);
        }
        self.is_stopping
    }

    fn stop(&mut self) -> Result<(), IoError> {
        self.is_stopping = true;
        Ok(())
    }

    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        job.boxed().map(|job| self.jobs.insert(id, job)).is_some()
    }

    fn submit_blocking(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        self.submit_job(id, job)
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        self.results.remove(&id).is_some_and(|mut output| job.put(&mut *output))
    }

    fn cancel_job(&mut self, id: JobId) {
        self.jobs.remove(&id);
        self.results.remove(&id);
    }
}

/// A loop and its host. Create the world after all values that its tasks borrow.
pub struct World<'d> {
    pub executor: Box<Executor<Memory<'d>>>,
    pub host: Memory<'d>,
    pub now: Instant,
    handle: Handle<'d>,
}

impl<'d> World<'d> {
    pub fn new(handle: Handle<'d>) -> Self {
        Self {
            executor: Box::new(Executor::new(&Fixed)),
            host: Memory::default(),
            now: Instant::ZERO,
            handle,
        }
    }

    /// Spawns a task from outside of the loop.
    #[track_caller]
    pub fn spawn<F: Future + 'd>(&mut self, future: F) -> JoinHandle<'d, F::Output> {
        let (task, join_handle) = Async::new(self.handle, future);
        self.start(task);
        join_handle
    }

    #[track_caller]
    pub fn start(&mut self, task: Async<'d>) -> TaskId {
        self.executor.spawn(task).ok().expect("the limit is not reached")
    }

    /// Opens a connection to a [`Peer`].
    pub fn connect(&mut self) -> Conn<'d> {
        let source = self.executor.kernel.open().expect("the limit is not reached");
        self.host.peers.insert(source, Peer { room: usize::MAX, ..Peer::default() });
        Conn::new(self.handle, source)
    }

    pub fn peer(&mut self, source: SourceId) -> &mut Peer {
        self.host.peers.get_mut(&source).expect("it is open")
    }

    /// Adds an arrival, or a failure to accept one, to the listener.
    pub fn arrive(&mut self, arrival: Result<Peer, IoError>) {
        let (listener, arrivals) = self.host.listeners.iter_mut().next().expect("it listens");
        arrivals.push_back(arrival);
        self.executor.kernel.ready(*listener, Interest::RECV);
    }

    /// Decides the result of connecting to an address, also for attempts that wait for it.
    pub fn answer(&mut self, address: SocketAddr, result: Result<(), IoError>) {
        self.host.routes.insert(address, result);
        for (source, dialled) in &self.host.dials {
            if let Some(peer) = self.host.peers.get_mut(source).filter(|_| *dialled == address) {
                peer.room = usize::MAX;
            }
        }
        self.poll_sources();
    }

    /// Runs one slice of each job. Returns the number of jobs that completed.
    pub fn compute(&mut self) -> usize {
        let mut done = 0;
        for (id, mut job) in std::mem::take(&mut self.host.jobs) {
            match job.run(1) {
                Progress::More => drop(self.host.jobs.insert(id, job)),
                Progress::Done(output) => {
                    self.host.results.insert(id, output);
                    self.executor.kernel.job_done(id);
                    done += 1;
                }
            }
        }
        done
    }

    pub fn cancel(&mut self, task: TaskId) -> bool {
        self.executor.kernel.cancel(task)
    }

    /// Runs one turn and checks the kernel's promises. Returns the number of steps.
    pub fn turn(&mut self) -> usize {
        let steps = self.executor.turn(self.now, &mut self.host);
        assert_eq!(self.executor.kernel.audit(), Ok(()));
        self.poll_sources();
        steps
    }

    /// Runs until no task can continue, advancing the clock to each deadline. Returns the state in which the loop
    /// rests, which is never a deadline.
    pub fn run(&mut self) -> Rest {
        for _ in 0..10_000 {
            match self.executor.kernel.rest() {
                Rest::Ready => {}
                Rest::Until(deadline) if deadline < Instant::NEVER => self.now = self.now.max(deadline),
                rest => return rest,
            }
            self.turn();
        }
        panic!("the loop never rests: {}", self.list());
    }

    /// Runs until no task can continue before this much time has passed.
    pub fn run_for(&mut self, span: Duration) -> Rest {
        let end = self.now + span;
        loop {
            match self.executor.kernel.rest() {
                Rest::Ready => {}
                Rest::Until(deadline) if deadline <= end => self.now = self.now.max(deadline),
                rest => {
                    self.now = end;
                    return rest;
                }
            }
            self.turn();
        }
    }

    /// Returns the kernel's view of the task.
    pub fn view(&self, task: TaskId) -> TaskView {
        self.executor.kernel.tasks().find(|view| view.id == task).expect("it is there")
    }

    /// Returns all tasks, one per line.
    pub fn list(&self) -> String {
        self.executor.kernel.tasks().map(|view| format!("{view}\n")).collect()
    }

    fn poll_sources(&mut self) {
        let kernel = &mut self.executor.kernel;
        if self.host.is_stopping {
            for task in self.host.stop_waiters.drain(..) {
                kernel.wake(task);
            }
        }
        while let Some((source, interest)) = kernel.next_change() {
            self.host.watched.insert(source, interest);
        }
        let watched = |source| self.host.watched.get(source).copied().unwrap_or(Interest::NONE);
        for (source, peer) in &self.host.peers {
            kernel.ready(*source, peer.readiness() & watched(source));
        }
        for (listener, arrivals) in &self.host.listeners {
            let readiness = if arrivals.is_empty() { Interest::NONE } else { Interest::RECV };
            kernel.ready(*listener, readiness & watched(listener));
        }
    }
}

/// The events of a test, in order.
#[derive(Default)]
pub struct Log<T>(RefCell<Vec<T>>);

impl<T> Log<T> {
    pub fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    pub fn add(&self, what: T) {
        self.0.borrow_mut().push(what);
    }

    /// Returns the events since the last call.
    pub fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

/// Adds its text to the log when it is dropped.
pub struct Falls<'a>(pub &'a Log<&'static str>, pub &'static str);

impl Drop for Falls<'_> {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// Yields this many times, so that all other tasks have a turn each time.
pub async fn yields(handle: Handle<'_>, times: usize) {
    for _ in 0..times {
        handle.yield_now().await;
    }
}

/// Awaits all futures in one task. Every future is polled whenever the task runs, and dropped when it completes.
pub async fn join_all(futures: Vec<impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
