//! The client's side of the fib protocol, implemented as a service whose connections are outgoing ones.

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
use super::cpu::{Measured, Sample, Share};
use super::live::Live;
use super::stats::Stats;
use crate::cli::PerfArgs;
use sinbin_cli::signals::stop_on_signal;

/// A kind of client: its request, and its numbers of connections and of outstanding requests.
pub(crate) struct Role {
    pub(crate) n: u32,
    pub(crate) connections: u32,
    pub(crate) pipeline: u32,
    pub(crate) bare: bool,
    pub(crate) stats: Rc<RefCell<Stats>>,
}

/// The bytes that the clients of a role send and expect.
struct Script {
    n: u32,
    /// The requests that are outstanding at a time, one after the other.
    requests: Vec<u8>,
    request_len: usize,
    reply: Vec<u8>,
    stats: Rc<RefCell<Stats>>,
}

/// The timeout of connecting.
const PATIENCE: Duration = Duration::from_secs(10);

/// The minimum time to wait for a reply after the end of the measurement.
const GRACE: Duration = Duration::from_secs(2);

/// The factor by which a reply may then take longer than the slowest one so far.
const SLOWER: u32 = 20;

/// The time to wait for unexpected replies after all expected replies have arrived.
const SILENCE: Duration = Duration::from_millis(200);

/// All clients of a measurement.
struct Clients {
    /// The scripts of the next connections.
    scripts: RefCell<VecDeque<Rc<Script>>>,
    /// The end of the measurement: no requests are sent after it, but replies are still awaited.
    end: Instant,
    /// The time without any reply after which the server counts as stalled.
    patience: Duration,
    /// The time of the last reply.
    heard: Cell<Instant>,
    /// The view of the measurement, if there is one.
    live: Option<RefCell<Live>>,
    /// True once the first connection exists.
    has_first: Cell<bool>,
}

/// A connection of a client.
struct Client {
    source: SourceId,
    /// True for the connection that wakes up to update the view.
    is_first: bool,
    script: Rc<Script>,
    /// The number of bytes of requests that are not sent yet.
    unsent: usize,
    /// The number of bytes of the next reply that have arrived.
    matched: usize,
    /// The times at which requests were sent, and the number of unanswered requests of each time.
    sent: VecDeque<(Clock, usize)>,
    /// True once a reply has arrived.
    has_heard: bool,
    /// True once the unsent requests are dropped after the end of the measurement.
    has_asked_for_the_last: bool,
    /// The time after the end of the measurement at which all requests were answered.
    all_answered: Option<Instant>,
}

/// The duration of a measurement, in seconds, and the share of the processor time that others took during it.
pub(crate) struct Played {
    pub(crate) seconds: f64,
    pub(crate) share: Share,
}

/// Runs the roles against a server for `time`, or until a signal.
pub(crate) fn play(
    args: &PerfArgs,
    roles: &[Role],
    time: Duration,
    live: Option<Live>,
) -> Result<Played, Box<dyn Error>> {
    let mut settings = Settings::default();
    settings.workers = 0;
    settings.max_connections = roles.iter().map(|role| role.connections as usize).sum();
    sinbin_cli::descriptors::make_room_for(roles.iter().map(|role| role.connections).sum());
    let streams = connect(args.connect, settings.max_connections)?;
    let measured = measured(args, &streams);
    let scripts = roles.iter().flat_map(|role| {
        let script = Rc::new(Script::new(role));
        (0..role.connections).map(move |_| Rc::clone(&script))
    });
    let clients = Clients {
        scripts: RefCell::new(scripts.collect()),
        end: Instant::ZERO + time,
        patience: args.timeout.0.unwrap_or(Duration::MAX),
        heard: Cell::new(Instant::ZERO),
        live: live.map(RefCell::new),
        has_first: Cell::new(false),
    };
    let before = Sample::read(&measured);
    let mut lap = Server::new(clients, &settings).map_err(|error| advice::with(&error))?;
    let begin = Clock::now();
    for stream in streams {
        lap.serve(stream).map_err(|error| advice::with(&error))?;
    }
    stop_on_signal(lap.stopper())?;
    let summary = lap.run()?;
    // The clients return no errors, so a failed connection means a panic.
    if summary.counts.failed > 0 {
        return Err(
            "a client of the measurement panicked, which is a bug in sinbin; the results are invalid".into(),
        );
    }
    let seconds = begin.elapsed().min(time).as_secs_f64();
    Ok(Played { seconds, share: Share::between(before, Sample::read(&measured)) })
}

