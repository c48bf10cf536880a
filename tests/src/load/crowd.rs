use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use sinbin_simulator::Rng;

use super::seat::{Moment, Now, Seat};
use crate::client::connect;
use crate::wait::PATIENCE;

/// The most connections that wait for their first answer at a time: fewer than the backlog's capacity.
const NEW_AT_ONCE: usize = 256;

const EVENTS_AT_ONCE: usize = 1024;

/// The duration of a run.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// The number of bursts of all clients together, which is independent of the machine.
    Bursts(usize),
    /// A time span.
    Span(Duration),
}

/// The counts of a crowd's run.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections that were made.
    pub connections: usize,
    /// Bursts that were answered correctly, to the byte.
    pub answered: usize,
    /// Connections that were reset, by the moment of the reset.
    pub resets: BTreeMap<Moment, usize>,
}

/// Many clients on one loop. Each sends bursts of requests and checks all answers. On average, one burst in ten ends in
/// a reset at a random moment, and a new connection replaces the old one.
pub struct Crowd {
    address: SocketAddr,
    rng: Rng,
    epoll: OwnedFd,
    seats: Vec<Option<Seat>>,
    /// Indices of seats without a connection.
    vacant: Vec<usize>,
    /// The number of seats with a connection.
    taken: usize,
    /// The number of seats that wait for their first answer.
    new: usize,
    /// True once clients send bursts, rather than only greetings.
    runs: bool,
    left: Left,
    tally: Tally,
}

/// The remaining work.
enum Left {
    Bursts(usize),
    Until(Instant),
}

impl Crowd {
    /// Connects `count` clients; each exchanges one request.
    ///
    /// # Panics
    ///
    /// Panics if a client is not answered. The other methods do too.
    #[must_use]
    pub fn connect(address: SocketAddr, count: usize, rng: Rng) -> Self {
        let mut crowd = Self {
            address,
            rng,
            epoll: epoll::create(CreateFlags::CLOEXEC).expect("an epoll"),
            seats: (0..count).map(|_| None).collect(),
            vacant: (0..count).rev().collect(),
            taken: 0,
            new: 0,
            runs: false,
            left: Left::Bursts(0),
            tally: Tally::default(),
        };
        while crowd.tally.answered < count {
            crowd.turn();
        }
        crowd
    }

    /// Makes all clients wait for a job, and then resets all their connections at once. After that, new clients send
    /// bursts and reset connections for `length`, and then close in order. Returns the counts of all.
    #[must_use]
    pub fn run(mut self, length: Length) -> Tally {
        self.pile_up();
        self.left = match length {
            Length::Bursts(count) => Left::Bursts(count),
            Length::Span(span) => Left::Until(Instant::now() + span),
        };
        self.runs = true;
        while self.taken > 0 || !self.vacant.is_empty() {
            self.turn();
        }
        self.tally
    }

    /// Makes every client wait for a job that would run very long, with more requests behind it. When all of them wait,
    /// the server holds its maximum of resources, independent of timing. Then all connections are reset.
    fn pile_up(&mut self) {
        let before = self.tally.answered;
        self.seats.iter_mut().flatten().for_each(Seat::pile_up);
        while self.tally.answered < before + self.seats.len() {
            self.turn();
        }
        for index in 0..self.seats.len() {
            self.take(index, Now::Resets(Moment::DuringJob));
        }
    }

    /// Fills vacant seats, and receives what has arrived.
    fn turn(&mut self) {
        while self.new < NEW_AT_ONCE
            && let Some(index) = self.vacant.pop()
        {
            self.take_place(index);
        }
        for index in self.ready() {
            self.receive(index);
        }
    }

    fn take_place(&mut self, index: usize) {
        if self.runs && !self.is_more_to_do() {
            return;
        }
        let seat = Seat::new(connect(self.address));
        let data = EventData::new_u64(index as u64);
        epoll::add(&self.epoll, seat.stream(), data, EventFlags::IN).expect("one more socket");
        self.tally.connections += 1;
        self.taken += 1;
        self.new += 1;
        let seat = self.seats[index].insert(seat);
        if !self.runs {
            return seat.greet();
        }
        let now = seat.begin(&mut self.rng);
        self.take(index, now);
    }

    /// Waits for readable seats, and returns their indices.
    fn ready(&self) -> Vec<usize> {
        if self.taken == 0 {
            return Vec::new();
        }
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        let patience = Timespec::try_from(PATIENCE).expect("a span of time");
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)) {
            Ok(0) => panic!("nothing comes any more; so far: {:?}", self.tally),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("cannot wait: {error}"),
        }
        let index = |event: &Event| usize::try_from(event.data.u64()).expect("an index");
        events.iter().map(index).collect()
    }

    fn receive(&mut self, index: usize) {
        let Some(seat) = &mut self.seats[index] else { return };
        let was_new = seat.is_new;
        let now = seat.receive();
        let now = now.unwrap_or_else(|trouble| panic!("client {index}: {trouble}; {:?}", self.tally));
        if was_new && !seat.is_new {
            self.new -= 1;
        }
        self.take(index, now);
    }

    /// Continues according to the state of a client.
    fn take(&mut self, index: usize, now: Now) {
        match now {
            Now::Waits => {}
            Now::Answered => {
                self.tally.answered += 1;
                if self.runs {
                    self.go_on(index);
                }
            }
            Now::Resets(moment) => {
                *self.tally.resets.entry(moment).or_default() += 1;
                self.stand_up(index).reset();
                self.vacant.push(index);
            }
            Now::Gone => drop(self.stand_up(index)),
        }
    }

    /// Begins another burst, or closes the connection.
    fn go_on(&mut self, index: usize) {
        let more = self.is_more_to_do();
        let Some(seat) = &mut self.seats[index] else { return };
        if !more {
            return seat.leave();
        }
        let now = seat.begin(&mut self.rng);
        self.take(index, now);
    }

    fn stand_up(&mut self, index: usize) -> Seat {
        let seat = self.seats[index].take().expect("an occupied seat");
        self.taken -= 1;
        self.new -= usize::from(seat.is_new);
        seat
    }

    fn is_more_to_do(&mut self) -> bool {
        match &mut self.left {
            Left::Bursts(0) => false,
            Left::Bursts(left) => {
                *left -= 1;
                true
            }
            Left::Until(end) => Instant::now() < *end,
        }
    }
}
