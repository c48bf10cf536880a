//! A host whose connections are wires, with the other ends under control of the test.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use sinbin_core::exec::Jobs;
use sinbin_core::fib::FibJob;
use sinbin_core::kernel::Failure;
use sinbin_core::serve::Acceptor;
use sinbin_core::{
    Cx, Executor, Host, Instant, Interest, IoError, Job, JobId, Limits, Progress, Rest, Serves, Service,
    SourceId, Step, Task, TaskId,
};

/// A connection, from the other end.
#[derive(Default)]
pub struct Wire {
    /// The results of the next receives. Empty bytes mean the end of the stream.
    pub says: VecDeque<Result<Vec<u8>, IoError>>,
    pub got: Vec<u8>,
    /// The number of bytes that can still be sent to it.
    pub room: usize,
    /// The error of every send, once the connection is broken.
    pub breaks: Option<IoError>,
}

impl Wire {
    pub fn new(says: &[&[u8]]) -> Self {
        let says = says.iter().map(|bytes| Ok(bytes.to_vec())).collect();
        Self { says, room: usize::MAX, ..Self::default() }
    }
}

/// The host of a service.
pub struct Wires<S> {
    service: S,
    pub arrivals: VecDeque<Result<Wire, IoError>>,
    pub wires: BTreeMap<SourceId, Wire>,
    /// The wires of closed connections, in the order of closing.
    pub closed: Vec<Wire>,
    pub listens: bool,
    pub jobs: Vec<(JobId, FibJob)>,
    pub results: BTreeMap<JobId, u64>,
    pub ended: Vec<(TaskId, Option<Failure>)>,
}

/// The function that a task calls in its only step.
pub type Once<S> = fn(&mut Cx<'_, Wires<S>>) -> Step;

pub enum Runs<S: Service> {
    Accepts(Acceptor),
    Serves(S::Conn),
    Does(Plain<S>),
    /// Like `Does`, but its panics are caught. An assertion in such a task would not fail the test.
    Panics(Plain<S>),
}

/// A task without the optional methods.
pub struct Plain<S: Service>(pub Once<S>);

impl<S: Service> Task<Wires<S>> for Plain<S> {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Wires<S>>) -> Step {
        (self.0)(cx)
    }
}

impl<S: Service<Conn: Task<Wires<S>>>> Task<Wires<S>> for Runs<S> {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Wires<S>>) -> Step {
        match self.get_mut() {
            Self::Accepts(task) => Pin::new(task).resume(cx),
            Self::Serves(task) => Pin::new(task).resume(cx),
            Self::Does(task) => Pin::new(task).resume(cx),
            Self::Panics(task) => {
                let step = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *task).resume(cx)));
                step.unwrap_or_else(|_| {
                    Pin::new(task).panicked(cx);
                    Step::Done
                })
            }
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Wires<S>>) {
        match self.get_mut() {
            Self::Accepts(task) => Pin::new(task).end(cx),
            Self::Serves(task) => Pin::new(task).end(cx),
            Self::Does(task) | Self::Panics(task) => Pin::new(task).end(cx),
        }
    }
}

impl<S: Service> Host for Wires<S> {
    type Storage = Limits;
    type Task = Runs<S>;

    fn accept(&mut self, _: SourceId, new: SourceId) -> Result<(), IoError> {
        self.wires.insert(new, self.arrivals.pop_front().ok_or(IoError::WouldBlock)??);
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let wire = self.wires.get_mut(&source).ok_or(IoError::Closed)?;
        let bytes = match wire.says.front_mut() {
            None => return Err(IoError::WouldBlock),
            Some(Err(error)) => {
                let error = *error;
                wire.says.pop_front();
                return Err(error);
            }
            Some(Ok(bytes)) => bytes,
        };
        let count = bytes.len().min(buffer.len());
        buffer.iter_mut().zip(bytes.drain(..count)).for_each(|(to, from)| *to = from);
        if count > 0 && bytes.is_empty() {
            wire.says.pop_front();
        }
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let wire = self.wires.get_mut(&source).ok_or(IoError::Closed)?;
        if let Some(error) = wire.breaks {
            return Err(error);
        }
        let count = bytes.len().min(wire.room);
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        wire.room -= count;
        wire.got.extend(&bytes[..count]);
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        match self.wires.remove(&source) {
            Some(wire) => self.closed.push(wire),
            None => assert!(std::mem::replace(&mut self.listens, false), "a source is closed once"),
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> Runs<S> {
        Runs::Serves(self.service.connect(connection))
    }

    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        self.ended.push((task, failure));
    }
}

impl<S: Service> Serves<S> for Wires<S> {
    fn service(&self) -> &S {
        &self.service
    }
}

impl<S: Service> Jobs<FibJob> for Wires<S> {
    fn submit(&mut self, id: JobId, job: FibJob) {
        self.jobs.push((id, job));
    }

