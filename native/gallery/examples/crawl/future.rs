//! The fifth crawler: `Future` and `Task`. Again callbacks are registered, but they have one purpose only: to set the
//! result of a future. The coroutine yields futures. It does not know of the selector's callbacks, nor they of it.

use std::cell::RefCell;
use std::io;
use std::mem::take;
use std::rc::Rc;

use crate::crawl::{Crawl, Request};
use crate::error::Error;
use crate::event_loop::Connection;
use crate::response::Response;
use crate::selector::Selector;

pub fn crawl(crawl: Crawl) -> Result<Crawl, Error> {
    Ok(Selector::new(crawl).run(start)?)
}

fn start(selector: &mut Selector) {
    while let Some(request) = selector.crawl.next() {
        let request = Rc::new(request);
        let fetch =
            Fetch { request: request.clone(), response: Response::default(), position: Position::Start };
        Task::start(selector, fetch, move |selector, response| {
            selector.crawl.fetched(&request, response);
        });
    }
}

/// The `yield` at which a fetch waits, with the variables that are in use there.
enum Position {
    Start,
    Sending(Connection, usize),
    Reading(Connection),
}

struct Fetch {
    request: Rc<Request>,
    response: Response,
    position: Position,
}

impl Coroutine for Fetch {
    type Output = Response;

    fn send(&mut self, selector: &mut Selector, value: Value) -> Result<State<Response>, Error> {
        let bytes = value?; // an error of the future is raised here, in the coroutine
        let future = match &mut self.position {
            Position::Start => {
                let socket = selector.connect(self.request.address)?;
                let future = writable(selector, &socket);
                self.position = Position::Sending(socket, 0);
                future
            }
            Position::Sending(socket, sent) => {
                *sent += socket.send(&self.request.bytes[*sent..])?.unwrap_or(0);
                if *sent < self.request.bytes.len() {
                    writable(selector, socket)
                } else {
                    let future = read(selector, socket);
                    self.position = Position::Reading(socket.clone());
                    future
                }
            }
            Position::Reading(_) if bytes.is_empty() => return Ok(State::Complete(take(&mut self.response))),
            Position::Reading(socket) => {
                self.response.add(&bytes)?;
                read(selector, socket)
            }
        };
        Ok(State::Yielded(future)) // yield
    }
}

/// Returns the future of the moment when `socket` can be sent to. Its value is empty.
pub fn writable(selector: &mut Selector, socket: &Connection) -> Future {
    let future = Future::default();
    let eventual = future.clone();
    selector.register(socket.writable(), move |selector| eventual.set_result(selector, Ok(Vec::new())));
    future
}

/// Returns the future of the next bytes from `socket`. Its value is empty at the end of the stream.
pub fn read(selector: &mut Selector, socket: &Connection) -> Future {
    fn on_readable(selector: &mut Selector, socket: Connection, future: Future) {
        let mut chunk = vec![0; 4096];
        let bytes = match socket.recv(&mut chunk) {
            Ok(None) => {
                return selector
                    .register(socket.readable(), |selector| on_readable(selector, socket, future));
            }
            Ok(Some(count)) => Ok(chunk[..count].to_vec()),
            Err(error) => Err(error),
        };
        future.set_result(selector, bytes);
    }

    let (future, socket) = (Future::default(), socket.clone());
    let eventual = future.clone();
    selector.register(socket.readable(), |selector| on_readable(selector, socket, eventual));
    future
}

/// The result of a future, and what a coroutine is sent. An error is a value here: otherwise the loop would receive it.
pub type Value = io::Result<Vec<u8>>;

type Callback = Box<dyn FnOnce(&mut Selector, &Future)>;

/// A result that does not exist yet, and the functions to call when it does.
#[derive(Clone, Default)]
pub struct Future(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    result: Option<Value>,
    callbacks: Vec<Callback>,
}

impl Future {
    fn add_done_callback(&self, callback: impl FnOnce(&mut Selector, &Self) + 'static) {
        self.0.borrow_mut().callbacks.push(Box::new(callback));
    }

    fn set_result(&self, selector: &mut Selector, result: Value) {
        let mut inner = self.0.borrow_mut();
        inner.result = Some(result);
        let callbacks = take(&mut inner.callbacks);
        drop(inner);
        for callback in callbacks {
            callback(selector, self);
        }
    }

    /// Returns the result, which exists once.
    fn result(&self) -> Value {
        self.0.borrow_mut().result.take().unwrap_or_else(|| Ok(Vec::new()))
    }
}

/// A function that can be suspended at each `yield`.
pub trait Coroutine {
    type Output;

    /// Runs to the next `yield`, as the method of Python's generators does. `value` is the result of the future that was
    /// yielded last, and empty for the first step.
    fn send(&mut self, selector: &mut Selector, value: Value) -> Result<State<Self::Output>, Error>;
}

/// The state of a coroutine after a step.
pub enum State<T> {
    Yielded(Future),
    Complete(T),
}

/// A coroutine that is resumed with the result of each future that it yields.
pub struct Task<C, D> {
    coroutine: C,
    done: D,
}

impl<C, D> Task<C, D>
where
    C: Coroutine + 'static,
    D: FnOnce(&mut Selector, Result<C::Output, Error>) + 'static,
{
    /// Runs `coroutine` to its first `yield`. `done` is called with what it returns.
    pub fn start(selector: &mut Selector, coroutine: C, done: D) {
        Self { coroutine, done }.step(selector, &Future::default());
    }

    /// Resumes the coroutine, and registers the next step.
    fn step(mut self, selector: &mut Selector, future: &Future) {
        match self.coroutine.send(selector, future.result()) {
            Ok(State::Yielded(next)) => next.add_done_callback(|selector, next| self.step(selector, next)),
            Ok(State::Complete(output)) => (self.done)(selector, Ok(output)),
            Err(error) => (self.done)(selector, Err(error)),
        }
    }
}
