//! A driver that keeps the contract but uses all the freedom that it leaves, as its tape decides: input arrives in
//! pieces, output blocks anywhere, clients break off, jobs complete in slices and in any order, and connections that
//! the loop requests are refused, late, or lead to servers that answer in upper case, or not at all. So do connections from
//! listeners that the loop requests.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sinbin_core::driven::{
    Command, Compute, Computed, ConnectError, ConnectId, Driven, DrivenHost, Event, LISTEN, SourceHandle,
    TurnOutput, compute,
};
use sinbin_core::job::WireJob;
use sinbin_core::{Instant, Interest, JobId, Limits, Rest, Service, Task};

use crate::tape::Tape;

const LISTENER: SourceHandle = SourceHandle(7 << 32);

/// The first of the handles that name nothing.
const GHOSTS: u64 = (u32::MAX as u64) << 32;

/// The limit of turns after the tape's end, when every operation succeeds at once.
const MOST: usize = 5_000;

/// The behaviour of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Role {
    /// A client, which sends its script and then the end.
    #[default]
    Client,
    /// A server, which sends back what it receives in upper case, and the end after the end.
    Server,
    /// A server that accepts everything and says nothing, until the connection fails.
    SilentServer,
    /// A listener that the loop has requested, from which it gets servers.
    Listener,
}

/// A peer, which is a client unless the loop has connected to it, and its data in the driver.
#[derive(Default)]
pub struct Client {
    pub role: Role,
    /// Bytes that the client has yet to send.
    script: VecDeque<u8>,
    pub got: Vec<u8>,
    pub has_broken: bool,
    has_arrived: bool,
    has_ended: bool,
    /// True if the loop has ended its sending direction.
    has_shut: bool,
    is_closed: bool,
    is_stuck: bool,
    /// True if the loop has been notified that the connection is stuck.
    is_mute: bool,
    interest: Interest,
    /// Bytes in the input of this turn.
    piece: Vec<u8>,
    /// Bytes that the loop has returned unread.
    unread: Vec<u8>,
    /// Bytes that the loop has sent and the client has not received.
    rest: VecDeque<u8>,
}

/// A request of the loop.
struct Request {
    id: ConnectId,
    is_for_listener: bool,
}

/// The limits of a run.
pub struct Sizes {
    pub limits: Limits,
    pub window: usize,
    pub compute: Compute,
    /// True if the driver also reports events that name nothing.
    pub ghosts: bool,
}

/// The driver's half of the contract.
pub struct Driver<'t, S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    tape: Tape<'t>,
    clients: Vec<Client>,
    driven: Driven<S>,
    jobs: BTreeMap<JobId, Vec<u8>>,
    /// The connections and listeners that the loop has requested.
    requests: Vec<Request>,
    events: Vec<Event>,
    input: Vec<u8>,
    room: u32,
    window: usize,
    block: usize,
    /// The number of events so far that name nothing, or none if the driver reports no such events.
    ghosts: Option<u64>,
    listens: bool,
    now: Instant,
}

