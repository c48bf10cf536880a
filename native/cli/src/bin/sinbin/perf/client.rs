//! The client's side of the fib protocol, as a service of our own: its connections are those that we make.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use sinbin::{
    Cx, Instant, IoError, NoJob, Server, Serves, Service, Settings, SourceId, Step, Task, Wait, WaitTarget,
};

use super::advice;
use super::stats::Stats;
use crate::cli::PerfArgs;
use sinbin_cli::signals::stop_on_signal;

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

/// How long a reply may take at least, behind the end of the measurement.
const GRACE: Duration = Duration::from_secs(2);

/// How much longer than the slowest one so far it may take then.
const SLOWER: u32 = 20;

/// How long a reply that nobody has asked for is listened for, when all are there.
const SILENCE: Duration = Duration::from_millis(200);

/// All clients of a measurement.
struct Clients {
    /// What the next connections play.
    scripts: RefCell<VecDeque<Rc<Script>>>,
    /// Nothing is asked any more from here on; what was asked is still to be answered.
    end: Instant,
    /// How long no reply may come before the server has stalled.
    patience: Duration,
    /// When the last one came.
    heard: Cell<Instant>,
}

/// One connection.
struct Client {
    source: SourceId,
    script: Rc<Script>,
    /// Requests that wait to be sent, in bytes.
    unsent: usize,
    /// How much of the next reply is there.
    matched: usize,
    /// When requests were sent, and how many then, as far as they are not answered.
    sent: VecDeque<(Clock, usize)>,
    /// A reply has come.
    has_heard: bool,
    has_asked_for_the_last: bool,
    /// When all was answered, behind the end of the measurement.
    all_answered: Option<Instant>,
}

/// Plays the roles against a server for a while, or until a signal. Returns how long it was, in seconds.
pub(crate) fn play(args: &PerfArgs, roles: &[Role], time: Duration) -> Result<f64, Box<dyn Error>> {
    let mut settings = Settings::default();
    settings.workers = 0;
    settings.max_connections = roles.iter().map(|role| role.connections as usize).sum();
    sinbin_cli::descriptors::make_room_for(roles.iter().map(|role| role.connections).sum());
    let streams = connect(args.connect, settings.max_connections)?;
    let scripts = roles.iter().flat_map(|role| {
        let script = Rc::new(Script::new(role));
        (0..role.connections).map(move |_| Rc::clone(&script))
    });
    let clients = Clients {
        scripts: RefCell::new(scripts.collect()),
        end: Instant::ZERO + time,
        patience: args.timeout.0.unwrap_or(Duration::MAX),
        heard: Cell::new(Instant::ZERO),
    };
    let mut lap = Server::new(clients, &settings).map_err(|error| advice::with(&error))?;
    let begin = Clock::now();
    for stream in streams {
        lap.serve(stream).map_err(|error| advice::with(&error))?;
    }
    stop_on_signal(lap.stopper())?;
    let summary = lap.run()?;
    // The clients themselves never fail.
    if summary.counts.failed > 0 {
        return Err(
            "a client of this measurement has panicked, which is a bug: its figures are no good".into()
        );
    }
    Ok(begin.elapsed().min(time).as_secs_f64())
}

