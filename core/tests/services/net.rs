//! The host: sockets in memory, and the tasks that it serves them with.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;

use sinbin_core::echo::{AnswerConn, Echo, Upper};
use sinbin_core::fib::FibJob;
use sinbin_core::fib_service::{Fib, FibConn};
use sinbin_core::{
    Acceptor, Cx, Host, Interest, IoError, JobId, Jobs, Readiness, Serves, Service, SourceId, Step, Storage,
    Task,
};

use crate::luck::Luck;
use crate::oracle::Read;
use crate::pool::Pool;

/// A connection, with what both of its ends know.
pub struct Peer {
    /// Sent by the client, and not read yet.
    pub inbox: VecDeque<u8>,
    /// The client has sent its last byte.
    pub finished: bool,
    /// The client has broken it off.
    pub reset: bool,
    /// Sent by the server, and not read yet; it has a limit.
    pub outbox: VecDeque<u8>,
    pub room: usize,
    /// All that the server got, read by read.
    pub reads: Vec<Read>,
    /// How much the server sent.
    pub sent: usize,
    /// The server knows that the client has finished.
    pub saw_end: bool,
    /// Somebody cancelled the server's task.
    pub cancelled: bool,
    /// The server has closed it.
    pub closed: bool,
}

impl Peer {
    /// How much the server has read.
    pub fn taken(&self) -> usize {
        self.reads.iter().map(|read| read.bytes.len()).sum()
    }

    pub fn new(room: usize) -> Self {
        Self {
            inbox: VecDeque::new(),
            finished: false,
            reset: false,
            outbox: VecDeque::new(),
            room,
            reads: Vec::new(),
            sent: 0,
            saw_end: false,
            cancelled: false,
            closed: false,
        }
    }

    fn readiness(&self) -> Readiness {
        let so = |holds, interest| if holds { interest } else { Interest::NONE };
        so(self.reset || self.finished || !self.inbox.is_empty(), Interest::RECV)
            | so(self.reset || self.outbox.len() < self.room, Interest::SEND)
            | so(self.reset, Interest::HANGUP)
    }
}

/// Which service a net serves.
#[derive(Clone, Copy, Debug)]
pub enum Serve {
    Fib,
    Echo,
    Upper,
}

pub struct Net<S: Storage> {
    pub serve: Serve,
    pub fib: Fib,
    pub echo: Echo,
    pub upper: Upper,
    pub luck: Luck,
    pub listener: Option<SourceId>,
    pub backlog: VecDeque<usize>,
    pub peers: Vec<Peer>,
    /// Which source is which peer.
    pub sources: BTreeMap<SourceId, usize>,
    pub pool: Pool<S>,
    /// Jobs that were given up, or are over.
    pub old_jobs: Vec<JobId>,
    /// Sends of nothing.
    pub empty_sends: usize,
    /// Who finds nothing to read is told that the service stops.
    pub stopping: bool,
}

impl<S: Storage> Net<S> {
    pub fn readiness(&self, source: SourceId) -> Readiness {
        match self.sources.get(&source) {
            Some(peer) => self.peers[*peer].readiness(),
            None if self.listener == Some(source) && !self.backlog.is_empty() => Interest::RECV,
            None => Interest::NONE,
        }
    }

    pub fn is_open(&self, source: SourceId) -> bool {
        self.listener == Some(source) || self.sources.contains_key(&source)
    }

    fn peer(&mut self, source: SourceId) -> Result<&mut Peer, IoError> {
        let peer = *self.sources.get(&source).expect("a task uses what is its own and open");
        let peer = &mut self.peers[peer];
        if peer.reset { Err(IoError::Reset) } else { Ok(peer) }
    }
}