impl<'t, S> Driver<'t, S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    pub fn new(service: S, sizes: &Sizes, scripts: &[Vec<u8>], tape: Tape<'t>) -> Self {
        let client = |script: &Vec<u8>| Client { script: script.clone().into(), ..Client::default() };
        Self {
            tape,
            clients: scripts.iter().map(client).collect(),
            driven: Driven::new(service, &sizes.limits, sizes.compute),
            jobs: BTreeMap::new(),
            requests: Vec::new(),
            events: vec![Event::Listener(LISTENER)],
            input: Vec::new(),
            room: 0,
            window: sizes.window,
            block: sizes.limits.block_size(),
            ghosts: sizes.ghosts.then_some(0),
            listens: false,
            now: Instant::ZERO,
        }
    }

    /// Runs until every client is gone, and then until the loop ends. Returns the clients with the bytes that they
    /// received, and behind them the servers that the loop has connected to.
    pub fn run(mut self) -> Vec<Client> {
        let mut turns = 0;
        while !self.clients.iter().all(|client| client.is_closed && client.rest.is_empty()) {
            self.sense();
            self.turn();
            turns += usize::from(self.tape.is_over());
            assert!(turns < MOST, "stuck");
        }
        assert_eq!(
            self.driven.counts().ignored,
            self.ghosts.unwrap_or(0),
            "the loop ignored only the ghosts"
        );
        self.events.push(Event::Stop);
        while self.turn() != Rest::Empty {
            turns += 1;
            assert!(turns < 2 * MOST, "it never ends");
        }
        assert_eq!(self.driven.kernel().count(), 0);
        assert!(self.jobs.is_empty() && self.requests.is_empty(), "no job and no request is left");
        self.clients
    }

    /// Collects the events of this turn.
    fn sense(&mut self) {
        for index in 0..self.clients.len() {
            if self.clients[index].role == Role::Listener {
                self.arrive_at(index);
                continue;
            }
            self.arrive(index);
            self.receive(index);
            self.flush(index);
            self.break_off(index);
        }
        self.work();
        self.dial();
        self.haunt();
    }

    /// Answers some of the requests for connections.
    fn dial(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            let role = match self.tape.below(8) {
                0..=2 if request.is_for_listener => Role::Listener,
                0 | 1 => Role::Server,
                2 => Role::SilentServer,
                3 => {
                    let reason = self.tape.one_of(&ConnectError::ALL);
                    self.events.push(Event::ConnectFailed { request: request.id, reason });
                    continue;
                }
                _ => {
                    self.requests.push(request);
                    continue;
                }
            };
            let source = self.add(role);
            self.events.push(Event::Connected { request: request.id, source, len: 0 });
        }
    }

    /// Adds a peer or a listener, and returns its handle.
    fn add(&mut self, role: Role) -> SourceHandle {
        let source = handle(self.clients.len());
        self.clients.push(Client { role, has_arrived: true, ..Client::default() });
        source
    }

    /// Makes servers arrive at a listener that the loop has requested, sometimes several of them at once.
    fn arrive_at(&mut self, index: usize) {
        let listener = &self.clients[index];
        if listener.is_closed || !listener.interest.contains(Interest::RECV) {
            return;
        }
        while self.room > 0 && self.tape.once_in(2) {
            self.room -= 1;
            let role = self.tape.one_of(&[Role::Server, Role::Server, Role::SilentServer]);
            let connection = self.add(role);
            self.events.push(Event::Accepted { listener: handle(index), connection, len: 0 });
        }
    }

    fn arrive(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if self.listens && self.room > 0 && !client.has_arrived && !self.tape.once_in(3) {
            self.room -= 1;
            client.has_arrived = true;
            let connection = handle(index);
            self.events.push(Event::Accepted { listener: LISTENER, connection, len: 0 });
        }
    }

    fn receive(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let is_silent = client.role == Role::SilentServer;
        if !client.is_open() || !client.interest.contains(Interest::RECV) || is_silent {
            return;
        }
        // Bytes that were returned unread come first and are not combined with others.
        client.piece = match client.unread.is_empty() {
            true => {
                let count = part(&mut self.tape, client.script.len().min(self.block));
                client.script.drain(..count).collect()
            }
            false => std::mem::take(&mut client.unread),
        };
        if !client.piece.is_empty() {
            self.input.extend(&client.piece);
            self.events.push(Event::Received { source: handle(index), len: len(&client.piece) });
        } else if client.script.is_empty() && !client.has_ended && client.is_about_to_end() {
            client.has_ended = true;
            self.events.push(Event::Ended(handle(index)));
        }
    }

    fn flush(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.rest.is_empty() && !client.is_stuck {
            return;
        }
        let count = part(&mut self.tape, client.rest.len());
        client.take(count);
        if client.is_stuck && client.rest.is_empty() && !client.is_closed {
            client.is_stuck = false;
            self.events.push(Event::Writable(handle(index)));
        }
    }

    fn break_off(&mut self, index: usize) {
        let client = &mut self.clients[index];
        // After the end of the tape, a server that says nothing is found to be gone.
        let is_gone = client.role == Role::SilentServer && self.tape.is_over();
        if client.is_open() && client.is_watched() && (is_gone || self.tape.once_in(64)) {
            client.has_broken = true;
            client.rest.clear();
            self.events.push(Event::Failed(handle(index)));
        }
    }

    /// Sometimes computes a slice of a job.
    fn work(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let which = self.tape.below(3);
        let Some(job) = self.jobs.keys().nth(which).copied() else { return };
        let bytes = self.jobs.remove(&job).expect("it was there");
        match compute::<S::Job>(&bytes, self.tape.one_of(&[u32::MAX, 500])) {
            Computed::More(bytes) => drop(self.jobs.insert(job, bytes)),
            Computed::Done(result) => {
                self.events.push(Event::Computed { job, len: len(&result) });
                self.input.extend(result);
            }
            Computed::Nonsense => panic!("it is the service's own"),
        }
    }

    fn haunt(&mut self) {
        let Some(count) = &mut self.ghosts else { return };
        if self.tape.once_in(5) {
            let ghost = SourceHandle(GHOSTS | self.tape.below(9) as u64);
            self.events.extend([Event::Writable(ghost), Event::Received { source: ghost, len: 0 }]);
            *count += 2;
        }
    }

    fn turn(&mut self) -> Rest {
        let events = std::mem::take(&mut self.events);
        let input = std::mem::take(&mut self.input);
        for event in &events {
            match *event {
                Event::Stuck(source) => self.client(source).is_mute = true,
                Event::Writable(source) if source.0 < GHOSTS => self.client(source).is_mute = false,
                _ => {}
            }
        }
        let answer = self.driven.turn(self.now, self.window, events, input);
        assert_eq!(self.driven.kernel().audit(), Ok(()));
        let rest = answer.rest;
        self.obey(answer);
        self.clients.iter_mut().for_each(|client| client.piece.clear());
        self.now = self.now + Duration::from_millis(1);
        rest
    }

    fn obey(&mut self, answer: TurnOutput) {
        self.room = answer.room;
        let mut output = &answer.output[..];
        let mut next = |len: u32| output.split_off(..len as usize).expect("as many bytes as were put out");
        for command in answer.commands {
            match command {
                Command::Send { source, len } => self.send(source, next(len)),
                Command::Submit { job, len } => {
                    assert!(self.jobs.insert(job, next(len).to_vec()).is_none(), "a name means one job");
                }
                Command::Connect { request, len } => {
                    let text = next(len);
                    assert!(!text.is_empty(), "an endpoint has a text");
                    let is_known = self.requests.iter().any(|other| other.id == request);
                    assert!(!is_known, "a number means one request");
                    let is_for_listener = text.starts_with(LISTEN.as_bytes());
                    self.requests.push(Request { id: request, is_for_listener });
                }
                Command::Abandon(request) => {
                    let before = self.requests.len();
                    self.requests.retain(|other| other.id != request);
                    assert_eq!(self.requests.len() + 1, before, "it is not answered yet");
                }
                Command::Shutdown(source) => self.client(source).has_shut = true,
                Command::Cancel(job) => assert!(self.jobs.remove(&job).is_some(), "it is there"),
                Command::Watch { source: LISTENER, interest } => {
                    self.listens = interest.contains(Interest::RECV);
                }
                Command::Watch { source, interest } => self.client(source).interest = interest,
                Command::Unread { source, len } => {
                    let client = self.client(source);
                    let taken = client.piece.len().checked_sub(len as usize).expect("it was just told");
                    client.unread = client.piece.split_off(taken);
                }
                Command::Close(LISTENER) => self.listens = false,
                Command::Close(source) => {
                    self.client(source).is_closed = true;
                    self.events.retain(|event| *event != Event::Stuck(source));
                }
                other => panic!("the service never says {other:?}"),
            }
        }
        assert!(output.is_empty(), "every byte belongs to a command");
    }

    fn send(&mut self, source: SourceHandle, bytes: &[u8]) {
        let window = self.window;
        let client = self.client(source);
        assert!(!client.is_mute, "the loop knows that the connection is stuck");
        assert!(!client.has_broken, "nothing is sent to a client that broke off");
        assert!(!client.has_shut, "nothing is sent behind the end");
        client.rest.extend(bytes);
        assert!(client.rest.len() <= window, "no more than the window");
        let all = client.rest.len();
        let sent = part(&mut self.tape, all);
        let client = self.client(source);
        client.take(sent);
        if sent < all && !client.is_stuck {
            client.is_stuck = true;
            self.events.push(Event::Stuck(source));
        }
    }

    fn client(&mut self, source: SourceHandle) -> &mut Client {
        let index = usize::try_from(source.0 & 0xffff_ffff).expect("32 bits") - 1;
        assert_eq!(source, handle(index), "a handle that was given");
        let client = &mut self.clients[index];
        assert!(client.has_arrived && !client.is_closed, "it is there");
        client
    }
}