/// Returns the processes of the server.
fn measured(args: &PerfArgs, streams: &[TcpStream]) -> Measured {
    if let Some(pid) = args.noise.server_pid {
        return Measured::Processes(vec![pid]);
    }
    let local = streams.first().and_then(|stream| stream.local_addr().ok());
    local.map_or(Measured::Unknown, |local| Measured::find(args.connect, local.ip()))
}

/// Opens all connections, so that the measurement begins with all of them.
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
            n: role.n,
            requests: request.repeat(role.pipeline as usize),
            request_len: request.len(),
            reply: format!("{}\n", fibonacci(role.n)).into_bytes(),
            stats: Rc::clone(&role.stats),
        }
    }
}

/// Returns the expected Fibonacci number, computed by addition.
pub(crate) fn fibonacci(n: u32) -> u64 {
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
        let mut scripts = self.scripts.borrow_mut();
        let script = scripts.pop_front().expect("there is a script for each connection");
        Client {
            source,
            is_first: !self.has_first.replace(true),
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

/// The reason why a connection ended early.
enum Trouble {
    Io(IoError),
    /// A problem that is already reported.
    Told,
}

impl Client {
    /// Sends and receives as much as possible without blocking.
    fn exchange<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<(), Trouble> {
        self.flush(cx)?;
        if self.receive(cx)? { self.flush(cx) } else { Ok(()) }
    }

    /// Receives replies once. Returns false if there is nothing to receive.
    fn receive<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<bool, Trouble> {
        let input = cx.buffers.input.as_mut();
        let count = match cx.host.recv(self.source, input) {
            Err(IoError::WouldBlock) => return Ok(false),
            received => received.map_err(Trouble::Io)?,
        };
        if count == 0 {
            return Err(Trouble::Io(IoError::Closed));
        }
        let replies = match self.take_replies(&input[..count]) {
            Ok(replies) => replies,
            Err(wrong) => {
                let said = String::from_utf8_lossy(&wrong);
                let advice = advice::on_reply(self.script.n, &said);
                let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
                self.report(&format!("the server said {said:?}{advice}"));
                return Err(Trouble::Told);
            }
        };
        let clients = cx.host.service();
        if replies > 0 {
            self.has_heard = true;
            clients.heard.set(cx.now());
        }
        let at = Some(cx.now()).filter(|now| *now < clients.end);
        let surplus = self.record(replies, at);
        if surplus > 0 {
            self.report("the server sent more replies than it was asked for");
            self.script.stats.borrow_mut().surplus += surplus as u64;
            return Err(Trouble::Told);
        }
        Ok(true)
    }

    /// Receives what arrived before a send failed, so that the report does not depend on whether a send or a receive
    /// finds a broken connection first. Returns the reason for the end of the connection.
    fn receive_rest<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>, error: IoError) -> Trouble {
        loop {
            match self.receive(cx) {
                Ok(true) => {}
                Ok(false) | Err(Trouble::Io(_)) => return Trouble::Io(error),
                Err(Trouble::Told) => return Trouble::Told,
            }
        }
    }

    fn flush<H: Serves<Clients>>(&mut self, cx: &mut Cx<'_, H>) -> Result<(), Trouble> {
        while self.unsent > 0 {
            // All requests are equal, so the last `unsent` bytes are the right ones.
            let requests = &self.script.requests;
            let rest = &requests[requests.len() - self.unsent..];
            match cx.host.send(self.source, rest) {
                Ok(count) => self.unsent -= count,
                Err(IoError::WouldBlock) => break,
                Err(error) => return Err(self.receive_rest(cx, error)),
            }
        }
        Ok(())
    }

    /// Compares the received bytes with the expected replies, and returns the number of completed replies. If a byte
    /// differs, returns what has arrived of the wrong reply: at most one line, and at most 80 bytes. The replies that
    /// arrived before it depend on how the network cut the stream.
    fn take_replies(&mut self, bytes: &[u8]) -> Result<usize, Vec<u8>> {
        let mut replies = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let expected = &self.script.reply;
            if expected[self.matched] != *byte {
                let rest = bytes[at..].split_inclusive(|byte| *byte == b'\n').next();
                let wrong = [&expected[..self.matched], rest.unwrap_or_default()].concat();
                return Err(wrong.into_iter().take(80).collect());
            }
            self.matched += 1;
            if self.matched == self.script.reply.len() {
                self.matched = 0;
                replies += 1;
            }
        }
        Ok(replies)
    }

    /// Records replies that arrived `at` a time of the measurement, or after its end. Before the end, each reply also
    /// queues the next request. Returns the number of unexpected replies.
    fn record(&mut self, mut replies: usize, at: Option<Instant>) -> usize {
        let now = Clock::now();
        let mut answered = 0;
        let mut stats = self.script.stats.borrow_mut();
        while let Some((since, count)) = self.sent.front_mut().filter(|_| replies > 0) {
            let of_these = replies.min(*count);
            if let Some(at) = at {
                let at = at.since(Instant::ZERO);
                (0..of_these).for_each(|_| stats.record(now.duration_since(*since), at));
            }
            answered += of_these;
            replies -= of_these;
            *count -= of_these;
            if *count == 0 {
                self.sent.pop_front();
            }
        }
        if at.is_some() && answered > 0 {
            self.unsent += answered * self.script.request_len;
            self.sent.push_back((now, answered));
        }
        replies
    }

    /// Returns the number of unanswered requests.
    fn under_way(&self) -> usize {
        self.sent.iter().map(|(_, count)| count).sum()
    }

    /// Drops the requests of which no byte is sent.
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

    /// Returns the time at which to give up waiting, or `None` if there is nothing to wait for.
    fn deadline(&mut self, clients: &Clients, now: Instant) -> Option<Instant> {
        if now < clients.end {
            return Some(clients.end.min(clients.heard.get() + clients.patience));
        }
        if !std::mem::replace(&mut self.has_asked_for_the_last, true) {
            self.ask_no_more();
        }
        let Some((since, _)) = self.sent.front() else {
            // The server may have sent an extra reply that was taken for the reply to a later request. Then the last
            // reply is still to come, and is unexpected.
            let until = *self.all_answered.get_or_insert(now) + SILENCE;
            return (now < until).then_some(until);
        };
        let age = since.elapsed();
        // A pipelined request gets older while the server answers the requests before it.
        let silence = age.min(now.since(clients.heard.get()));
        // The slowest reply so far shows how long the server may take.
        let slowest = self.script.stats.borrow().slowest();
        let patience = GRACE.max(slowest.saturating_mul(SLOWER)).min(clients.patience);
        let until = now + patience.saturating_sub(silence);
        if self.has_heard {
            return Some(until);
        }
        // The server may serve this connection only after others have closed, which they are about to do.
        let first = now + clients.patience.saturating_sub(age);
        Some(until.max(first).max(clients.end + GRACE))
    }

    /// Drops unsent requests, and counts the requests without a reply.
    fn give_up(&mut self) {
        self.ask_no_more();
        let mut stats = self.script.stats.borrow_mut();
        stats.unanswered += self.under_way() as u64;
        stats.errors += 1;
    }

    /// Gives up as [`give_up`](Self::give_up) does, and reports why.
    fn give_up_since(&mut self, why: &str) {
        self.give_up();
        let is_silent = !self.has_heard && self.matched == 0;
        self.script.stats.borrow_mut().silent += u64::from(is_silent);
        if self.matched > 0 {
            self.report(&format!("{why}, in the middle of a reply"));
        }
        self.report(why);
    }

    fn report(&self, trouble: &str) {
        self.script.stats.borrow_mut().report(trouble);
    }
}

impl<H: Serves<Clients>> Task<H> for Client {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match self.exchange(cx) {
            Ok(()) => {}
            // A signal ended the measurement early, so missing replies are not a problem.
            Err(Trouble::Io(IoError::Stopping)) => return Step::Done,
            Err(Trouble::Told) => {
                self.give_up();
                return Step::Done;
            }
            Err(Trouble::Io(error)) => {
                // After the end of the measurement, the server may close a connection on which no reply is due.
                if self.under_way() > 0 || cx.now() < cx.host.service().end {
                    self.give_up_since(&format!("the connection ended: {error}"));
                }
                return Step::Done;
            }
        }
        let now = cx.now();
        let update = cx.host.service().live.as_ref().map(|live| live.borrow_mut().update(now));
        let update = update.filter(|_| self.is_first);
        match self.deadline(cx.host.service(), now) {
            None => Step::Done,
            Some(deadline) if deadline <= now => {
                self.give_up_since("the server has stopped answering");
                Step::Done
            }
            Some(deadline) => {
                let wait =
                    Wait::recv(self.source).until(update.map_or(deadline, |update| update.min(deadline)));
                Step::Wait(if self.unsent > 0 { wait.or(WaitTarget::Send(self.source)) } else { wait })
            }
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
    }
}
