//! A dialogue in virtual time.

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

/// How long nothing may happen, in virtual time.
const PATIENCE: Duration = Duration::from_secs(10);

type Shared<S, T> = Rc<RefCell<Scripted<S, T>>>;

/// Where clients connect that talk as `talks` makes them.
struct Memory<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    sim: Shared<S, T>,
    talks: M,
}

/// A client's end.
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

/// Holds a dialogue to its end, and then asks the service to stop. What came of it, and the story, if one is told. `rng`
/// says when clients are slow.
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
    // All wires are gone with the play.
    let Some(sim) = Rc::into_inner(sim) else { return (outcome, String::new()) };
    let ended = sim.into_inner().end();
    if let Err(broken) = ended.outcome {
        let what = format!("when all is said: {broken}");
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
        // They look each time; with bad luck, not quite as often.
        let looks = is_quiet || rng.below(3) == 0;
        if looks && play.advance(now, network) {
            last_move = now;
        }
        let patient_until = last_move + PATIENCE;
        if now >= patient_until {
            play.give_up(&format!("nothing happened for {PATIENCE:?} of the simulation"));
        }
        let rests_until = play.deadline().map_or(patient_until, |deadline| deadline.min(patient_until));
        // Who has not looked does not rest.
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
