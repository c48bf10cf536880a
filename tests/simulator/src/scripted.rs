//! Conversations that a test controls step by step.

mod client;
mod outside;
mod step;

use std::io;
use std::time::Duration;

use sinbin_core::{Instant, Service, Task};

use crate::capacity::Capacity;
use crate::client_model::ClientModel;
use crate::network::Network;
use crate::panics::catch;
use crate::peer::Peer;
use crate::plan::{Computes, Faults, Plan};
use crate::report::{Ended, Failure};
use crate::rng::Rng;
use crate::run::Simulation;
use crate::story::Story;
use crate::world::World;

pub(crate) use step::Scene;

/// The part of a job that is computed at once, in the job's units.
const SLICE: u32 = 20_000;

/// A service in virtual time with clients that a test controls, for tests that read like a story.
///
/// Clients act at once, and never wait. The service runs only in [`drive`](Self::drive), [`wait`](Self::wait) and
/// [`step`](Self::step). The promises are checked before each step of its tasks, as in every run, and the bytes that
/// the service sends are compared with those that the client's [`ClientModel`] expects. Clients never act at random,
/// but the faults of the plan happen at random.
///
/// ```
/// use sinbin_core::fib_service::Fib;
/// use sinbin_simulator::client_model::FibTalk;
/// use sinbin_simulator::{Rng, Plan, Scripted};
///
/// let service = Fib::default();
/// let mut sim = Scripted::new(service, &Plan::friendly(10), Rng::seeded(0));
/// let slow = sim.connect(FibTalk::new(&service));
/// let fast = sim.connect(FibTalk::new(&service));
/// sim.send(slow, b"25\n")?;
/// sim.send(fast, b"5\n6\n")?;
/// sim.drive()?;
/// assert_eq!(sim.take(fast), b"5\n8\n");
/// assert_eq!(sim.take(slow), b"75025\n");
/// sim.reset(slow);
/// sim.close(fast);
/// sim.end().outcome?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Scripted<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    run: Simulation<S, T, fn(&mut Rng) -> T>,
    failed: Option<Failure>,
}

/// The id of a client of a [`Scripted`] simulation, valid during the lifetime of the simulation. Another simulation
/// maps the id to another client, or panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientId(usize);

impl Plan {
    /// Returns a plan with capacity for this number of connections, one worker, and no faults. Scripts usually begin
    /// with this plan.
    #[must_use]
    pub fn friendly(connections: usize) -> Self {
        // In addition, the listener and a connection that is not accepted need a slot each.
        let places = connections + 2;
        let capacity = Capacity {
            connections,
            tasks: places,
            sources: places,
            jobs: connections + 1,
            blocks: connections + 1,
            block_size: 16 << 10,
        };
        Self {
            clients: 0,
            visits: 0,
            requests: 0,
            steps: u64::MAX,
            max_pause: 0,
            stops_at: None,
            ends_at: None,
            drain_timeout: Duration::from_secs(30),
            settle: Duration::ZERO,
            capacity,
            computes: Computes::Workers(1),
            idle_timeout: None,
            faults: Faults::default(),
        }
    }
}

