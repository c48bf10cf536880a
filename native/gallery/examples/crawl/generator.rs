//! The fourth crawler: a generator. The functions become one, which runs from one `yield` to the next. Python saves the
//! position and the variables of a generator; here they are the fields of a value. The kernel resumes it when its socket
//! is ready.

use sinbin::{Step, Wait, WakeReason};

use crate::crawl::{Crawl, Request};
use crate::error::Error;
use crate::event_loop::{Connection, EventLoop, Task};
use crate::response::Response;

pub fn crawl(crawl: Crawl) -> Result<Crawl, Error> {
    Ok(EventLoop::new(crawl).run(start)?)
}

fn start(event_loop: &mut EventLoop<Fetch>) {
    while let Some(request) = event_loop.crawl.next() {
        event_loop.spawn(Fetch { request, response: Response::default(), position: Position::Start });
    }
}

struct Fetch {
    request: Request,
    response: Response,
    position: Position,
}

/// The `yield` at which a fetch waits, with the variables that are in use there.
enum Position {
    Start,
    Sending(Connection, usize),
    Reading(Connection),
}

impl Fetch {
    /// Runs to the next `yield`, and returns the wait. Returns `None` at the end.
    fn send(&mut self, event_loop: &mut EventLoop<Self>) -> Result<Option<Wait>, Error> {
        loop {
            match &mut self.position {
                Position::Start => {
                    let socket = event_loop.connect(self.request.address)?;
                    let wait = socket.writable();
                    self.position = Position::Sending(socket, 0);
                    return Ok(Some(wait)); // yield
                }
                Position::Sending(socket, sent) => match socket.send(&self.request.bytes[*sent..])? {
                    None => return Ok(Some(socket.writable())), // yield
                    Some(count) => {
                        *sent += count;
                        if *sent == self.request.bytes.len() {
                            self.position = Position::Reading(socket.clone());
                        }
                    }
                },
                Position::Reading(socket) => {
                    let mut chunk = [0; 4096];
                    match socket.recv(&mut chunk)? {
                        None => return Ok(Some(socket.readable())), // yield
                        Some(0) => return Ok(None),
                        Some(count) => self.response.add(&chunk[..count])?,
                    }
                }
            }
        }
    }
}

impl Task for Fetch {
    fn resume(&mut self, event_loop: &mut EventLoop<Self>, _: WakeReason) -> Step {
        let response = match self.send(event_loop) {
            Ok(Some(wait)) => return Step::Wait(wait),
            Ok(None) => Ok(std::mem::take(&mut self.response)),
            Err(error) => Err(error),
        };
        event_loop.crawl.fetched(&self.request, response);
        Step::Done
    }
}
