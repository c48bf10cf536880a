//! A run: the loop of a host, with simulated clients instead of a network.
//!
//! A round consists of a [`turn`] of the tasks, [`visits`] of clients, faults, and a [`rest`] in which time passes and
//! the [`poller`] reports readiness. At the [`end`] no resource may be left.

mod end;
mod poller;
mod rest;
mod turn;
mod visits;

pub(crate) use rest::LONG;

use sinbin_core::{Acceptor, Executor, Instant, Kernel, Limits, Rest, Service, Task, TaskId};

use crate::client_model::ClientModel;
use crate::panics::catch;
use crate::peer::Phase;
use crate::plan::Plan;
use crate::report::{Ended, Failure, Report};
use crate::rng::Rng;
use crate::story::Story;
use crate::tasks::SimTask;
use crate::world::{Role, World};

/// A service, its clients, and the state of their run.
pub struct Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    pub(crate) executor: Executor<World<S, T>>,
    pub(crate) world: World<S, T>,
    talks: M,
    acceptor: TaskId,
    /// True if all sources have been polled since the last turn.
    has_looked: bool,
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
        self.world.tasks_read_clocks = false;
        self.world.evidence.tasks_ask_nothing = true;
        self
    }

    pub(crate) fn telling(service: S, plan: &Plan, rng: Rng, talks: M, story: Story) -> Self {
        let mut plan = plan.clone();
        // Two is the minimum with which anything can run.
        plan.capacity.tasks = plan.capacity.tasks.max(2);
        plan.capacity.sources = plan.capacity.sources.max(2);
        let mut executor = Executor::new(&plan.capacity.limits());
        let mut world = World::new(service, &plan, rng, story);
        let listener = executor.kernel.open().unwrap_or_else(|_| unreachable!("two sources fit"));
        world.insert(listener, Role::Listener);
        world.listener = Some(listener);
        let acceptor = executor.spawn(SimTask::Accept(Acceptor::new(listener)));
        let acceptor = acceptor.unwrap_or_else(|_| unreachable!("two tasks fit"));
        let mut run =
            Self { executor, world, talks, acceptor, has_looked: true, visits: 0, calm_since: None };
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
        let what = self.world.wrong.take();
        self.drop_tasks();
        Err(self.failure(what.unwrap_or(caught)))
    }

    /// Drops the tasks of a run that has ended in a panic, one by one. The destructor of each may panic, and two panics
    /// at once would end the process before the seed is reported.
    pub(crate) fn drop_tasks(&mut self) {
        self.executor.drain(|task| {
            catch(|| drop(task)).ok();
        });
    }

    fn go(&mut self) -> Result<Report, Failure> {
        while !self.is_over() {
            self.turn();
            self.settle();
            self.go_on();
            self.inject_faults();
            self.wait();
            self.world.story.count(self.world.promises.steps);
            if let Some(what) = self.world.wrong.take() {
                return Err(self.failure(what));
            }
        }
        self.check_end().map_err(|what| self.failure(what))?;
        Ok(self.report())
    }

    /// Runs to the end, and returns the outcome with the recorded decisions and the story.
    pub fn run_recorded(mut self) -> Ended {
        let outcome = self.run_to_the_end();
        let World { rng, story, .. } = self.world;
        Ended { outcome, tape: rng.into_tape(), story: story.into_text() }
    }

    pub(crate) fn failure(&self, what: String) -> Failure {
        Failure { what, step: self.world.promises.steps }
    }

    fn report(&self) -> Report {
        Report {
            steps: self.world.promises.steps,
            simulated: self.world.now.since(Instant::ZERO),
            sum: self.world.story.sum(),
            ..self.world.report
        }
    }

    fn is_over(&self) -> bool {
        self.executor.kernel.rest() == Rest::Empty
            && self.world.peers.iter().all(|peer| peer.phase == Phase::Over)
    }

    pub(crate) fn tasks(&self) -> String {
        self.executor.kernel.tasks().map(|task| format!("\n  {task}")).collect()
    }

    pub(crate) fn kernel(&mut self) -> (&mut Kernel<Limits>, &mut World<S, T>) {
        (&mut self.executor.kernel, &mut self.world)
    }

    pub(crate) fn acceptor(&self) -> TaskId {
        self.acceptor
    }
}
