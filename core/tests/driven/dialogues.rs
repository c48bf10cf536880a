//! A driven loop under a driver that keeps the rules and is unkind within them: input comes in pieces, output gets
//! stuck anywhere, jobs come back in any order, as slices of any size or not at all, and events name what is not there.
//! Every client gets exactly its answers, and nothing is left behind.

use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::driven::{Answer, Command, Compute, Computed, Driven, Event, Handle, compute};
use sinbin_core::fib::FibJob;
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Instant, Interest, JobId, Limits, Rest};

use crate::cases::cases;
use crate::oracle::{Read, asked, line};

const LISTENER: Handle = Handle(7 << 32);

/// A client, and what the driver has under way for it.
#[derive(Default)]
struct Client {
    script: VecDeque<u8>,
    got: Vec<u8>,
    has_arrived: bool,
    is_closed: bool,
    interest: Interest,
    told_end: bool,
    /// In this turn's input.
    piece: Vec<u8>,
    unread: Vec<u8>,
    rest: VecDeque<u8>,
    is_stuck: bool,
    /// The loop knows that.
    is_mute: bool,
}

impl Client {
    fn wants(&self, what: Interest) -> bool {
        self.has_arrived && !self.is_closed && self.interest.contains(what)
    }
}

/// The driver's half.
struct Driver {
    clients: Vec<Client>,
    driven: Driven<Fib>,
    jobs: BTreeMap<u64, Vec<u8>>,
    tape: Vec<u8>,
    at: usize,
    room: u32,
    window: usize,
    block: usize,
    events: Vec<Event>,
    input: Vec<u8>,
    ghosts: u64,
    listens: bool,
    now: Instant,
}

impl Driver {
    fn new(scripts: &[String], limits: &Limits, computes: Compute, window: usize, tape: Vec<u8>) -> Self {
        let fib = Fib { rules: Rules { framing: Framing::Lines, ..Rules::default() }, ..Fib::default() };
        let client = |script: &String| Client { script: script.bytes().collect(), ..Client::default() };
        Self {
            clients: scripts.iter().map(client).collect(),
            driven: Driven::new(fib, limits, computes),
            jobs: BTreeMap::new(),
            tape,
            at: 0,
            room: 0,
            window,
            block: limits.block_size(),
            events: vec![Event::Listener(LISTENER)],
            input: Vec::new(),
            ghosts: 0,
            listens: false,
            now: Instant::ZERO,
        }
    }

    /// One of `choices`; the first, when the tape is over.
    fn below(&mut self, choices: usize) -> usize {
        let byte = self.tape.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % choices
    }

    fn part(&mut self, all: usize) -> usize {
        match self.below(4) {
            0 => all,
            1 => all.min(1),
            2 => all / 2,
            _ => 0,
        }
    }

    fn handle(index: usize) -> Handle {
        Handle(3 << 32 | (index as u64 + 1))
    }

    /// Collects what happened.
    fn sense(&mut self) {
        for index in 0..self.clients.len() {
            self.arrive(index);
            self.receive(index);
            self.flush(index);
        }
        self.work();
        if self.below(5) == 4 {
            let ghost = Handle(u64::from(u32::MAX) << 32 | self.below(9) as u64);
            self.events.extend([Event::Writable(ghost), Event::Received { source: ghost, len: 0 }]);
            self.ghosts += 2;
        }
    }

    fn arrive(&mut self, index: usize) {
        if self.listens && self.room > 0 && !self.clients[index].has_arrived && self.below(3) < 2 {
            self.room -= 1;
            self.clients[index].has_arrived = true;
            self.events.push(Event::Accepted { listener: LISTENER, connection: Self::handle(index), len: 0 });
        }
    }

    fn receive(&mut self, index: usize) {
        if !self.clients[index].wants(Interest::RECV) {
            return;
        }
        let count = self.part(self.clients[index].script.len().min(self.block));
        let client = &mut self.clients[index];
        let source = Self::handle(index);
        // What was handed back comes first, and alone.
        client.piece = match client.unread.is_empty() {
            false => std::mem::take(&mut client.unread),
            true => client.script.drain(..count).collect(),
        };
        if !client.piece.is_empty() {
            self.input.extend(&client.piece);
            self.events.push(Event::Received { source, len: len(&client.piece) });
        } else if client.script.is_empty() && !client.told_end {
            client.told_end = true;
            self.events.push(Event::Ended(source));
        }
    }

