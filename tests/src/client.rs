use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::wait::PATIENCE;

/// What the service says to n: the talk's numbers, by addition.
#[must_use]
pub fn fib(n: u32) -> u64 {
    let (mut now, mut next) = (0_u64, 1);
    for _ in 0..n.max(1) {
        (now, next) = (next, now.saturating_add(next));
    }
    now
}

/// The lines that answer `ns`.
#[must_use]
pub fn replies(ns: impl IntoIterator<Item = u32>) -> String {
    ns.into_iter().map(|n| format!("{}\n", fib(n))).collect()
}

/// Bytes without any order to them, the same every time.
#[must_use]
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

/// A connected socket that gives up after [`PATIENCE`], and sends at once what it is given.
///
/// # Panics
///
/// When there is no connection in time.
#[must_use]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    stream.set_nodelay(true).expect("an option of TCP");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Sends `bytes` and the end of the stream, and meanwhile reads to the other's end.
///
/// # Panics
///
/// When the connection fails; also when not everything can be sent.
#[must_use]
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let stream = connect(address);
    let mut answer = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(bytes).expect("the server takes all of it");
            stream.shutdown(Shutdown::Write).expect("a connected socket");
        });
        let read = (&stream).read_to_end(&mut answer);
        read.unwrap_or_else(|error| panic!("after {} bytes: {error}", answer.len()));
    });
    answer
}

/// A client that does what the test says, line by line.
pub struct Client {
    stream: TcpStream,
    /// What came behind the last line that was taken.
    unread: Vec<u8>,
}

impl Client {
    /// Connects to `address`.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Speaks over `stream`.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `bytes`, all of them.
    ///
    /// # Panics
    ///
    /// When the connection fails.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// The next line, without its end.
    ///
    /// # Panics
    ///
    /// When none comes, be it that the connection ends or fails or that nothing comes in time.
    #[must_use]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.receive() > 0, "the end, and no line: {:?}", self.unread);
        }
    }

    /// As many lines, in one.
    #[must_use]
    pub fn lines(&mut self, count: usize) -> String {
        (0..count).map(|_| self.line() + "\n").collect()
    }

    /// The next `count` bytes.
    ///
    /// # Panics
    ///
    /// As with [`line`](Self::line).
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.receive() > 0, "the end already: {:?}", self.unread);
        }
        self.unread.drain(..count).collect()
    }

    /// Asks for one number, and checks the answer.
    ///
    /// # Panics
    ///
    /// When it is wrong, or does not come.
    pub fn ask(&mut self, n: u32) {
        self.send(format!("{n}\n"));
        assert_eq!(self.line(), fib(n).to_string(), "the answer to {n}");
    }

    /// Everything up to the end of the stream.
    ///
    /// # Panics
    ///
    /// When the connection fails instead, or does not end in time.
    #[must_use]
    pub fn rest(&mut self) -> String {
        while self.receive() > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// Whether nothing is there to be read now, and the connection lives.
    ///
    /// # Panics
    ///
    /// When the connection fails.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.stream.set_nonblocking(true).expect("an option");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("an option");
        match peeked {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.unread.is_empty(),
            Err(error) => panic!("the connection failed: {error}"),
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Panics
    ///
    /// When the connection has failed.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// Ends the connection by a reset.
    ///
    /// # Panics
    ///
    /// When the option cannot be set.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }

    fn receive(&mut self) -> usize {
        let mut chunk = [0; 64 * 1024];
        let count = self.stream.read(&mut chunk).unwrap_or_else(|error| {
            let last = &self.unread[self.unread.len().saturating_sub(200)..];
            let last = String::from_utf8_lossy(last);
            panic!("cannot read after {} bytes, {last:?} at last: {error}", self.unread.len())
        });
        self.unread.extend_from_slice(&chunk[..count]);
        count
    }
}
