//! The smallest host that serves: a [`Platform`] for the loop of [`sinbin::serve`](mod@sinbin::serve), on `poll` of
//! POSIX. The service is the echo service of the tutorials.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant as Clock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sinbin::echo::Echo;
use sinbin::serve::{Admission, Engine, Guarded, Platform, ServeTask, Unguarded, Until};
use sinbin::{Executor, Host, Instant, Interest, IoError, Limits, Serves, SourceId};
use socket2::Socket;

struct Small {
    service: Echo,
    clock: Clock,
    /// The sockets, each with its watched interest, and true if it is a connection that is served.
    sockets: HashMap<SourceId, (Socket, Interest, bool)>,
    room: Admission<Socket>,
}

impl Small {
    fn socket(&mut self, source: SourceId) -> Result<&mut Socket, IoError> {
        self.sockets.get_mut(&source).map(|(socket, ..)| socket).ok_or(IoError::Closed)
    }
}

impl Host for Small {
    type Storage = Limits;
    type Task = ServeTask<Echo>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        self.room.check(listener)?;
        let (socket, _) = self.socket(listener)?.accept()?;
        socket.set_nonblocking(true)?;
        self.sockets.insert(new, (socket, Interest::NONE, true));
        self.room.enter();
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        Ok(self.socket(source)?.read(buffer)?)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        Ok(self.socket(source)?.write(bytes)?)
    }

    fn close(&mut self, source: SourceId) {
        match self.sockets.remove(&source) {
            // If the socket were closed while the peer still sends, the peer might lose the last bytes sent to it. Its
            // input is therefore discarded first.
            Some((socket, _, true)) if socket.shutdown(Shutdown::Write).is_ok() => self.room.linger(socket),
            _ => self.room.leave(1),
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> ServeTask<Echo> {
        ServeTask::connect(self, connection)
    }
}

impl Serves<Echo> for Small {
    fn service(&self) -> &Echo {
        &self.service
    }
}

impl Guarded for Small {
    type Guard = Unguarded;
}

impl Platform for Small {
    type Service = Echo;
    type Closed = Socket;
    type Error = io::Error;

    fn room(&mut self) -> &mut Admission<Socket> {
        &mut self.room
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.clock.elapsed()
    }

    fn linger(&mut self, source: SourceId, socket: Socket) {
        self.sockets.insert(source, (socket, Interest::NONE, false));
    }

    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> io::Result<bool> {
        while let Some((source, interest)) = executor.kernel.next_change() {
            self.sockets.entry(source).and_modify(|(_, watched, _)| *watched = interest);
        }
        let (mut sources, mut list) = (Vec::new(), Vec::new());
        for (source, (socket, watched, _)) in self.sockets.iter().filter(|(_, (_, it, _))| !it.is_empty()) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, watched.contains(Interest::RECV));
            flags.set(PollFlags::OUT, watched.contains(Interest::SEND));
            sources.push((*source, *watched));
            list.push(PollFd::new(socket, flags));
        }
        let timeout = until.span(self.now());
        poll(&mut list, Timespec::try_from(timeout).ok().as_ref())?;
        let found = sources.into_iter().zip(list).filter(|(_, socket)| !socket.revents().is_empty());
        found.for_each(|((source, watched), _)| executor.kernel.ready(source, watched));
        Ok(true)
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let listener = TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:0"))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let entry = (listener.into(), Interest::NONE, false);
    let (service, clock, sockets, room) =
        (Echo::default(), Clock::now(), HashMap::new(), Admission::new(1000));
    let limits = Limits::new(1001, 100, 16 * 1024);
    let mut engine = Engine::new(Small { service, clock, sockets, room }, &limits, Duration::ZERO);
    engine.accept_from(|small, source| drop(small.sockets.insert(source, entry)))?;
    Ok(engine.run(|| false).map(drop)?)
}