    fn flush(&mut self, index: usize) {
        let count = self.part(self.clients[index].rest.len());
        let client = &mut self.clients[index];
        client.got.extend(client.rest.drain(..count));
        if client.is_stuck && client.rest.is_empty() && !client.is_closed {
            client.is_stuck = false;
            self.events.push(Event::Writable(Self::handle(index)));
        }
    }

    /// Computes a slice of a job, and now and then none of it ever.
    fn work(&mut self) {
        let which = self.below(3);
        let Some(job) = self.jobs.keys().nth(which).copied() else { return };
        let bytes = self.jobs.remove(&job).expect("it was there");
        match compute::<FibJob>(&bytes, [u32::MAX, 500][self.below(2)]) {
            Computed::More(bytes) => {
                self.jobs.insert(job, bytes);
            }
            Computed::Done(result) => {
                self.events.push(Event::Computed { job: JobId::from_bits(job), len: len(&result) });
                self.input.extend(result);
            }
            Computed::Nonsense => panic!("it is the guest's own"),
        }
    }

    fn turn(&mut self) -> Rest {
        let events = std::mem::take(&mut self.events);
        let input = std::mem::take(&mut self.input);
        for event in &events {
            match *event {
                Event::Stuck(source) => self.client(source).is_mute = true,
                Event::Writable(source) if source.0 >> 32 == 3 => self.client(source).is_mute = false,
                _ => {}
            }
        }
        let answer = self.driven.turn(self.now, self.window, events, input);
        assert_eq!(self.driven.kernel().audit(), Ok(()));
        let rest = answer.rest;
        self.obey(answer);
        for client in &mut self.clients {
            client.piece.clear();
        }
        self.now = self.now + std::time::Duration::from_millis(1);
        rest
    }

