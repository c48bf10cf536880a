//! A run: the serving engine, on a world with clients instead of a network.
//!
//! Between iterations of the engine, clients come and go ([`visits`]). Everything else happens in the world, which is
//! the engine's platform: faults between turns, and waits in which time passes. At the [`end`], no resource may be
//! left.

mod end;
mod visits;

use sinbin_core::serve::{Engine, Stopped};
use sinbin_core::{Instant, Kernel, Limits, Service, Task};

use crate::client_model::ClientModel;
use crate::network::Network;
use crate::panics::catch;
use crate::peer::Phase;
use crate::plan::Plan;
use crate::report::{Ended, Failure, Report};
use crate::rng::Rng;
use crate::story::Story;
use crate::world::{Role, World};

/// A service, its clients, and the state of their run.
pub struct Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    pub(crate) engine: Engine<World<S, T>>,
    /// Set while the engine has not ended.
    is_served: bool,
    talks: M,
    visits: u64,
    /// After faults have ended: the number of the turn in which the last progress was made, and the progress up to
    /// then.
    calm_since: Option<(u64, u64)>,
}

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Creates a run of `service` by `plan`, with clients that `talks` creates.
    pub fn new(service: S, plan: &Plan, rng: Rng, talks: M) -> Self {
        Self::telling(service, plan, rng, talks, Story::default())
    }

    /// Enables more checks, which hold for services like those that sinbin ships as state machines: a task only closes
    /// a silent connection in a step whose wake reason is the deadline, and no task wakes or cancels another, so every
    /// name and every cancellation must come from the simulation. `async fn`s are different: they wake each other when
    /// they join, or share a lock or a group, and may read the clock in any step.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.engine.platform.tasks_read_clocks = false;
        self.engine.platform.evidence.tasks_ask_nothing = true;
        self
    }

    /// Lets the service call out into a network. Otherwise it can't.
    #[must_use]
    pub fn calling(mut self, network: Network) -> Self {
        self.engine.platform.outgoing.network = Some(network);
        self
    }

    pub(crate) fn telling(service: S, plan: &Plan, rng: Rng, talks: M, story: Story) -> Self {
        let mut plan = plan.clone();
        // Two is the minimum with which anything can run.
        plan.capacity.tasks = plan.capacity.tasks.max(2);
        plan.capacity.sources = plan.capacity.sources.max(2);
        let world = World::new(service, &plan, rng, story);
        let mut engine = Engine::new(world, &plan.capacity.limits(), plan.drain_timeout);
        let listens = engine.accept_from(|world, listener| {
            world.insert(listener, Role::Listener);
            world.listener = Some(listener);
        });
        listens.unwrap_or_else(|_| unreachable!("there is room for two tasks, and as many sources"));
        let mut run = Self { engine, is_served: true, talks, visits: 0, calm_since: None };
        for number in 0..plan.clients as usize {
            run.welcome(number);
        }
        run
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// Returns the first violation.
    pub fn run(mut self) -> Result<Report, Failure> {
        self.run_to_the_end()
    }

    /// Runs to the end. A panic is a failure as well.
    pub(crate) fn run_to_the_end(&mut self) -> Result<Report, Failure> {
        let outcome = catch(|| self.go());
        let caught = match outcome {
            Ok(outcome) => return outcome,
            Err(caught) => caught,
        };
        let what = self.engine.platform.wrong.take();
        self.drop_tasks();
        Err(self.failure(what.unwrap_or(caught)))
    }

    /// Drops the tasks of a run that has ended in a panic, one by one. The destructor of each may panic, and two panics
    /// at once would end the process before the seed is reported.
    pub(crate) fn drop_tasks(&mut self) {
        self.engine.executor.drain(|task| {
            catch(|| drop(task)).ok();
        });
    }

    fn go(&mut self) -> Result<Report, Failure> {
        loop {
            self.go_on();
            if self.is_over() {
                break;
            }
            if !self.round() {
                self.outlive_the_engine();
            }
            let world = &mut self.engine.platform;
            world.story.count(world.promises.steps);
            if let Some(what) = world.wrong.take() {
                return Err(self.failure(what));
            }
        }
        self.check_end().map_err(|what| self.failure(what))?;
        Ok(self.report())
    }

    /// Runs to the end, and returns the outcome with the recorded decisions and the story.
    pub fn run_recorded(mut self) -> Ended {
        let outcome = self.run_to_the_end();
        let World { rng, story, .. } = self.engine.platform;
        Ended { outcome, tape: rng.into_tape(), story: story.into_text() }
    }

    pub(crate) fn failure(&self, what: String) -> Failure {
        Failure { what, step: self.engine.platform.promises.steps }
    }

    fn report(&self) -> Report {
        Report {
            steps: self.engine.platform.promises.steps,
            simulated: self.engine.platform.now.since(Instant::ZERO),
            sum: self.engine.platform.story.sum(),
            calls: self.engine.platform.outgoing.calls,
            ..self.engine.platform.report
        }
    }

    fn is_over(&self) -> bool {
        let world = &self.engine.platform;
        let have_left = world.peers.iter().all(|peer| peer.phase == Phase::Over);
        !self.is_served && have_left && world.outgoing.upstreams.is_empty()
    }

    /// Runs an iteration of the engine. Returns false if the engine had ended before.
    pub(crate) fn round(&mut self) -> bool {
        if !self.is_served {
            return false;
        }
        let is_over = self.engine.platform.is_over;
        match self.engine.step(|| is_over) {
            Ok(true) => {}
            Ok(false) => {
                self.is_served = false;
                self.engine.platform.check_last_round(&self.engine.executor.kernel);
            }
            Err(Stopped::Stalled) => {
                self.engine.platform.wrong("promise 8: all tasks wait for each other".to_owned());
            }
            Err(Stopped::Platform(never)) => match never {},
        }
        true
    }

    /// Lets the next event happen after the engine has ended, so that each client sees the end of its connection.
    fn outlive_the_engine(&mut self) {
        if self.calm_since.is_none() {
            self.calm_down();
        }
        let Engine { executor, platform: world, .. } = &mut self.engine;
        world.report.turns += 1;
        match world.next_event() {
            Some(next) => {
                let span = next.since(world.now);
                world.pass(&mut executor.kernel, u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
            }
            None => {
                let left = world.peers.iter().position(|peer| peer.phase != Phase::Over);
                let upstreams: Vec<_> = world.outgoing.upstreams.keys().collect();
                let what = format!(
                    "the service has ended, and client {left:?} or upstreams {upstreams:?} do not know"
                );
                world.wrong(what);
            }
        }
    }

    pub(crate) fn kernel(&mut self) -> (&mut Kernel<Limits>, &mut World<S, T>) {
        (&mut self.engine.executor.kernel, &mut self.engine.platform)
    }
}
