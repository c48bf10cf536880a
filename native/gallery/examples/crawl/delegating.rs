//! The sixth crawler: coroutines that delegate. `Fetch` consists of parts that are coroutines themselves, and can be used
//! by other coroutines. `yield_from!` is Python's `yield from`. `Future` and `Task` are those of the fifth crawler.

use std::mem::{replace, take};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::crawl::{Crawl, Request};
use crate::error::Error;
use crate::event_loop::Connection;
use crate::future::{Coroutine, State, Task, Value, read, writable};
use crate::response::Response;
use crate::selector::Selector;

pub fn crawl(crawl: Crawl) -> Result<Crawl, Error> {
    Ok(Selector::new(crawl).run(start)?)
}

fn start(selector: &mut Selector) {
    while let Some(request) = selector.crawl.next() {
        let request = Rc::new(request);
        let connect = Connect { address: request.address, socket: None };
        let fetch = Fetch { request: request.clone(), part: Part::Connect(connect) };
        Task::start(selector, fetch, move |selector, response| {
            selector.crawl.fetched(&request, response);
        });
    }
}

/// Resumes a part: yields what the part yields, and evaluates to what the part returns.
macro_rules! yield_from {
    ($part:expr, $selector:expr, $value:expr) => {
        match $part.send($selector, replace($value, Ok(Vec::new())))? {
            State::Yielded(future) => return Ok(State::Yielded(future)),
            State::Complete(output) => output,
        }
    };
}

/// Fetches a page: `socket = yield from connect(address)`, `yield from write_all(socket, request)`, and
/// `return (yield from read_all(socket))`.
struct Fetch {
    request: Rc<Request>,
    part: Part,
}

enum Part {
    Connect(Connect),
    WriteAll(WriteAll),
    ReadAll(ReadAll),
}

impl Coroutine for Fetch {
    type Output = Response;

    fn send(&mut self, selector: &mut Selector, mut value: Value) -> Result<State<Response>, Error> {
        loop {
            self.part = match &mut self.part {
                Part::Connect(connect) => {
                    let socket = yield_from!(connect, selector, &mut value);
                    Part::WriteAll(WriteAll { socket, bytes: self.request.bytes.clone() })
                }
                Part::WriteAll(write_all) => {
                    yield_from!(write_all, selector, &mut value);
                    Part::ReadAll(ReadAll::new(write_all.socket.clone()))
                }
                Part::ReadAll(read_all) => {
                    return Ok(State::Complete(yield_from!(read_all, selector, &mut value)));
                }
            }
        }
    }
}

/// Connects, and returns the connection.
struct Connect {
    address: SocketAddr,
    socket: Option<Connection>,
}

impl Coroutine for Connect {
    type Output = Connection;

    fn send(&mut self, selector: &mut Selector, value: Value) -> Result<State<Connection>, Error> {
        value?;
        if let Some(socket) = self.socket.take() {
            return Ok(State::Complete(socket));
        }
        let socket = self.socket.insert(selector.connect(self.address)?);
        Ok(State::Yielded(writable(selector, socket)))
    }
}

/// Sends all bytes.
struct WriteAll {
    socket: Connection,
    bytes: Vec<u8>,
}

impl Coroutine for WriteAll {
    type Output = ();

    fn send(&mut self, selector: &mut Selector, value: Value) -> Result<State<()>, Error> {
        value?;
        let sent = self.socket.send(&self.bytes)?.unwrap_or(0);
        self.bytes.drain(..sent);
        if self.bytes.is_empty() {
            return Ok(State::Complete(()));
        }
        Ok(State::Yielded(writable(selector, &self.socket)))
    }
}

/// Returns the next bytes, or none at the end of the stream.
struct Read {
    socket: Connection,
    is_waiting: bool,
}

impl Coroutine for Read {
    type Output = Vec<u8>;

    fn send(&mut self, selector: &mut Selector, value: Value) -> Result<State<Vec<u8>>, Error> {
        let bytes = value?; // an error of the future is raised here, in the innermost part
        if replace(&mut self.is_waiting, true) {
            return Ok(State::Complete(bytes));
        }
        Ok(State::Yielded(read(selector, &self.socket)))
    }
}

/// Reads to the end of the stream: `chunk = yield from read(socket)`, until the chunk is empty.
struct ReadAll {
    read: Read,
    response: Response,
}

impl ReadAll {
    fn new(socket: Connection) -> Self {
        Self { read: Read { socket, is_waiting: false }, response: Response::default() }
    }
}

impl Coroutine for ReadAll {
    type Output = Response;

    fn send(&mut self, selector: &mut Selector, mut value: Value) -> Result<State<Response>, Error> {
        loop {
            let chunk = yield_from!(self.read, selector, &mut value);
            if chunk.is_empty() {
                return Ok(State::Complete(take(&mut self.response)));
            }
            self.response.add(&chunk)?;
            self.read.is_waiting = false; // the next `read`
        }
    }
}