    fn obey(&mut self, answer: Answer) {
        self.room = answer.room;
        let mut output = &answer.output[..];
        let mut next = |len: u32| output.split_off(..len as usize).expect("as many bytes as were put out");
        for command in answer.commands {
            match command {
                Command::Send { source, len } => self.send(source, next(len)),
                Command::Submit { job, len } => {
                    self.jobs.insert(job.to_bits(), next(len).to_vec());
                }
                Command::Cancel(job) => assert!(self.jobs.remove(&job.to_bits()).is_some()),
                Command::Watch { source: LISTENER, interest } => {
                    self.listens = interest.contains(Interest::RECV);
                }
                Command::Watch { source, interest } => self.client(source).interest = interest,
                Command::Unread { source, len } => {
                    let client = self.client(source);
                    let taken = client.piece.len() - len as usize;
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

    fn send(&mut self, source: Handle, bytes: &[u8]) {
        let count = self.part(bytes.len());
        let window = self.window;
        let client = self.client(source);
        assert!(!client.is_mute, "it was told");
        client.rest.extend(bytes);
        assert!(client.rest.len() <= window, "no more than the window");
        let sent = count.min(client.rest.len());
        let sent: Vec<_> = client.rest.drain(..sent).collect();
        client.got.extend(sent);
        if !client.rest.is_empty() && !client.is_stuck {
            client.is_stuck = true;
            self.events.push(Event::Stuck(source));
        }
    }

    fn client(&mut self, source: Handle) -> &mut Client {
        let index = usize::try_from(source.0 & 0xffff_ffff).expect("32 bits") - 1;
        assert_eq!(source, Self::handle(index), "a handle that was given");
        let client = &mut self.clients[index];
        assert!(client.has_arrived && !client.is_closed);
        client
    }

    /// Until every client has gone; then to the end.
    fn run(mut self, scripts: &[String]) {
        let rules = Rules { framing: Framing::Lines, ..Rules::default() };
        let mut turns = 0;
        while !self.clients.iter().all(|client| client.is_closed && client.rest.is_empty()) {
            self.sense();
            self.turn();
            turns += 1;
            assert!(turns < 5_000, "stuck");
        }
        for (client, script) in self.clients.iter().zip(scripts) {
            let read = Read { bytes: script.clone().into_bytes(), is_cut: false };
            let answers = asked(&rules, &[read], true).into_iter().map(|request| line(&rules, request));
            let answers: String = answers.collect();
            assert_eq!(String::from_utf8_lossy(&client.got), answers);
        }
        assert_eq!(self.driven.counts().ignored, self.ghosts);
        self.events.push(Event::Stop);
        while self.turn() != Rest::Empty {}
        assert_eq!(self.driven.kernel().count(), 0);
        assert!(self.jobs.is_empty());
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a few bytes")
}

fn script() -> impl Strategy<Value = String> {
    let line = prop_oneof![6 => "(1|2|10|7)\n", 3 => "1[1-8]\n", 2 => "(x|99| )\n"];
    (vec(line, 0..60), "[0-9]?").prop_map(|(lines, tail)| lines.concat() + &tail)
}

fn tape() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..2_000), vec(prop_oneof![Just(0), any::<u8>()], 0..2_000)]
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn every_client_gets_its_answers(
        scripts in vec(script(), 1..6),
        room in 1_usize..8,
        blocks in 0_usize..4,
        window in prop_oneof![Just(64 * 1024), 1_usize..300],
        computes in prop_oneof![Just(Compute::Driver { slice: 500 }), Just(Compute::Here { slice: 500 })],
        tape in tape(),
    ) {
        // A task is the acceptor's.
        let limits = Limits::new(room + 1, blocks, 256);
        Driver::new(&scripts, &limits, computes, window, tape).run(&scripts);
    }
}

#[test]
fn events_that_mean_nothing_are_ignored_and_counted() {
    let mut driven = Driven::new(Fib::default(), &Limits::new(3, 1, 256), Compute::Driver { slice: 1 });
    let handle = Handle(1);
    let events = [
        Event::Listener(Handle(0)),
        // The name is in use.
        Event::Listener(Handle(0)),
        // By a listener that is none.
        Event::Accepted { listener: handle, connection: Handle(2), len: 0 },
        // Larger than any table.
        Event::Accepted { listener: Handle(0), connection: Handle(1 << 20), len: 0 },
        Event::Accepted { listener: Handle(0), connection: handle, len: 0 },
        // More bytes than there are, which are left to the next one.
        Event::Received { source: handle, len: u32::MAX },
        Event::Hangup(Handle(5 << 32 | 1)),
        Event::Computed { job: JobId::from_bits(3), len: 0 },
        Event::Lost(JobId::from_bits(u64::MAX)),
    ];
    let answer = driven.turn(Instant::ZERO, 100, events, b"abc".to_vec());
    assert_eq!(driven.counts().ignored, 7);
    assert_eq!(answer.room, 1);
    let watch = |source, interest| Command::Watch { source, interest };
    // The connections that nobody can have are closed.
    let closed = [Command::Close(Handle(2)), Command::Close(Handle(1 << 20))];
    let watched = [watch(Handle(0), Interest::RECV), watch(handle, Interest::RECV)];
    assert_eq!(answer.commands, [closed, watched].concat());
}

/// It would wait there for ever: nobody takes connections from a connection.
#[test]
fn a_connection_that_comes_by_a_connection_is_turned_away() {
    let mut driven = Driven::new(Fib::default(), &Limits::new(4, 1, 256), Compute::Driver { slice: 1 });
    let (listener, client, other) = (Handle(0), Handle(1), Handle(2));
    let accepted = |listener, connection| Event::Accepted { listener, connection, len: 0 };
    driven.turn(Instant::ZERO, 100, [Event::Listener(listener), accepted(listener, client)], Vec::new());
    let answer = driven.turn(Instant::ZERO, 100, [accepted(client, other)], Vec::new());
    assert_eq!(answer.commands, [Command::Close(other)]);
    assert_eq!((answer.room, driven.counts().ignored), (2, 1));
    let answer = driven.turn(Instant::ZERO, 100, [Event::Failed(client), Event::Stop], Vec::new());
    assert_eq!(answer.rest, Rest::Empty);
}
