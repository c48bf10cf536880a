//! The event loop of the next four crawlers: sinbin's kernel, which decides what runs next, and `poll`, which tells it
//! which sockets are ready.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use sinbin::kernel::IdMap;
use sinbin::{Instant, Interest, Kernel, Limits, Rest, SourceId, Step, TaskId, Wait, WakeReason};
use socket2::{Domain, Socket, Type};

use crate::crawl::Crawl;

/// The maximum number of tasks, which is larger than the number of fetches in progress.
const MAX_TASKS: usize = 1 << 16;

/// A task of the loop.
pub trait Task: Sized {
    /// Runs the task to its next wait.
    fn resume(&mut self, event_loop: &mut EventLoop<Self>, reason: WakeReason) -> Step;
}

/// A kernel, its tasks, and their sockets.
pub struct EventLoop<T> {
    /// The state that all tasks share.
    pub crawl: Crawl,
    kernel: Kernel<Limits>,
    tasks: IdMap<TaskId, T>,
    /// The sockets, each with the interest that tasks have in it. A socket is gone when its connection is dropped.
    sockets: IdMap<SourceId, (Weak<Socket>, Interest)>,
}

impl<T: Task> EventLoop<T> {
    pub fn new(crawl: Crawl) -> Self {
        let kernel = Kernel::new(&Limits::new(MAX_TASKS, 0, 0));
        Self { crawl, kernel, tasks: IdMap::new(), sockets: IdMap::new() }
    }

    pub fn spawn(&mut self, task: T) {
        let id = self.kernel.spawn().expect("the number of fetches is limited");
        self.tasks.insert(id, task);
    }

    /// Runs until no task is left. Before each turn, `start` begins fetches of the pages that were found in the last one.
    /// (A fetch that did so at its own end would recurse if fetches fail at once.)
    pub fn run(mut self, start: fn(&mut Self)) -> io::Result<Crawl> {
        loop {
            start(&mut self);
            match self.kernel.rest() {
                Rest::Ready => {}
                Rest::Until(_) => self.wait()?,
                Rest::Stalled | Rest::Empty => return Ok(self.crawl),
            }
            self.kernel.advance(Instant::ZERO); // no task waits for a time
            while let Some(id) = self.kernel.next() {
                let mut task = self.tasks.remove(id).expect("each id of the kernel has a task");
                let reason = self.kernel.wake_reason(id).unwrap_or(WakeReason::Spawned);
                let step = task.resume(&mut self, reason);
                if !matches!(step, Step::Done | Step::Fail(_)) {
                    self.tasks.insert(id, task);
                }
                self.kernel.park(id, step);
            }
        }
    }

    /// Begins to connect. The socket can be sent to when it is connected, or when connecting has failed: the first
    /// `send` then fails.
    pub fn connect(&mut self, address: SocketAddr) -> io::Result<Connection> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        let socket = Rc::new(socket);
        let source = self.kernel.open().map_err(io::Error::other)?;
        self.sockets.insert(source, (Rc::downgrade(&socket), Interest::NONE));
        Ok(Connection { socket, source })
    }

    /// Waits until sockets are ready, and tells the kernel which ones are.
    fn wait(&mut self) -> io::Result<()> {
        while let Some((source, interest)) = self.kernel.next_change() {
            if let Some((_, watched)) = self.sockets.get_mut(source) {
                *watched = interest;
            }
        }
        let (mut watched, mut gone) = (Vec::new(), Vec::new());
        for (source, (socket, interest)) in self.sockets.iter() {
            match socket.upgrade() {
                Some(socket) if !interest.is_empty() => watched.push((source, socket, *interest)),
                Some(_) => {}
                None => gone.push(source),
            }
        }
        for source in gone {
            self.sockets.remove(source);
            self.kernel.close(source);
        }
        for (source, interest) in poll(&watched)? {
            self.kernel.ready(source, interest);
        }
        Ok(())
    }
}

/// A nonblocking connection, which is closed when it is dropped.
#[derive(Clone)]
pub struct Connection {
    socket: Rc<Socket>,
    source: SourceId,
}

impl Connection {
    /// Sends some of `bytes`. Returns their number, or `None` if the call would block.
    pub fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked((&*self.socket).write(bytes))
    }

    /// Receives bytes. Returns their number, which is 0 at the end of the stream, or `None` if the call would block.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked((&*self.socket).read(buffer))
    }

    /// Returns the wait until the socket can be sent to.
    pub fn writable(&self) -> Wait {
        Wait::send(self.source)
    }

    /// Returns the wait until the socket can be received from.
    pub fn readable(&self) -> Wait {
        Wait::recv(self.source)
    }
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

type Watched = (SourceId, Rc<Socket>, Interest);

/// Waits until sockets are ready, and returns them. An error or a hangup counts as readiness: the task detects it.
#[cfg(unix)]
fn poll(watched: &[Watched]) -> io::Result<Vec<(SourceId, Interest)>> {
    use rustix::event::{PollFd, PollFlags};

    let flags = |interest: Interest| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.contains(Interest::RECV));
        flags.set(PollFlags::OUT, interest.contains(Interest::SEND));
        flags
    };
    let mut fds: Vec<_> = watched.iter().map(|(_, socket, it)| PollFd::new(socket, flags(*it))).collect();
    match rustix::event::poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready = watched.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|((source, _, interest), _)| (*source, *interest)).collect())
}

/// Returns all sockets after a short sleep, because `poll` is not available here without unsafe code. Spurious readiness
/// is permitted.
#[cfg(not(unix))]
fn poll(watched: &[Watched]) -> io::Result<Vec<(SourceId, Interest)>> {
    std::thread::sleep(std::time::Duration::from_millis(1));
    Ok(watched.iter().map(|(source, _, interest)| (*source, *interest)).collect())
}

#[cfg(unix)]
fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

#[cfg(not(unix))]
fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
