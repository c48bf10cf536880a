//! A server made of callbacks, as in the tutorials on Python's `selectors`: it answers each read in upper case, with
//! `_SB` appended. `upper [ADDRESS]`
//!
//! Below the tasks is a kernel whose only requirement is that its host reports which sources are ready. Here
//! [`Selector`] is the whole host, on `poll`. The kernel does not resume coroutines, but functions that were registered
//! for sockets. State for the next function must be passed on by the previous one: compare `echo`.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use sinbin::{Fixed, Instant, Interest, Kernel, Rest, SourceId, Step, TaskId, Wait, WaitTarget, WakeReason};
use socket2::{Domain, Socket, Type};

/// The maximum number of sockets that wait at the same time.
const MAX_SOCKETS: usize = 512;

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:25000".into());
    let address: SocketAddr = address.parse()?;
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.set_nonblocking(true)?;
    listener.bind(&address.into())?;
    listener.listen(128)?;
    if let Some(address) = listener.local_addr()?.as_socket() {
        println!("listening on {address}");
    }
    let mut selector = Selector::new();
    selector.register(listener, Interest::RECV, accept);
    selector.run()?;
    Ok(())
}

/// Accepts a client.
fn accept(selector: &mut Selector, listener: Socket) {
    let accepted = listener.accept();
    selector.register(listener, Interest::RECV, accept);
    match accepted.and_then(|(conn, _)| conn.set_nonblocking(true).map(|()| conn)) {
        Ok(conn) => selector.register(conn, Interest::RECV, read),
        Err(error) => eprintln!("cannot accept: {error}"),
    }
}

/// Reads from a client. A socket that is not registered again is closed.
fn read(selector: &mut Selector, mut conn: Socket) {
    let mut data = [0; 1024];
    match conn.read(&mut data) {
        Ok(0) => {}
        Ok(count) => {
            let mut answer = data[..count].to_ascii_uppercase();
            answer.extend(b"_SB");
            write(selector, conn, answer);
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => selector.register(conn, Interest::RECV, read),
        Err(error) => eprintln!("closing: {error}"),
    }
}

/// Sends as much of the answer as possible, and registers for the rest.
fn write(selector: &mut Selector, mut conn: Socket, mut answer: Vec<u8>) {
    match conn.write(&answer) {
        Ok(count) => drop(answer.drain(..count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return eprintln!("closing: {error}"),
    }
    if answer.is_empty() {
        selector.register(conn, Interest::RECV, read);
    } else {
        selector.register(conn, Interest::SEND, |selector, conn| write(selector, conn, answer));
    }
}

type Callback = Box<dyn FnOnce(&mut Selector, Socket)>;

/// Calls functions when their sockets are ready.
struct Selector {
    kernel: Box<Kernel<Fixed<MAX_SOCKETS>>>,
    registered: HashMap<TaskId, Registered>,
}

/// The socket and the function of a task of the kernel.
struct Registered {
    socket: Socket,
    source: SourceId,
    interest: Interest,
    callback: Callback,
}

impl Selector {
    fn new() -> Self {
        Self { kernel: Box::new(Kernel::new(&Fixed)), registered: HashMap::new() }
    }

    /// Registers `callback` to be called once when `socket` is ready. If the limit is reached, the socket is closed.
    fn register(
        &mut self,
        socket: Socket,
        interest: Interest,
        callback: impl FnOnce(&mut Self, Socket) + 'static,
    ) {
        let Ok(source) = self.kernel.open() else { return };
        let Ok(task) = self.kernel.spawn() else {
            self.kernel.close(source);
            return;
        };
        let callback = Box::new(callback);
        self.registered.insert(task, Registered { socket, source, interest, callback });
    }

    /// Runs the loop that every host has.
    fn run(&mut self) -> io::Result<()> {
        loop {
            // There are no deadlines, so the time never has to advance.
            self.kernel.advance(Instant::ZERO);
            while let Some(task) = self.kernel.next() {
                self.resume(task);
            }
            match self.kernel.rest() {
                Rest::Ready => {}
                Rest::Until(_) => self.wait()?,
                Rest::Stalled | Rest::Empty => return Ok(()),
            }
        }
    }

    /// Runs a step of a task: the first step parks it, the second one calls the callback.
    fn resume(&mut self, task: TaskId) {
        if self.kernel.wake_reason(task) == Some(WakeReason::Spawned) {
            let Registered { source, interest, .. } = self.registered[&task];
            let what =
                if interest == Interest::SEND { WaitTarget::Send(source) } else { WaitTarget::Recv(source) };
            return self.kernel.park(task, Step::Wait(Wait::on(what)));
        }
        self.kernel.park(task, Step::Done);
        if let Some(Registered { socket, source, callback, .. }) = self.registered.remove(&task) {
            self.kernel.close(source);
            callback(self, socket);
        }
    }

    /// Waits until a socket is ready, and notifies the kernel.
    #[cfg(unix)]
    fn wait(&mut self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};

        let all: Vec<_> = self.registered.values().collect();
        let flags = |interest| if interest == Interest::SEND { PollFlags::OUT } else { PollFlags::IN };
        let mut fds: Vec<_> = all.iter().map(|one| PollFd::new(&one.socket, flags(one.interest))).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (one, fd) in all.iter().zip(&fds) {
            // An error or a hangup counts as readiness too: the callback then detects it.
            if !fd.revents().is_empty() {
                self.kernel.ready(one.source, one.interest);
            }
        }
        Ok(())
    }

    /// Reports all sockets as ready after a short sleep, because `poll` is not available here without unsafe code.
    /// Spurious readiness is permitted.
    #[cfg(not(unix))]
    fn wait(&mut self) -> io::Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(1));
        for one in self.registered.values() {
            self.kernel.ready(one.source, one.interest);
        }
        Ok(())
    }
}