impl<S, T> Scripted<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    /// Creates a simulation without clients. The plan's clients and its time to stop are ignored. The idle timeout of a
    /// service must be in the plan as well.
    pub fn new(service: S, plan: &Plan, rng: Rng) -> Self {
        Self::begin(service, plan, rng, Story::default())
    }

    /// Creates a simulation that records its story.
    pub fn told(service: S, plan: &Plan, rng: Rng) -> Self {
        Self::begin(service, plan, rng, Story::of(true))
    }

    /// Enables more checks, as [`Simulation::strict`] does. They hold for services whose tasks do not wake or cancel
    /// each other, and do not read the clock to find out whether a client is late.
    #[must_use]
    pub fn strict(self) -> Self {
        Self { run: self.run.strict(), ..self }
    }

    /// Lets the service call out into a network, as [`Simulation::calling`] does.
    #[must_use]
    pub fn calling(self, network: Network) -> Self {
        Self { run: self.run.calling(network), ..self }
    }

    fn begin(service: S, plan: &Plan, rng: Rng, story: Story) -> Self {
        let plan =
            Plan { clients: 0, visits: 0, steps: u64::MAX, stops_at: None, ends_at: None, ..plan.clone() };
        let nobody: fn(&mut Rng) -> T = |_| unreachable!("nobody comes by chance");
        let mut run = Simulation::telling(service, &plan, rng, nobody, story);
        run.engine.platform.slice = Some(SLICE);
        Self { run, failed: None }
    }

    /// Returns the virtual time, which begins with 0.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.run.engine.platform.now.since(Instant::ZERO)
    }

    /// Runs a turn of the service, and the events after it. If neither does anything, time passes until an event is
    /// due, but at most until `until`. Returns true if something happened.
    ///
    /// # Errors
    ///
    /// Returns the first violation. All later calls return it again.
    pub fn step(&mut self, until: Duration) -> Result<bool, Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let run = &mut self.run;
        let outcome = catch(|| run.step(Instant::ZERO + until));
        let wrong = run.engine.platform.wrong.take();
        let outcome = match (outcome, wrong) {
            (Ok(moved), None) => Ok(moved),
            (Ok(_), Some(what)) => Err(run.failure(what)),
            (Err(caught), what) => {
                run.drop_tasks();
                Err(run.failure(what.unwrap_or(caught)))
            }
        };
        self.failed = outcome.as_ref().err().cloned();
        outcome
    }

    /// Runs the service until it waits for a client, or for a deadline that has not passed. Jobs are computed, which
    /// takes virtual time; a job that never ends keeps this function from returning.
    ///
    /// # Errors
    ///
    /// Fails as [`step`](Self::step) does.
    pub fn drive(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.now();
            let next = self.run.engine.platform.next_event().map_or(now, |next| next.since(Instant::ZERO));
            if !self.step(next.max(now))? && self.run.engine.platform.next_event().is_none() {
                return Ok(());
            }
        }
    }

    /// Lets this span of virtual time pass, with all events in it.
    ///
    /// # Errors
    ///
    /// Fails as [`step`](Self::step) does.
    pub fn wait(&mut self, span: Duration) -> Result<(), Failure> {
        let until = self.now() + span;
        // A turn may end a little later.
        while self.step(until)? && self.now() <= until {}
        Ok(())
    }

    /// Closes all clients that are still open, asks the service to stop, and runs to the end. No more faults happen.
    /// All expected answers must arrive, and no resource may be left. A job that never ends is a failure,
    /// unless its client was [reset](Self::reset).
    pub fn end(mut self) -> Ended {
        for number in 0..self.run.engine.platform.peers.len() {
            self.close(ClientId(number));
        }
        self.run.engine.platform.plan.steps = 0;
        let outcome = match self.failed {
            Some(failure) => Err(failure),
            None => self.run.run_to_the_end(),
        };
        let World { rng, story, .. } = self.run.engine.platform;
        Ended { outcome, tape: rng.into_tape(), story: story.into_text() }
    }

    /// Connects a client. `client_model` determines the answers that the client expects.
    pub fn connect(&mut self, client_model: T) -> ClientId {
        let world = &mut self.run.engine.platform;
        let number = world.peers.len();
        world.peers.push(Peer::scripted(client_model, &world.plan, &mut world.rng));
        world.connect(number);
        ClientId(number)
    }

    /// Sends as much of `bytes` as fits: at most 64 KiB can be unread. Returns the number of bytes.
    ///
    /// # Errors
    ///
    /// Fails as a nonblocking socket does: with [`WouldBlock`](io::ErrorKind::WouldBlock) if no capacity is available,
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if either side has closed, and
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) after a reset.
    pub fn send(&mut self, client: ClientId, bytes: &[u8]) -> io::Result<usize> {
        self.run.engine.platform.scripted_send(client.0, bytes)
    }

    /// Receives the bytes that were sent to the client, at most as many as fit into `room`. Returns the number of
    /// bytes; 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails as a nonblocking socket does: with [`WouldBlock`](io::ErrorKind::WouldBlock) if no bytes are available
    /// yet, and [`ConnectionReset`](io::ErrorKind::ConnectionReset) after a reset.
    pub fn receive(&mut self, client: ClientId, room: &mut [u8]) -> io::Result<usize> {
        self.run.engine.platform.scripted_receive(client.0, room)
    }

    /// Sets the number of bytes that can be sent to the client before it reads: the capacity of the sockets between
    /// both. The initial value is 64 KiB, unless the plan makes the socket [narrow](Faults::narrow).
    pub fn narrow(&mut self, client: ClientId, room: usize) {
        self.run.engine.platform.scripted_room(client.0, room);
    }

    /// Receives everything that is available.
    pub fn take(&mut self, client: ClientId) -> Vec<u8> {
        let mut all = Vec::new();
        let mut room = [0; 4096];
        while let Ok(count @ 1..) = self.receive(client, &mut room) {
            all.extend(&room[..count]);
        }
        all
    }

    /// Half-closes the connection of the client.
    pub fn half_close(&mut self, client: ClientId) {
        self.run.engine.platform.scripted_half_close(client.0);
    }

    /// Closes the client's socket, as a process that ends does. If bytes that were sent to the client are unread, or
    /// arrive later, the connection is reset.
    pub fn close(&mut self, client: ClientId) {
        self.run.engine.platform.scripted_close(client.0);
    }

    /// Resets the connection. Bytes that were not read are lost on both sides.
    pub fn reset(&mut self, client: ClientId) {
        self.run.engine.platform.scripted_reset(client.0);
    }
}
