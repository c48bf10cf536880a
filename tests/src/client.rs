use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::wait::PATIENCE;

/// Returns the service's answer to `n`: the Fibonacci number, computed by addition.
#[must_use]
pub fn fib(n: u32) -> u64 {
    let (mut now, mut next) = (0_u64, 1);
    for _ in 0..n.max(1) {
        (now, next) = (next, now.saturating_add(next));
    }
    now
}

/// Returns the lines that answer `ns`.
#[must_use]
pub fn replies(ns: impl IntoIterator<Item = u32>) -> String {
    ns.into_iter().map(|n| format!("{}\n", fib(n))).collect()
}

/// Returns `count` pseudorandom bytes, the same for each call.
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

/// Connects a socket with timeouts of [`PATIENCE`] and without Nagle's algorithm.
///
/// # Panics
///
/// Panics if the connection is not established in time.
#[must_use]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    stream.set_nodelay(true).expect("a TCP option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Sends `bytes`, then half-closes, and meanwhile reads to the end of the stream.
///
/// # Panics
///
/// Panics if the connection fails or if not all bytes can be sent.
#[must_use]
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let stream = connect(address);
    let mut answer = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(bytes).expect("the server accepts everything");
            stream.shutdown(Shutdown::Write).expect("a connected socket");
        });
        let read = (&stream).read_to_end(&mut answer);
        read.unwrap_or_else(|error| panic!("after {} bytes: {error}", answer.len()));
    });
    answer
}

/// A client that a test drives line by line.
pub struct Client {
    stream: TcpStream,
    /// Bytes that were received behind the last line that was returned.
    unread: Vec<u8>,
}

impl Client {
    /// Connects to `address`.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Creates a client on `stream`.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Returns the socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all of `bytes`.
    ///
    /// # Panics
    ///
    /// Panics if the connection fails.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Receives the next line, without its newline.
    ///
    /// # Panics
    ///
    /// Panics if the connection ends or fails, or if no line arrives in time.
    #[must_use]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.receive() > 0, "the stream ended within a line: {:?}", self.unread);
        }
    }

    /// Receives `count` lines as one string.
    #[must_use]
    pub fn lines(&mut self, count: usize) -> String {
        (0..count).map(|_| self.line() + "\n").collect()
    }

    /// Receives the next `count` bytes.
    ///
    /// # Panics
    ///
    /// Panics as [`line`](Self::line) does.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.receive() > 0, "unexpected end of the stream: {:?}", self.unread);
        }
        self.unread.drain(..count).collect()
    }

    /// Asks for one number, and checks the answer.
    ///
    /// # Panics
    ///
    /// Panics if the answer is wrong or does not arrive.
    pub fn ask(&mut self, n: u32) {
        self.send(format!("{n}\n"));
        assert_eq!(self.line(), fib(n).to_string(), "the answer to {n}");
    }

    /// Receives everything up to the end of the stream.
    ///
    /// # Panics
    ///
    /// Panics if the connection fails or does not end in time.
    #[must_use]
    pub fn rest(&mut self) -> String {
        while self.receive() > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// Returns true if the connection is open and there is nothing to read.
    ///
    /// # Panics
    ///
    /// Panics if the connection fails.
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

    /// Half-closes the connection: nothing more will be sent.
    ///
    /// # Panics
    ///
    /// Panics if the connection has failed.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// Resets the connection.
    ///
    /// # Panics
    ///
    /// Panics if the option cannot be set.
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
