//! The client's side of the fib protocol, as a service of our own: its connections are those that we make.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use sinbin::{
    Cx, Instant, IoError, NoJob, Op, Server, Serves, Service, Settings, SourceId, Step, Task, Wait, Woken,
};

use super::stats::Stats;
use sinbin::command::signals::stop_on_signal;

/// A kind of client: what it asks, and how often at a time.
pub(crate) struct Role {
    pub(crate) n: u32,
    pub(crate) connections: u32,
    pub(crate) pipeline: u32,
    pub(crate) bare: bool,
    pub(crate) stats: Rc<RefCell<Stats>>,
}

/// A role, ready to be played.
struct Script {
    /// One request after the other, as many as are under way at a time.
    requests: Vec<u8>,
    request_len: usize,
    reply: Vec<u8>,
    stats: Rc<RefCell<Stats>>,
}

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// All clients of a measurement.
struct Clients {
    /// What the next connections play.
    scripts: RefCell<VecDeque<Rc<Script>>>,
    end: Instant,
}

/// One connection.
struct Client {
    source: SourceId,
    script: Rc<Script>,
    /// Requests that wait to be sent, in bytes.
    unsent: usize,
    /// How much of the next reply is there.
    matched: usize,
    /// When requests were sent, and how many then.
    sent: VecDeque<(Clock, usize)>,
}

/// Plays the roles against a server for a while, or until a signal. Returns how long it was, in seconds.
pub(crate) fn play(server: SocketAddr, roles: &[Role], time: Duration) -> Result<f64, Box<dyn Error>> {
    let mut settings = Settings::default();
    settings.workers = 0;
    settings.max_connections = roles.iter().map(|role| role.connections as usize).sum();
    sinbin::command::descriptors::make_room_for(roles.iter().map(|role| role.connections).sum());
    let streams = connect(server, settings.max_connections)?;
    let scripts = roles.iter().flat_map(|role| {
        let script = Rc::new(Script::new(role));
        (0..role.connections).map(move |_| Rc::clone(&script))
    });
    let clients = Clients { scripts: RefCell::new(scripts.collect()), end: Instant::ZERO + time };
    let mut lap = Server::new(clients, &settings)?;
    let begin = Clock::now();
    for stream in streams {
        lap.serve(stream)?;
    }
    let stopper = lap.stopper();
    stop_on_signal(move || stopper.stop())?;
    lap.run()?;
    Ok(begin.elapsed().min(time).as_secs_f64())
}

/// All connections first, so that the measurement begins with all of them.
fn connect(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let one = |number| {
        TcpStream::connect_timeout(&server, PATIENCE).map_err(|error| {
            format!(
                "cannot connect to {server}: {error} (connection {number} of {count}); \
                 is `sinbin serve fib` running there?"
            )
        })
    };
    Ok((1..=count).map(one).collect::<Result<_, _>>()?)
}

impl Script {
    fn new(role: &Role) -> Self {
        let mut request = role.n.to_string().into_bytes();
        if !role.bare {
            request.push(b'\n');
        }
        Self {
            requests: request.repeat(role.pipeline as usize),
            request_len: request.len(),
            reply: format!("{}\n", fibonacci(role.n)).into_bytes(),
            stats: Rc::clone(&role.stats),
        }
    }
}

/// What the server should say: the same numbers as the service's, by addition.
fn fibonacci(n: u32) -> u64 {
    let (mut now, mut next) = (1, 1_u64);
    for _ in 2..n {
        (now, next) = (next, now + next);
    }
    next.max(now)
}

impl Service for Clients {
    type Conn = Client;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> Client {
        let script = self.scripts.borrow_mut().pop_front();
        let script = script.expect("as many connections as scripts");
        Client {
            source,
            unsent: script.requests.len(),
            matched: 0,
            sent: VecDeque::from([(Clock::now(), script.requests.len() / script.request_len)]),
            script,
        }
    }
}

impl Client {
    fn turn<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<(), (Op, IoError)> {
        self.flush(cx)?;
        let input = cx.buffers.input.as_mut();
        let count = cx.host.recv(self.source, input).map_err(|error| (Op::Recv, error))?;
        if count == 0 {
            return Err((Op::Recv, IoError::Closed));
        }
        if self.take_replies(&input[..count]).is_err() {
            let line = String::from_utf8_lossy(&input[..count.min(80)]);
            self.report(&format!("the server said {line:?}"));
            return Err((Op::Recv, IoError::Closed));
        }
        self.flush(cx)
    }

    fn flush<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<(), (Op, IoError)> {
        let requests = &self.script.requests;
        while self.unsent > 0 {
            // All requests are the same, so the last bytes of as many are always the right ones.
            let rest = &requests[requests.len() - self.unsent..];
            let sent = cx.host.send(self.source, rest);
            self.unsent -= sent.map_err(|error| (Op::Send, error))?;
        }
        Ok(())
    }

    /// Compares what came with what should come; each reply is the next request's turn.
    fn take_replies(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let mut replies = 0;
        for byte in bytes {
            if self.script.reply[self.matched] != *byte {
                return Err(());
            }
            self.matched += 1;
            if self.matched == self.script.reply.len() {
                self.matched = 0;
                replies += 1;
            }
        }
        self.unsent += replies * self.script.request_len;
        self.record(replies);
        Ok(())
    }

    fn record(&mut self, mut replies: usize) {
        let now = Clock::now();
        if replies > 0 {
            self.sent.push_back((now, replies));
        }
        let mut stats = self.script.stats.borrow_mut();
        while let Some((since, count)) = self.sent.front_mut().filter(|_| replies > 0) {
            let answered = replies.min(*count);
            for _ in 0..answered {
                stats.record(now.duration_since(*since));
            }
            replies -= answered;
            *count -= answered;
            if *count == 0 {
                self.sent.pop_front();
            }
        }
    }

    fn report(&self, trouble: &str) {
        let mut stats = self.script.stats.borrow_mut();
        stats.trouble.get_or_insert_with(|| trouble.to_owned());
    }
}

impl<H: Serves<Clients>> Task<H> for Client {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        let end = cx.host.service().end;
        if cx.woken() == Woken::TimedOut || cx.now() >= end {
            return Step::Done;
        }
        match self.turn(cx) {
            Ok(()) => Step::Wait(Wait::recv(self.source).until(end)),
            Err((op, error @ (IoError::WouldBlock | IoError::Stopping))) => {
                cx.failed(op, self.source, error, end)
            }
            Err((_, error)) => {
                self.report(&format!("the connection ended: {error}"));
                Step::Done
            }
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
    }
}
