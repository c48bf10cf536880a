//! Dialogues in virtual time.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sinbin_core::{Service, Task};
use sinbin_simulator::client_model::ClientModel;
use sinbin_simulator::{ClientId, Failure as Broken, Rng, Scripted, World};

use crate::dialogue::play::{Network, Play, Wire};
use crate::dialogue::script::Dialogue;
use crate::dialogue::stage::{Failure, Outcome};

/// The longest virtual time without progress.
const PATIENCE: Duration = Duration::from_secs(10);

type Shared<S, T> = Rc<RefCell<Scripted<S, T>>>;

/// A network of simulated connections. `talks` creates the expectations of each client.
struct Memory<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    sim: Shared<S, T>,
    talks: M,
}

/// A client's end of a simulated connection.
struct End<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    sim: Shared<S, T>,
    client: ClientId,
}

impl<S, T, M> Network for Memory<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: Fn() -> T,
{
    type Wire = End<S, T>;

    fn connect(&mut self) -> io::Result<End<S, T>> {
        let client = self.sim.borrow_mut().connect((self.talks)());
        Ok(End { sim: Rc::clone(&self.sim), client })
    }
}

impl<S, T> Wire for End<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sim.borrow_mut().send(self.client, bytes)
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.sim.borrow_mut().receive(self.client, room)
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.sim.borrow_mut().half_close(self.client);
        Ok(())
    }

    fn reset(self) {
        self.sim.borrow_mut().reset(self.client);
    }
}

impl<S, T> Drop for End<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    fn drop(&mut self) {
        self.sim.borrow_mut().close(self.client);
    }
}

/// Plays a dialogue to its end, and then asks the service to stop. Returns the outcome, and the story if `sim` records
/// one. `rng` decides when clients are slow.
pub(super) fn run<S, T>(
    sim: Scripted<S, T>,
    talks: impl Fn() -> T,
    rng: Rng,
    dialogue: &Dialogue,
) -> (Outcome, String)
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    let sim = Rc::new(RefCell::new(sim));
    let mut network = Memory { sim: Rc::clone(&sim), talks };
    let mut outcome = play(dialogue, &mut network, rng);
    drop(network);
    // The play has dropped all wires, so this is the last reference.
    let Some(sim) = Rc::into_inner(sim) else { return (outcome, String::new()) };
    let ended = sim.into_inner().end();
    if let Err(broken) = ended.outcome {
        let what = format!("after the dialogue: {broken}");
        outcome.failure.get_or_insert(Failure { client: "the simulator".to_owned(), step: 0, what });
    }
    (outcome, ended.story)
}

fn play<S, T, M>(dialogue: &Dialogue, network: &mut Memory<S, T, M>, mut rng: Rng) -> Outcome
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: Fn() -> T,
{
    let mut play = Play::new(dialogue);
    let (mut last_move, mut is_quiet) = (Duration::ZERO, true);
    while !play.is_over() {
        let now = network.sim.borrow().now();
        // The clients act in every iteration, except when bad luck delays them.
        let looks = is_quiet || rng.below(3) == 0;
        if looks && play.advance(now, network) {
            last_move = now;
        }
        let patient_until = last_move + PATIENCE;
        if now >= patient_until {
            play.give_up(&format!("nothing happened for {PATIENCE:?} of the simulation"));
        }
        let rests_until = play.deadline().map_or(patient_until, |deadline| deadline.min(patient_until));
        // Clients that were delayed still have work to do, so time must not pass for them.
        let until = if looks { rests_until } else { now };
        match network.sim.borrow_mut().step(until) {
            Ok(something) => is_quiet = !something,
            Err(broken) => play.give_up(&told(&broken)),
        }
    }
    play.outcome()
}

fn told(broken: &Broken) -> String {
    format!("the simulator says: {broken}")
}