impl Client {
    /// Checks that the client received exactly the owed bytes, or a prefix of them if it broke off.
    pub fn check(&self, owed: &[u8]) {
        let got = String::from_utf8_lossy(&self.got);
        let all = String::from_utf8_lossy(owed);
        if self.has_broken {
            assert!(owed.starts_with(&self.got), "the beginning of {all:?}: {got:?}");
        } else {
            assert!(owed == self.got, "owed {all:?}, got {got:?}");
        }
    }

    /// Receives `count` of the bytes that the loop has sent. A server answers them.
    fn take(&mut self, count: usize) {
        let bytes: Vec<_> = self.rest.drain(..count).collect();
        if self.role == Role::Server {
            self.script.extend(bytes.to_ascii_uppercase());
        }
        self.got.extend(bytes);
    }

    /// Returns true if the peer ends its stream when it has sent its script.
    fn is_about_to_end(&self) -> bool {
        self.role == Role::Client || self.has_shut && self.rest.is_empty()
    }

    fn is_open(&self) -> bool {
        self.has_arrived && !self.is_closed && !self.has_broken
    }

    fn is_watched(&self) -> bool {
        !self.interest.is_empty()
    }
}

fn handle(index: usize) -> SourceHandle {
    SourceHandle(3 << 32 | (index as u64 + 1))
}

/// Returns a part of `all`: all of it, at most one, half, or none.
fn part(tape: &mut Tape<'_>, all: usize) -> usize {
    match tape.below(4) {
        0 => all,
        1 => all.min(1),
        2 => all / 2,
        _ => 0,
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a few bytes")
}