impl<S: Storage> Host for Net<S> {
    type Storage = S;
    type Task = Conn;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        if self.listener != Some(listener) {
            return Err(IoError::Closed);
        }
        match self.luck.below(12) {
            10 => return Err(IoError::NoRoom),
            11 => return Err(IoError::Os(24)),
            _ => {}
        }
        let peer = self.backlog.pop_front().ok_or(IoError::WouldBlock)?;
        if self.peers[peer].reset {
            self.peers[peer].closed = true;
            return Err(IoError::Reset);
        }
        self.sources.insert(new, peer);
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let share = self.luck.part(buffer.len());
        let nothing = if self.stopping { IoError::Stopping } else { IoError::WouldBlock };
        let peer = self.peer(source)?;
        assert!(!buffer.is_empty() && !peer.saw_end, "there is no more to read");
        if peer.inbox.is_empty() && peer.finished {
            peer.saw_end = true;
            return Ok(0);
        }
        let count = share.min(peer.inbox.len());
        if count == 0 {
            // What was read last was all that there was.
            peer.reads.last_mut().into_iter().for_each(|read| read.is_cut = false);
            return Err(nothing);
        }
        let bytes: Vec<u8> = peer.inbox.drain(..count).collect();
        buffer[..count].copy_from_slice(&bytes);
        peer.reads.push(Read { bytes, is_cut: count == buffer.len() });
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.empty_sends += usize::from(bytes.is_empty());
        let share = self.luck.part(bytes.len());
        let is_exact = self.luck.strikes(2);
        let peer = self.peer(source)?;
        let count = share.min(peer.room.saturating_sub(peer.outbox.len()));
        if count == 0 && !is_exact {
            return Err(IoError::WouldBlock);
        }
        peer.outbox.extend(&bytes[..count]);
        peer.sent += count;
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        if self.listener == Some(source) {
            self.listener = None;
            return;
        }
        let peer = self.sources.remove(&source).expect("a source is closed once");
        self.peers[peer].closed = true;
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> Conn {
        match self.serve {
            Serve::Fib => Conn::Fib(self.fib.connect(connection)),
            Serve::Echo => Conn::Echo(self.echo.connect(connection)),
            Serve::Upper => Conn::Upper(self.upper.connect(connection)),
        }
    }
}

impl<S: Storage> Serves<Fib> for Net<S> {
    fn service(&self) -> &Fib {
        &self.fib
    }
}

impl<S: Storage> Serves<Echo> for Net<S> {
    fn service(&self) -> &Echo {
        &self.echo
    }
}

impl<S: Storage> Serves<Upper> for Net<S> {
    fn service(&self) -> &Upper {
        &self.upper
    }
}

impl<S: Storage> Jobs<FibJob> for Net<S> {
    fn submit(&mut self, id: JobId, job: FibJob) {
        self.pool.submit(id, job);
    }

    fn take(&mut self, id: JobId) -> Option<u64> {
        let value = self.pool.take(id)?;
        self.old_jobs.push(id);
        Some(value)
    }

    fn cancel(&mut self, id: JobId) {
        self.old_jobs.push(id);
        self.pool.cancel(id);
    }
}

/// All tasks of this host.
pub enum Conn {
    Acceptor(Acceptor),
    Fib(FibConn),
    Echo(AnswerConn<Echo>),
    Upper(AnswerConn<Upper>),
}

impl<S: Storage> Task<Net<S>> for Conn {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Net<S>>) -> Step {
        match self.get_mut() {
            Self::Acceptor(task) => Pin::new(task).resume(cx),
            Self::Fib(task) => Pin::new(task).resume(cx),
            Self::Echo(task) => Pin::new(task).resume(cx),
            Self::Upper(task) => Pin::new(task).resume(cx),
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Net<S>>) {
        match self.get_mut() {
            Self::Acceptor(task) => Pin::new(task).end(cx),
            Self::Fib(task) => Pin::new(task).end(cx),
            Self::Echo(task) => Pin::new(task).end(cx),
            Self::Upper(task) => Pin::new(task).end(cx),
        }
    }
}
