//! The machine as the tasks see it: sources, jobs and a clock.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sinbin_core::kernel::Failure;
use sinbin_core::task::{AsyncHost, ErasedJob, Label};
use sinbin_core::{Host, Instant, Interest, IoError, JobId, Kernel, Limits, SourceId, Step, TaskId};

use crate::machine::clients::{Client, SLOW_READ, Stage, quoted};
use crate::machine::{Event, Machine, Peer, Socket, Watched};
use crate::world::Fib;

impl Machine<'_> {
    /// Lets what the running task has sent arrive.
    pub(super) fn deliver(&mut self) {
        for number in 1..=self.clients.len() {
            if self.client(number).is_some_and(Client::let_arrive) {
                self.let_read(number);
            }
        }
    }

    fn client_of(&self, source: SourceId) -> Result<usize, IoError> {
        match self.sources.get(&source).map(|socket| socket.peer) {
            Some(Peer::Client(number)) => Ok(number),
            Some(Peer::Backlog) => Err(IoError::Unsupported),
            None => Err(IoError::Closed),
        }
    }

    /// Schedules that the client receives, after a delay of the network.
    pub(super) fn let_read(&mut self, number: usize) {
        let delay = self.world.between(50, 400);
        let Some(client) = self.client(number).filter(|client| !client.will_read && !client.is_gone()) else {
            return;
        };
        client.will_read = true;
        let delay = if client.is_slow { SLOW_READ } else { delay };
        self.schedule(delay, Event::Read(number));
    }
}

impl<'d> Host for Machine<'d> {
    type Storage = Limits;
    type Task = Watched<'d>;

    fn accept(&mut self, _: SourceId, new: SourceId) -> Result<(), IoError> {
        let number = self.backlog.pop_front().ok_or(IoError::WouldBlock)?;
        let client = self.client(number).ok_or(IoError::Reset)?;
        if client.is_reset {
            return Err(IoError::Reset);
        }
        client.stage = Stage::Connected;
        client.source = Some(new);
        self.sources.insert(new, Socket { peer: Peer::Client(number), watched: Interest::NONE });
        self.accepted = Some(number);
        self.deed(format!("accepts client {number}"));
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let number = self.client_of(source)?;
        let client = self.client(number).ok_or(IoError::Closed)?;
        if client.is_reset {
            return Err(IoError::Reset);
        }
        if client.inbox.is_empty() && !client.has_finished {
            return Err(IoError::WouldBlock);
        }
        let count = buffer.len().min(client.inbox.len());
        buffer.iter_mut().zip(client.inbox.drain(..count)).for_each(|(to, from)| *to = from);
        self.deed(match count {
            0 => "receives the end of the stream".to_owned(),
            _ => format!("receives {}", quoted(&buffer[..count])),
        });
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let number = self.client_of(source)?;
        let client = self.client(number).ok_or(IoError::Closed)?;
        if client.is_reset {
            return Err(IoError::Reset);
        }
        let count = bytes.len().min(client.room());
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        client.leaving.0.extend(&bytes[..count]);
        self.deed(format!("sends {}", quoted(&bytes[..count])));
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        let number = self.client_of(source);
        self.sources.remove(&source);
        let Ok(number) = number else { return };
        if let Some(client) = self.client(number) {
            client.leaving.1 = true;
        }
        self.deed(format!("closes the connection of client {number}"));
    }

    fn serve(&mut self, _: SourceId, _: SourceId) -> Watched<'d> {
        unreachable!("the programs accept by themselves")
    }

    fn clock(&self, turn: Instant) -> Instant {
        turn.max(self.now)
    }

    fn spawned_by(&mut self, _: TaskId, task: TaskId) {
        self.know(task, None);
        let client = self.accepted.take();
        if let Some(known) = self.tasks.get_mut(&task) {
            known.client = client;
        }
        self.deed(format!("spawns task {task}"));
    }

    fn stored(&mut self, task: TaskId, label: impl FnOnce() -> Option<Label>) {
        self.know(task, label());
    }

    fn before_step(&mut self, kernel: &Kernel<Limits>) {
        self.record_step(kernel);
        self.record_timeouts(kernel);
    }

    fn after_step(&mut self, kernel: &Kernel<Limits>, step: &Step) {
        self.end_step(kernel, step);
    }

    fn ended(&mut self, task: TaskId, _: Option<Failure>) {
        // A cancelled task may be dropped where it stands, and closes its connection then.
        for deed in std::mem::take(&mut self.deeds) {
            if let Some((_, caption)) = &mut self.parked {
                *caption = format!("{caption}, and {deed}");
            }
        }
        self.deliver();
        self.tasks.remove(&task);
    }
}

impl<'d> AsyncHost<'d> for Machine<'d> {
    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        self.sources.insert(new, Socket { peer: Peer::Backlog, watched: Interest::NONE });
        self.deed(format!("listens on {address}"));
        Ok(address)
    }

    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        let number = u8::try_from(self.client_of(source).ok()?).ok()?;
        Some(SocketAddr::new(IpAddr::from([10, 0, 1, number]), 4000))
    }

    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let Some(job) = job.job().downcast_mut::<Option<Fib>>().and_then(Option::take) else {
            return false;
        };
        self.deed(format!("submits fib({}) as job {id}", job.n));
        if let Some((id, end)) = self.jobs.submit(id, job, self.now) {
            self.schedule(end.since(self.now), Event::Job(id));
        }
        true
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let mut value = self.jobs.take(id);
        value.is_some() && job.put(&mut value)
    }

    fn cancel_job(&mut self, id: JobId) {
        self.deed(format!("cancels job {id}"));
        self.jobs.cancel(id);
        self.begin_jobs(Duration::ZERO);
    }
}
