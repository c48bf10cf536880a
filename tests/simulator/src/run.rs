//! A run: the loop of a host, with clients instead of a network.

use std::cmp::Reverse;
use std::time::Duration;

use sinbin_core::{
    Acceptor, Executor, Instant, Interest, Kernel, Limits, Linger, Rest, Service, SourceId, Task, TaskId,
};

use crate::luck::Luck;
use crate::panics::catch;
use crate::peer::Phase;
use crate::plan::Plan;
use crate::report::{Failure, Report};
use crate::shipped::Ended;
use crate::story::Story;
use crate::talk::Talk;
use crate::tasks::SimTask;
use crate::world::{Event, Role, World};

/// Turns for each step that a run may have before luck turns: with more, it spins.
const MOST_TURNS: u64 = 1000;

/// After luck has turned, something comes about in so many turns.
const PATIENCE: u64 = 2000;

/// A service, its clients, and all that happens to them.
pub struct Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: Talk,
{
    pub(crate) executor: Executor<World<S, T>>,
    pub(crate) world: World<S, T>,
    talks: M,
    acceptor: TaskId,
    visits: u64,
    /// When, in turns, something last came about after luck had turned; and how much had then.
    calm_since: Option<(u64, u64)>,
}

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: Talk,
    M: FnMut(&mut Luck) -> T,
{
    /// A run of `service` by `plan`, for clients that `talks` makes.
    pub fn new(service: S, plan: &Plan, luck: Luck, talks: M) -> Self {
        Self::telling(service, plan, luck, talks, Story::default())
    }

    pub(crate) fn telling(service: S, plan: &Plan, luck: Luck, talks: M, story: Story) -> Self {
        let mut plan = plan.clone();
        // The least that anything can be done with.
        plan.rooms.tasks = plan.rooms.tasks.max(2);
        plan.rooms.sources = plan.rooms.sources.max(2);
        let mut executor = Executor::new(&plan.rooms.limits());
        let mut world = World::new(service, &plan, luck, story);
        let listener =
            executor.kernel.open().unwrap_or_else(|_| unreachable!("there is room for two sources"));
        world.insert(listener, Role::Listener);
        world.listener = Some(listener);
        let acceptor = executor.spawn(SimTask::Accept(Acceptor::new(listener)));
        let acceptor = acceptor.unwrap_or_else(|_| unreachable!("there is room for two tasks"));
        let mut run = Self { executor, world, talks, acceptor, visits: 0, calm_since: None };
        for number in 0..plan.clients as usize {
            run.welcome(number);
        }
        run
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first thing that was wrong.
    pub fn run(mut self) -> Result<Report, Failure> {
        self.run_to_the_end()
    }

    /// The same; what panics is a failure as well.
    pub(crate) fn run_to_the_end(&mut self) -> Result<Report, Failure> {
        let outcome = catch(|| self.go());
        let caught = match outcome {
            Ok(outcome) => return outcome,
            Err(caught) => caught,
        };
        let what = self.world.wrong.take();
        Err(self.failure(what.unwrap_or(caught)))
    }

    fn go(&mut self) -> Result<Report, Failure> {
        while !self.is_over() {
            self.turn();
            self.settle();
            self.go_on();
            self.mischief();
            self.wait();
            if let Some(what) = self.world.wrong.take() {
                return Err(self.failure(what));
            }
        }
        self.check_end().map_err(|what| self.failure(what))?;
        Ok(self.report())
    }

    /// Runs to the end, and tells its decisions (if the luck was recorded) beside the outcome.
    pub fn run_recorded(mut self) -> Ended {
        let outcome = self.run_to_the_end();
        let World { luck, story, .. } = self.world;
        Ended { outcome, tape: luck.into_tape(), story: story.into_text() }
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

    /// A turn of the tasks.
    pub(crate) fn turn(&mut self) {
        let Self { executor, world, .. } = self;
        let now = world.clock();
        let tasks = executor.kernel.count();
        world.promises.begin_turn(&executor.kernel, now);
        world.turn_at = now.max(executor.kernel.now());
        let steps = executor.turn(now, world);
        world.report.turns += 1;
        if steps > tasks {
            world.wrong(format!("promise 3: {tasks} tasks had {steps} steps in one turn"));
        }
        if let Err(broken) = world.promises.end_turn(&executor.kernel) {
            world.wrong(broken);
        }
    }

    /// What a host does between two turns: connections that linger, slices, and acceptors that find room again.
    pub(crate) fn settle(&mut self) {
        let now = self.executor.kernel.now();
        for number in std::mem::take(&mut self.world.to_linger) {
            if !self.linger(number, now) {
                // Without a place for it, the socket is closed as it is.
                self.world.peers[number].closed = true;
                self.world.rouse(number);
            }
        }
        let World { work, luck, slice, .. } = &mut self.world;
        if let Some(job) = work.slice(*slice, luck) {
            self.world.say_done(&mut self.executor.kernel, job);
        }
        self.relieve();
        if self.world.stopping {
            self.drain();
        }
    }

    /// An acceptor that found no room looks again when a connection has gone.
    fn relieve(&mut self) {
        let is_relieved = std::mem::take(&mut self.world.relieved);
        if is_relieved
            && std::mem::take(&mut self.world.crowded)
            && let Some(listener) = self.world.listener
        {
            self.world.say_ready(&mut self.executor.kernel, listener, Interest::HANGUP);
        }
    }

    fn linger(&mut self, number: usize, now: Instant) -> bool {
        let Ok(source) = self.executor.kernel.open() else { return false };
        self.world.insert(source, Role::Lingering(number));
        let spawned = self.executor.spawn(SimTask::Linger(Linger::new(source, now), source)).is_ok();
        if !spawned {
            self.world.say_closed(&mut self.executor.kernel, source);
        }
        spawned
    }

    /// The service is to stop: no connection comes any more, and who has nothing to say is sent home.
    fn drain(&mut self) {
        if let Some(listener) = self.world.listener.filter(|_| self.world.backlog.is_empty()) {
            self.world.say_closed(&mut self.executor.kernel, listener);
            self.world.listener = None;
        }
        for index in 0..self.world.sources.len() {
            if let Some(entry) = self.world.sources[index] {
                let is_served = matches!(entry.role, Role::Peer(_));
                if is_served {
                    self.world.say_ready(&mut self.executor.kernel, entry.id, Interest::RECV);
                }
            }
        }
    }

    /// New clients for those who have gone; and what the plan says of the end.
    pub(crate) fn go_on(&mut self) {
        let steps = self.world.promises.steps;
        if self.calm_since.is_none() && steps >= self.world.plan.steps {
            self.calm_down();
        }
        if self.world.plan.stops_at.is_some_and(|at| steps >= at) {
            self.stop();
        }
        for number in 0..self.world.peers.len() {
            let peer = &mut self.world.peers[number];
            if peer.phase == Phase::Connected && peer.is_over() {
                peer.phase = Phase::Over;
                self.welcome(number);
            }
        }
        let has_left = |phase| matches!(phase, Phase::Over);
        if self.world.peers.iter().all(|peer| has_left(peer.phase)) {
            self.stop();
        }
        self.expect_an_end();
    }

    /// When nothing is in the way, everything comes to an end.
    fn expect_an_end(&mut self) {
        let Report { turns, received, sent, connections, jobs, .. } = self.world.report;
        let came_about = received + sent + connections + jobs;
        match &mut self.calm_since {
            None if turns / MOST_TURNS > self.world.plan.steps => {
                self.world.wrong("turn after turn, and nothing is done".to_owned());
            }
            None => {}
            Some((since, before)) if *before < came_about => (*since, *before) = (turns, came_about),
            Some((since, _)) if turns > *since + PATIENCE => {
                let tasks = self.tasks();
                self.world
                    .wrong(format!("nothing comes to an end, though nothing is in the way any more:{tasks}"));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn tasks(&self) -> String {
        self.executor.kernel.tasks().map(|task| format!("\n  {task}")).collect()
    }

    /// A client in the place of one that has gone, if there is still one to come.
    fn welcome(&mut self, number: usize) {
        if self.visits >= self.world.plan.visits || self.calm_since.is_some() || self.world.stopping {
            return;
        }
        self.visits += 1;
        let talk = (self.talks)(&mut self.world.luck);
        self.world.next_visit(number, talk);
    }

    pub(crate) fn calm_down(&mut self) {
        self.world.tell(|| "from here on, nothing goes wrong".to_owned());
        self.calm_since = Some((self.world.report.turns, 0));
        self.world.luck.calm_down();
        for number in 0..self.world.peers.len() {
            self.world.peers[number].calm_down();
            self.world.peers[number].asleep_until = 0;
            self.world.rouse(number);
            if let Some(source) = self.world.peers[number].source {
                self.world.list(source);
            }
        }
    }

    pub(crate) fn stop(&mut self) {
        if !self.world.stopping {
            self.world.tell(|| "the service is to stop".to_owned());
            self.world.stopping = true;
            self.drain();
        }
    }

    /// Waits for the next thing to happen, and tells the kernel.
    fn wait(&mut self) {
        loop {
            self.watch();
            let rest = self.executor.kernel.rest();
            let told = self.poll();
            match rest {
                _ if self.world.wrong.is_some() => return,
                Rest::Ready => return self.pass_some(8),
                _ if told || self.world.work.is_busy() => return self.pass_some(8),
                Rest::Empty if self.world.events.is_empty() => return,
                Rest::Stalled => {
                    return self.world.wrong("promise 8: all tasks wait for each other".to_owned());
                }
                Rest::Until(_) | Rest::Empty => {}
            }
            let deadline = if let Rest::Until(deadline) = rest { deadline } else { Instant::NEVER };
            if !self.sleep(deadline) {
                return;
            }
        }
    }

    /// Lets time pass until the deadline, or the next event. Whether to look again; else the deadline has come, or
    /// there is nothing to wait for.
    fn sleep(&mut self, deadline: Instant) -> bool {
        let event = self.world.events.peek().map(|Reverse((at, ..))| Instant::from_nanos(*at));
        let is_listed = !self.world.listed.is_empty();
        let later = is_listed.then(|| self.world.now + Duration::from_micros(1));
        let next = [event, later].into_iter().flatten().min().unwrap_or(Instant::NEVER).min(deadline);
        if next == Instant::NEVER {
            // Whoever is left waits for a client that never says a word again.
            if self.world.stopping {
                let tasks = self.tasks();
                self.world.wrong(format!("the service is to stop, and these wait for ever:{tasks}"));
            }
            self.stop();
            return false;
        }
        let is_early = next == deadline && self.world.luck.strikes(self.world.plan.faults.early);
        let next = if is_early { Instant::from_nanos(next.as_nanos().saturating_sub(1)) } else { next };
        self.world.now = self.world.now.max(next);
        if is_early {
            return false;
        }
        if deadline <= self.world.now {
            return false;
        }
        self.pass_some(1);
        true
    }

    /// Some time passes, a share of what may pass while nobody runs.
    pub(crate) fn pass_some(&mut self, share: u32) {
        let haste = self.world.plan.haste / share;
        let nanos = self.world.luck.between(0, haste);
        self.pass(nanos.into());
    }

    /// So many nanoseconds pass, and what happens in them happens.
    pub(crate) fn pass(&mut self, nanos: u64) {
        let until = self.world.now.as_nanos().saturating_add(nanos);
        while let Some(Reverse((at, _, event))) = self.world.events.peek().copied()
            && at <= until
        {
            self.world.events.pop();
            self.world.now = self.world.now.max(Instant::from_nanos(at));
            match event {
                Event::Act(number) => self.world.act(number),
                Event::Job(job) => self.world.end_job(&mut self.executor.kernel, job),
            }
        }
        self.world.now = self.world.now.max(Instant::from_nanos(until));
    }

    /// Hears for what the kernel wants its sources watched.
    pub(crate) fn watch(&mut self) {
        while let Some((source, interest)) = self.executor.kernel.next_change() {
            match self.world.entry(source) {
                Some(entry) => entry.watched = interest,
                None => self.world.wrong(format!("promise 5: source {source} is to be watched, and is gone")),
            }
            self.world.list(source);
        }
        let World { promises, sources, .. } = &self.world;
        let watched = |source: SourceId| {
            let entry = sources.get(source.index()).copied().flatten().filter(|entry| entry.id == source);
            entry.map_or(Interest::NONE, |entry| entry.watched)
        };
        if let Err(broken) = promises.after_changes(&self.executor.kernel, watched) {
            self.world.wrong(broken);
        }
    }

    /// A level-triggered poller. Whether it had something to tell.
    pub(crate) fn poll(&mut self) -> bool {
        let mut listed = std::mem::take(&mut self.world.listed);
        if self.world.luck.strikes(self.world.plan.faults.disorder) {
            shuffle(&mut listed, &mut self.world.luck);
        }
        let mut told = false;
        listed.retain(|source| {
            let Some(entry) = self.world.entry(*source).map(|entry| *entry) else { return false };
            let is_watched = !entry.watched.is_empty();
            let watched = if is_watched { entry.watched | Interest::HANGUP } else { Interest::NONE };
            let report = self.world.readiness(entry.role) & watched;
            if report.is_empty() {
                self.world.sources[source.index()].iter_mut().for_each(|entry| entry.is_listed = false);
                return false;
            }
            if !self.world.luck.strikes(self.world.plan.faults.late) {
                told = true;
                self.tell(*source, entry.role, report);
                if self.world.luck.strikes(self.world.plan.faults.doubled) {
                    self.tell(*source, entry.role, report);
                }
            }
            true
        });
        // What was listed meanwhile comes behind.
        listed.append(&mut self.world.listed);
        self.world.listed = listed;
        told
    }

    /// Tells the kernel that a source is ready; who waits for that is ready then.
    pub(crate) fn tell(&mut self, source: SourceId, role: Role, report: Interest) {
        let Self { executor, world, acceptor, .. } = self;
        world.tell(|| format!("source {source} is ready: {report:?}"));
        world.story.add(source.to_bits() ^ u64::from(report.bits()) << 60);
        world.say_ready(&mut executor.kernel, source, report);
        let task = match role {
            Role::Listener => Some(*acceptor),
            Role::Peer(number) => world.peers[number].task,
            Role::Lingering(_) => None,
        };
        if let Err(broken) = world.promises.after_ready(&executor.kernel, task, source, report) {
            world.wrong(broken);
        }
    }

    pub(crate) fn kernel(&mut self) -> (&mut Kernel<Limits>, &mut World<S, T>) {
        (&mut self.executor.kernel, &mut self.world)
    }

    pub(crate) fn acceptor(&self) -> TaskId {
        self.acceptor
    }

    /// All is over: is anything left behind?
    fn check_end(&mut self) -> Result<(), String> {
        let Self { executor, world, .. } = self;
        executor
            .kernel
            .audit()
            .map_err(|broken| format!("the audit says at the end: not so: {}", broken.0))?;
        let lent = executor.blocks_lent();
        let sources = world.sources.iter().flatten().count();
        let fresh = room(&mut Kernel::new(&world.plan.rooms.limits()));
        let left = room(&mut executor.kernel);
        match () {
            () if lent > 0 => Err(format!("{lent} blocks of bytes were not given back")),
            () if !world.work.is_idle() => Err("something is computed for nobody".to_owned()),
            () if sources > 0 => Err(format!("{sources} sources were not closed")),
            () if left != fresh => {
                Err(format!("of {fresh:?} places for tasks, sources and jobs, {left:?} are free at the end"))
            }
            () => Ok(()),
        }
    }
}

/// For how many tasks, sources and jobs there is room.
fn room(kernel: &mut Kernel<Limits>) -> [usize; 3] {
    let tasks = std::iter::from_fn(|| kernel.spawn().ok()).count();
    let sources = std::iter::from_fn(|| kernel.open().ok()).count();
    let jobs = std::iter::from_fn(|| kernel.begin_job().ok()).count();
    [tasks, sources, jobs]
}

fn shuffle<X>(items: &mut [X], luck: &mut Luck) {
    for last in (1..items.len()).rev() {
        // 0 leaves things in their places.
        let other = last - luck.below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
        items.swap(last, other);
    }
}
