//! Conversations that are told step by step.

mod client;
mod outside;
mod step;

use std::io;
use std::time::Duration;

use sinbin_core::{Instant, Service, Task};

use crate::capacity::Capacity;
use crate::client_model::ClientModel;
use crate::panics::catch;
use crate::peer::Peer;
use crate::plan::{Computes, Faults, Plan};
use crate::report::{Ended, Failure};
use crate::rng::Rng;
use crate::run::Simulation;
use crate::story::Story;
use crate::world::World;

pub(crate) use step::Scene;

/// How much of a job is computed at once, in the job's units.
const SLICE: u32 = 20_000;

/// A service in virtual time, and clients that do what they are told: for tests that read as a story.
///
/// Clients act at once, and never wait. The service runs when it is told to, by [`drive`](Self::drive),
/// [`wait`](Self::wait) or [`step`](Self::step); before each step of its tasks the promises are checked, as in every
/// run, and what it sends is held against what the client's [`ClientModel`] says that it owes. Nobody acts by chance, but
/// whatever the plan says goes wrong does so, as luck will have it.
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

/// A client of a [`Scripted`] simulation, for as long as that lives. Given to another simulation, it is another client or
/// a panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientId(usize);

impl Plan {
    /// Room for so many connections at a time, a worker, and nothing that goes wrong: what scripts begin with.
    #[must_use]
    pub fn friendly(connections: usize) -> Self {
        // Beside them there are the listener, and a place for one that is not accepted.
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
            haste: 0,
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
    /// A service without clients. Of the plan, what it says of clients is of no use here, and nor is when the service is to
    /// stop. A service with an idle timeout has it in the plan as well.
    pub fn new(service: S, plan: &Plan, rng: Rng) -> Self {
        Self::begin(service, plan, rng, Story::default())
    }

    /// The same, and what happens is told as a story.
    pub fn told(service: S, plan: &Plan, rng: Rng) -> Self {
        Self::begin(service, plan, rng, Story::of(true))
    }

    /// The same, and more is checked, as [`Simulation::strict`] says: of a service whose tasks do not wake or cancel each
    /// other, and do not look at the time to see whether a client is late.
    #[must_use]
    pub fn strict(self) -> Self {
        Self { run: self.run.strict(), ..self }
    }

    fn begin(service: S, plan: &Plan, rng: Rng, story: Story) -> Self {
        let plan =
            Plan { clients: 0, visits: 0, steps: u64::MAX, stops_at: None, ends_at: None, ..plan.clone() };
        let nobody: fn(&mut Rng) -> T = |_| unreachable!("nobody comes by chance");
        let mut run = Simulation::telling(service, &plan, rng, nobody, story);
        run.engine.platform.slice = Some(SLICE);
        Self { run, failed: None }
    }

    /// What time it is. It begins with 0.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.run.engine.platform.now.since(Instant::ZERO)
    }

    /// Runs a turn of the service, and what happens after it. If nothing does, time passes until something does, and at
    /// last until `until`. Returns whether something did before.
    ///
    /// # Errors
    ///
    /// The first thing that was wrong; from then on, always that.
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

    /// Runs the service until it waits for a client, or for a deadline that has not come. Jobs are computed, which takes
    /// time; one that never ends keeps this from ending.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn drive(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.now();
            let next = self.run.engine.platform.next_event().map_or(now, |next| next.since(Instant::ZERO));
            if !self.step(next.max(now))? && self.run.engine.platform.next_event().is_none() {
                return Ok(());
            }
        }
    }

    /// Lets so much time pass, with all that happens in it.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn wait(&mut self, span: Duration) -> Result<(), Failure> {
        let until = self.now() + span;
        // A turn may take a little longer.
        while self.step(until)? && self.now() <= until {}
        Ok(())
    }

    /// Closes all clients that are still there, asks the service to stop, and runs to the end. From here on nothing goes
    /// wrong any more; what is owed has to come, and nothing may be left behind. A job that never ends is a failure, unless
    /// its client was [reset](Self::reset).
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

    /// A client connects. `client_model` knows what it is owed for what it is told to say.
    pub fn connect(&mut self, client_model: T) -> ClientId {
        let world = &mut self.run.engine.platform;
        let number = world.peers.len();
        world.peers.push(Peer::scripted(client_model, &world.plan, &mut world.rng));
        world.connect(number);
        ClientId(number)
    }

    /// The client sends as much of `bytes` as there is room for: some 64 KiB that are not read yet. Returns how much.
    ///
    /// # Errors
    ///
    /// As a socket that does not block: [`WouldBlock`](io::ErrorKind::WouldBlock) where there is no room now,
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) where either side has closed, and
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset).
    pub fn send(&mut self, client: ClientId, bytes: &[u8]) -> io::Result<usize> {
        self.run.engine.platform.scripted_send(client.0, bytes)
    }

    /// The client takes what was sent to it, as much as `room` holds. Returns how much; 0 at the end.
    ///
    /// # Errors
    ///
    /// As a socket that does not block: [`WouldBlock`](io::ErrorKind::WouldBlock) where there is nothing yet, and
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset).
    pub fn receive(&mut self, client: ClientId, room: &mut [u8]) -> io::Result<usize> {
        self.run.engine.platform.scripted_receive(client.0, room)
    }

    /// From here on, so many bytes can be sent to the client that it has not taken: the room of the sockets between. At
    /// first that is 64 KiB, unless the plan says that it is [narrow](Faults::narrow).
    pub fn narrow(&mut self, client: ClientId, room: usize) {
        self.run.engine.platform.scripted_room(client.0, room);
    }

    /// The client takes all that is there.
    pub fn take(&mut self, client: ClientId) -> Vec<u8> {
        let mut all = Vec::new();
        let mut room = [0; 4096];
        while let Ok(count @ 1..) = self.receive(client, &mut room) {
            all.extend(&room[..count]);
        }
        all
    }

    /// The client says that it has sent its last byte.
    pub fn half_close(&mut self, client: ClientId) {
        self.run.engine.platform.scripted_half_close(client.0);
    }

    /// The client closes its socket, as a process that ends does: what was sent to it and not taken, or is sent to it later,
    /// is answered by a reset.
    pub fn close(&mut self, client: ClientId) {
        self.run.engine.platform.scripted_close(client.0);
    }

    /// The client breaks the connection off. What was not read is lost, on both sides.
    pub fn reset(&mut self, client: ClientId) {
        self.run.engine.platform.scripted_reset(client.0);
    }
}