    fn take(&mut self, id: JobId) -> Option<u64> {
        self.results.remove(&id)
    }

    fn cancel(&mut self, id: JobId) {
        self.jobs.retain(|(job, _)| *job != id);
        self.results.remove(&id);
    }
}

/// A loop with its host and a listener.
pub struct World<S: Service<Conn: Task<Wires<S>>>> {
    pub executor: Executor<Wires<S>>,
    pub host: Wires<S>,
    pub now: Instant,
    pub listener: SourceId,
    pub acceptor: TaskId,
}

impl<S: Service<Conn: Task<Wires<S>>>> World<S> {
    pub fn new(service: S, limits: &Limits) -> Self {
        let mut executor = Executor::new(limits);
        let listener = executor.kernel.open().expect("the limit is not reached");
        let acceptor =
            executor.spawn(Runs::Accepts(Acceptor::new(listener))).ok().expect("the limit is not reached");
        let host = Wires {
            service,
            arrivals: VecDeque::new(),
            wires: BTreeMap::new(),
            closed: Vec::new(),
            listens: true,
            jobs: Vec::new(),
            results: BTreeMap::new(),
            ended: Vec::new(),
        };
        Self { executor, host, now: Instant::ZERO, listener, acceptor }
    }

    /// Adds arrivals, or failures to accept one, and runs until no task can continue.
    pub fn arrive(&mut self, arrivals: impl IntoIterator<Item = Result<Wire, IoError>>) -> Rest {
        self.host.arrivals.extend(arrivals);
        self.run()
    }

    /// Returns the only connection.
    pub fn wire(&mut self) -> &mut Wire {
        let mut wires = self.host.wires.values_mut();
        let wire = wires.next().expect("there is one");
        assert!(wires.next().is_none(), "there is one");
        wire
    }

    /// Lets the only connection send more bytes.
    pub fn say(&mut self, bytes: &[u8]) -> Rest {
        self.wire().says.push_back(Ok(bytes.to_vec()));
        self.run()
    }

    pub fn turn(&mut self) -> usize {
        let steps = self.executor.turn(self.now, &mut self.host);
        assert_eq!(self.executor.kernel.audit(), Ok(()));
        steps
    }

    /// Runs turns until no task can continue at this time. Returns the state in which the loop rests.
    pub fn run(&mut self) -> Rest {
        for _ in 0..10_000 {
            self.poll();
            if self.executor.kernel.rest() != Rest::Ready {
                return self.executor.kernel.rest();
            }
            self.turn();
        }
        panic!("the loop never rests");
    }

    fn poll(&mut self) {
        let kernel = &mut self.executor.kernel;
        kernel.advance(self.now);
        if !self.host.arrivals.is_empty() {
            kernel.ready(self.listener, Interest::RECV);
        }
        for (source, wire) in &self.host.wires {
            let recv = if wire.says.is_empty() { Interest::NONE } else { Interest::RECV };
            let send = if wire.room == 0 && wire.breaks.is_none() { Interest::NONE } else { Interest::SEND };
            kernel.ready(*source, recv | send);
        }
        while kernel.next_change().is_some() {}
    }

    /// Completes all jobs.
    pub fn compute(&mut self) -> Rest {
        for (id, mut job) in self.host.jobs.drain(..) {
            let Progress::Done(value) = job.run(u32::MAX) else { panic!("it is a small one") };
            self.host.results.insert(id, value);
            self.executor.kernel.job_done(id);
        }
        self.run()
    }

    /// Returns the task that serves the last connection that was accepted.
    pub fn server(&self) -> TaskId {
        self.executor.kernel.tasks().last().expect("it is there").id
    }
}