/// All connections first, so that the measurement begins with all of them.
fn connect(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let one = |number| {
        TcpStream::connect_timeout(&server, PATIENCE).map_err(|error| {
            let advice = advice::on(&error).map(|advice| format!("; {advice}")).unwrap_or_default();
            format!("cannot connect to {server}: {error} (connection {number} of {count}){advice}")
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
            has_heard: false,
            has_asked_for_the_last: false,
            all_answered: None,
        }
    }
}

/// Why a connection is over before its time.
enum Trouble {
    Io(IoError),
    /// The trouble has been reported already.
    Told,
}

impl Client {
    /// Sends what there is room for, and takes what is there.
    fn exchange<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<(), Trouble> {
        self.flush(cx)?;
        let input = cx.buffers.input.as_mut();
        let count = match cx.host.recv(self.source, input) {
            Err(IoError::WouldBlock) => return Ok(()),
            received => received.map_err(Trouble::Io)?,
        };
        if count == 0 {
            return Err(Trouble::Io(IoError::Closed));
        }
        let Ok(replies) = self.take_replies(&input[..count]) else {
            let line = String::from_utf8_lossy(&input[..count.min(80)]);
            self.report(&format!("the server said {line:?}"));
            return Err(Trouble::Told);
        };
        let clients = cx.host.service();
        if replies > 0 {
            self.has_heard = true;
            clients.heard.set(cx.now());
        }
        let surplus = self.record(replies, cx.now() < clients.end);
        if surplus > 0 {
            self.report("the server sent more replies than it was asked for");
            self.script.stats.borrow_mut().surplus += surplus as u64;
            return Err(Trouble::Told);
        }
        self.flush(cx)
    }

    fn flush<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<(), Trouble> {
        let requests = &self.script.requests;
        while self.unsent > 0 {
            // All requests are the same, so the last bytes of as many are always the right ones.
            let rest = &requests[requests.len() - self.unsent..];
            match cx.host.send(self.source, rest) {
                Ok(count) => self.unsent -= count,
                Err(IoError::WouldBlock) => break,
                Err(error) => return Err(Trouble::Io(error)),
            }
        }
        Ok(())
    }

    /// Compares what came with what should come, and returns how many replies it was.
    fn take_replies(&mut self, bytes: &[u8]) -> Result<usize, ()> {
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
        Ok(replies)
    }

    /// Takes note of replies; each is the next request's turn, if it `goes_on`. Returns how many were too many.
    fn record(&mut self, mut replies: usize, goes_on: bool) -> usize {
        let now = Clock::now();
        let mut answered = 0;
        let mut stats = self.script.stats.borrow_mut();
        while let Some((since, count)) = self.sent.front_mut().filter(|_| replies > 0) {
            let of_these = replies.min(*count);
            if goes_on {
                (0..of_these).for_each(|_| stats.record(now.duration_since(*since)));
            }
            answered += of_these;
            replies -= of_these;
            *count -= of_these;
            if *count == 0 {
                self.sent.pop_front();
            }
        }
        if goes_on && answered > 0 {
            self.unsent += answered * self.script.request_len;
            self.sent.push_back((now, answered));
        }
        replies
    }

    /// Requests that are not answered.
    fn under_way(&self) -> usize {
        self.sent.iter().map(|(_, count)| count).sum()
    }

    /// Forgets the requests that are not sent at all.
    fn ask_no_more(&mut self) {
        let mut whole = self.unsent / self.script.request_len;
        self.unsent %= self.script.request_len;
        while let Some((_, count)) = self.sent.back_mut().filter(|_| whole > 0) {
            let forgotten = whole.min(*count);
            whole -= forgotten;
            *count -= forgotten;
            if *count == 0 {
                self.sent.pop_back();
            }
        }
    }

    /// Returns how long something may still come; `None` when there is nothing to wait for.
    fn deadline(&mut self, clients: &Clients, now: Instant) -> Option<Instant> {
        if now < clients.end {
            return Some(clients.end.min(clients.heard.get() + clients.patience));
        }
        if !std::mem::replace(&mut self.has_asked_for_the_last, true) {
            self.ask_no_more();
        }
        let Some((since, _)) = self.sent.front() else {
            // A server that has said too much once may have been one reply ahead all the time.
            let until = *self.all_answered.get_or_insert(now) + SILENCE;
            return (now < until).then_some(until);
        };
        let age = since.elapsed();
        // A request that waits in the pipeline gets older while the server answers those before it.
        let silence = age.min(now.since(clients.heard.get()));
        // The server has shown how quick it is.
        let slowest = self.script.stats.borrow().slowest();
        let patience = GRACE.max(slowest.saturating_mul(SLOWER)).min(clients.patience);
        let until = now + patience.saturating_sub(silence);
        if self.has_heard {
            return Some(until);
        }
        // The server may come to this connection when it has done with others, which are about to go.
        let first = now + clients.patience.saturating_sub(age);
        Some(until.max(first).max(clients.end + GRACE))
    }

    /// Asks no more, and counts the requests without an answer.
    fn give_up(&mut self) {
        self.ask_no_more();
        self.script.stats.borrow_mut().unanswered += self.under_way() as u64;
    }

    /// Gives up as [`give_up`](Self::give_up) does, and reports why.
    fn give_up_since(&mut self, why: &str) {
        self.give_up();
        let is_silent = !self.has_heard && self.matched == 0;
        self.script.stats.borrow_mut().silent += u64::from(is_silent);
        if self.matched > 0 {
            self.report(&format!("{why}, amid a reply"));
        }
        self.report(why);
    }

    fn report(&self, trouble: &str) {
        let mut stats = self.script.stats.borrow_mut();
        stats.trouble.get_or_insert_with(|| trouble.to_owned());
    }
}

impl<H: Serves<Clients>> Task<H> for Client {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match self.exchange(cx) {
            Ok(()) => {}
            // A signal: who ends a measurement early does not ask what is missing.
            Err(Trouble::Io(IoError::Stopping)) => return Step::Done,
            Err(Trouble::Told) => {
                self.give_up();
                return Step::Done;
            }
            Err(Trouble::Io(error)) => {
                // A server that has nothing left to say may go when it is over.
                if self.under_way() > 0 || cx.now() < cx.host.service().end {
                    self.give_up_since(&format!("the connection ended: {error}"));
                }
                return Step::Done;
            }
        }
        let now = cx.now();
        match self.deadline(cx.host.service(), now) {
            None => Step::Done,
            Some(deadline) if deadline <= now => {
                self.give_up_since("the server does not answer any more");
                Step::Done
            }
            Some(deadline) => {
                let wait = Wait::recv(self.source).until(deadline);
                Step::Wait(if self.unsent > 0 { wait.or(WaitTarget::Send(self.source)) } else { wait })
            }
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
    }
}
