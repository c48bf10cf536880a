//! A platform in memory, with clients whose bytes are lists, a clock that advances when the loop waits, and a script.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sinbin_core::serve::{Admission, Engine, Guard, Guarded, Platform, ServeTask, Subject, Until};
use sinbin_core::{Executor, Host, Instant, Interest, IoError, Limits, Serves, Service, SourceId, Task};

/// Returns the moment at this number of milliseconds after the start.
pub fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// A client's side of a connection.
#[derive(Default, Debug)]
pub struct Client {
    /// The bytes on their way to the server.
    pub sent: VecDeque<u8>,
    /// True if the client has sent its last byte.
    pub has_ended: bool,
    /// The bytes that the server has sent.
    pub got: Vec<u8>,
    /// True if the server has shut down its sending direction.
    pub is_shut: bool,
    pub is_closed: bool,
}

/// A scripted action at some time.
pub type Act<S, const SETTLE: u64> = Box<dyn FnOnce(&mut World<S, SETTLE>, &mut Executor<World<S, SETTLE>>)>;

enum Kind {
    Listener,
    /// The index of the client, and true if its connection is served. Otherwise the connection lingers.
    Connection(usize, bool),
}

thread_local! {
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Returns the reports since the last call.
pub fn reports() -> Vec<String> {
    REPORTS.take()
}

#[derive(Clone, Copy, Default)]
pub struct Catch;

impl Guard for Catch {
    type Panic = String;

    fn call<R>(self, act: impl FnOnce() -> R) -> Result<R, String> {
        catch_unwind(AssertUnwindSafe(act)).map_err(|said| {
            said.downcast_ref::<&str>().map_or_else(|| "no text".to_owned(), |said| (*said).to_owned())
        })
    }

    fn report(self, subject: Subject, line: fmt::Arguments<'_>) {
        let kind = match subject {
            Subject::Task(_) => "task",
            Subject::Source(_) => "source",
            Subject::Value => "value",
        };
        REPORTS.with_borrow_mut(|reports| reports.push(format!("{kind}: {line}")));
    }
}

/// A platform whose system reports arrivals with a delay of up to `SETTLE` milliseconds.
pub struct World<S: Service, const SETTLE: u64 = 0> {
    pub service: S,
    pub now: Instant,
    pub clients: Vec<Client>,
    /// The indexes of clients that have not been accepted yet.
    backlog: VecDeque<usize>,
    sockets: BTreeMap<SourceId, (Kind, Interest)>,
    pub room: Admission<usize>,
    /// The remaining actions, each with its time.
    script: VecDeque<(Instant, Act<S, SETTLE>)>,
    pub is_to_stop: bool,
    pub is_draining: bool,
    /// The number of connections lost to panics.
    pub panicked: usize,
    /// The number of connections of each call of `cut_off`.
    pub cut: Vec<usize>,
    /// The number of closed connections on which the system is still sending.
    pub leaving: usize,
    /// The number of remaining slices of a job.
    pub slices: usize,
    /// The waits that the loop has asked for.
    pub waits: Vec<Until>,
    /// The number of next polls that cover only some of the sources.
    pub partial: usize,
    /// True if the next wait fails.
    pub has_failed: bool,
}

impl<S: Service, const SETTLE: u64> World<S, SETTLE> {
    pub fn new(service: S, connections: usize) -> Self {
        Self {
            service,
            now: Instant::ZERO,
            clients: Vec::new(),
            backlog: VecDeque::new(),
            sockets: BTreeMap::new(),
            room: Admission::new(connections),
            script: VecDeque::new(),
            is_to_stop: false,
            is_draining: false,
            panicked: 0,
            cut: Vec::new(),
            leaving: 0,
            slices: 0,
            waits: Vec::new(),
            partial: 0,
            has_failed: false,
        }
    }

    /// Lets a client connect and send these bytes. Returns the client's index.
    pub fn connect(&mut self, bytes: &[u8]) -> usize {
        let sent = bytes.iter().copied().collect();
        self.clients.push(Client { sent, ..Client::default() });
        self.backlog.push_back(self.clients.len() - 1);
        self.clients.len() - 1
    }

    /// Schedules `act` at a time in milliseconds. Actions must be scheduled in the order of their times.
    pub fn then(&mut self, ms: u64, act: impl FnOnce(&mut Self, &mut Executor<Self>) + 'static) {
        self.script.push_back((at(ms), Box::new(act)));
    }

    /// Registers `source` as the listener.
    pub fn listen(&mut self, source: SourceId) {
        self.sockets.insert(source, (Kind::Listener, Interest::NONE));
    }

    /// Registers a client's connection as `source`, without a listener.
    pub fn adopt(&mut self, source: SourceId, client: usize) {
        self.sockets.insert(source, (Kind::Connection(client, true), Interest::NONE));
        self.room.enter();
    }

    fn client(&mut self, source: SourceId) -> Result<(&mut Client, bool), IoError> {
        match self.sockets.get(&source) {
            Some((Kind::Connection(client, is_served), _)) => Ok((&mut self.clients[*client], *is_served)),
            _ => Err(IoError::Closed),
        }
    }

    /// Returns the watched sources that are ready, with their readiness.
    fn ready(&self) -> Vec<(SourceId, Interest)> {
        let all = self.sockets.iter().filter_map(|(source, (kind, watched))| {
            let has_come = match kind {
                Kind::Listener => !self.backlog.is_empty(),
                Kind::Connection(client, _) => {
                    !self.clients[*client].sent.is_empty() || self.clients[*client].has_ended
                }
            };
            let is_ready = watched.contains(Interest::RECV) && has_come;
            is_ready.then_some((*source, Interest::RECV))
        });
        all.collect()
    }
}

impl<S: Service, const SETTLE: u64> Host for World<S, SETTLE> {
    type Storage = Limits;
    type Task = ServeTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        self.room.check(listener)?;
        let client = self.backlog.pop_front().ok_or(IoError::WouldBlock)?;
        if self.clients[client].is_closed {
            return Err(IoError::Reset);
        }
        self.adopt(new, client);
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let is_draining = self.is_draining;
        let (client, is_served) = self.client(source)?;
        if client.sent.is_empty() && !client.has_ended {
            return Err(if is_draining && is_served { IoError::Stopping } else { IoError::WouldBlock });
        }
        let count = buffer.len().min(client.sent.len());
        client.sent.drain(..count).zip(buffer).for_each(|(byte, place)| *place = byte);
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.client(source)?.0.got.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn close(&mut self, source: SourceId) {
        let Some((Kind::Connection(client, is_served), _)) = self.sockets.remove(&source) else { return };
        self.clients[client].is_shut = true;
        if is_served && !self.clients[client].has_ended {
            self.room.linger(client);
        } else {
            self.clients[client].is_closed = true;
            self.room.leave(1);
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> ServeTask<S> {
        ServeTask::connect(self, connection)
    }
}

impl<S: Service, const SETTLE: u64> Serves<S> for World<S, SETTLE> {
    fn service(&self) -> &S {
        &self.service
    }
}

impl<S: Service, const SETTLE: u64> Guarded for World<S, SETTLE> {
    type Guard = Catch;

    fn panicked(&mut self) {
        self.panicked += 1;
    }
}

impl<S: Service<Conn: Task<Self>>, const SETTLE: u64> Platform for World<S, SETTLE> {
    type Service = S;
    type Closed = usize;
    type Error = &'static str;

    fn room(&mut self) -> &mut Admission<usize> {
        &mut self.room
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(SETTLE)
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn linger(&mut self, source: SourceId, client: usize) {
        self.sockets.insert(source, (Kind::Connection(client, false), Interest::NONE));
    }

    fn let_go(&mut self, client: usize) {
        self.clients[client].is_closed = true;
        self.room.leave(1);
    }

    fn served(&self) -> impl Iterator<Item = SourceId> {
        let sockets = self.sockets.iter();
        sockets.filter(|(_, (kind, _))| matches!(kind, Kind::Connection(_, true))).map(|(source, _)| *source)
    }

    fn is_to_stop(&self) -> bool {
        self.is_to_stop
    }

    fn begin_drain(&mut self) {
        self.is_draining = true;
    }

    fn cut_off(&mut self, connections: usize) {
        self.cut.push(connections);
    }

    fn leaving(&self) -> usize {
        self.leaving
    }

    fn between_turns(&mut self, _: &mut Executor<Self>) -> bool {
        let is_busy = self.is_busy();
        self.slices = self.slices.saturating_sub(1);
        is_busy
    }

    fn is_busy(&self) -> bool {
        self.slices > 0
    }

    /// Advances the clock a little, or to the next scripted action or the deadline if no source is ready.
    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> Result<bool, &'static str> {
        if self.has_failed {
            return Err("a broken poller");
        }
        self.waits.push(until);
        while let Some((source, interest)) = executor.kernel.next_change() {
            if let Some((_, watched)) = self.sockets.get_mut(&source) {
                *watched = interest;
            }
        }
        self.now = self.now + Duration::from_nanos(1);
        if let Until::At(deadline) = until
            && self.ready().is_empty()
        {
            let next = self.script.front().map_or(Instant::NEVER, |(at, _)| *at);
            let end = deadline.min(next);
            assert_ne!(end, Instant::NEVER, "the loop waits without a deadline");
            self.now = self.now.max(end);
        }
        while self.script.front().is_some_and(|(at, _)| *at <= self.now) {
            if let Some((_, act)) = self.script.pop_front() {
                act(self, executor);
            }
        }
        for (source, readiness) in self.ready() {
            executor.kernel.ready(source, readiness);
        }
        let is_partial = self.partial > 0;
        self.partial = self.partial.saturating_sub(1);
        Ok(!is_partial)
    }
}

/// Creates a loop with this number of tasks, including the acceptor of the world's listener.
pub fn engine<S, const SETTLE: u64>(world: World<S, SETTLE>, tasks: usize) -> Engine<World<S, SETTLE>>
where
    S: Service<Conn: Task<World<S, SETTLE>>>,
{
    let mut engine = Engine::new(world, &Limits::new(tasks, 8, 64), Duration::from_secs(1));
    engine.accept_from(World::listen).expect("a source is free for the listener");
    engine
}
