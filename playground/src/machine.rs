//! The made-up machine on which a program runs: its sockets, workers and clock are values in memory.

mod act;
mod clients;
mod events;
mod jobs;
mod recorder;
mod sources;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use sinbin_core::task::{Async, Label};
use sinbin_core::{Cx, Instant, Interest, JobId, Kernel, Limits, SourceId, Step, Task, TaskId, WaitTarget};

use crate::link::{MAX_CLIENTS, Run};
use crate::machine::clients::Client;
use crate::machine::jobs::Jobs;
use crate::machine::recorder::Recorder;
use crate::scenario::Scenario;
use crate::world::World;

/// The virtual time of a step, besides the time that the task computes.
const STEP: Duration = Duration::from_micros(5);

/// The capacity of the loop: a task for each client, and those of the programs.
pub(crate) const LIMITS: Limits = Limits::new(MAX_CLIENTS + 16, 4, 1024);

/// A scheduled event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The client connects.
    Arrive(usize),
    /// The client sends its next request.
    Ask(usize),
    /// The client receives what was sent to it.
    Read(usize),
    /// A worker has computed the job.
    Job(JobId),
}

/// The other end of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Backlog,
    Client(usize),
}

/// A source, as a level-triggered poller knows it.
struct Socket {
    peer: Peer,
    watched: Interest,
}

/// A task, as the machine knows it.
struct Known {
    function: &'static str,
    client: Option<usize>,
    /// The key of the wait that the task is in, or was in last.
    wait: String,
    steps: u32,
}

/// The host of a run.
pub(crate) struct Machine<'d> {
    world: &'d World,
    scenario: Scenario,
    pub(crate) now: Instant,
    recorder: Recorder,
    tasks: BTreeMap<TaskId, Known>,
    sources: BTreeMap<SourceId, Socket>,
    clients: Vec<Client>,
    backlog: VecDeque<usize>,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    scheduled: u64,
    jobs: Jobs,
    /// The tasks that the visitor has cancelled, until the next turn.
    to_cancel: Vec<TaskId>,
    /// The lines that the program has printed.
    output: VecDeque<String>,
    /// The client that was accepted last in this step.
    accepted: Option<usize>,
    /// The operations of the running task in this step, in words.
    deeds: Vec<String>,
    /// The name of the lock that the running task waits for.
    wait_name: Option<&'static str>,
    /// The end of the step that is not recorded yet.
    parked: Option<(TaskId, String)>,
    /// True if no task has run in this turn.
    is_first_step: bool,
}

impl<'d> Machine<'d> {
    pub(crate) fn new(world: &'d World, run: &Run, window: Range<usize>) -> Self {
        let mut this = Self {
            world,
            scenario: run.scenario,
            now: Instant::ZERO,
            recorder: Recorder::new(run, window),
            tasks: BTreeMap::new(),
            sources: BTreeMap::new(),
            clients: Vec::new(),
            backlog: VecDeque::new(),
            events: BinaryHeap::new(),
            scheduled: 0,
            jobs: Jobs::new(run.scenario.computes(), &LIMITS),
            to_cancel: Vec::new(),
            output: VecDeque::new(),
            accepted: None,
            deeds: Vec::new(),
            wait_name: None,
            parked: None,
            is_first_step: true,
        };
        run.scenario.first_clients().iter().for_each(|n| this.add_client(*n));
        this
    }

    fn add_client(&mut self, n: u32) {
        let Some(talk) = self.scenario.talk() else { return };
        let number = self.clients.len() + 1;
        self.clients.push(Client::new(number, talk, n));
        let after = self.world.between(100, 900);
        self.schedule(after, Event::Arrive(number));
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + after, self.scheduled, event)));
    }

    fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.clients.get_mut(number.checked_sub(1)?)
    }

    /// Notes the first task, which the executor has stored.
    pub(crate) fn begin(&mut self, kernel: &Kernel<Limits>, task: TaskId, label: Option<Label>) {
        self.know(task, label);
        let name = self.name(task);
        self.note(kernel, crate::frame::Kind::Event, format!("The program begins: {name} is spawned"), None);
    }

    fn know(&mut self, task: TaskId, label: Option<Label>) {
        let path = label.map_or("task", |label| label.name);
        let path = path.strip_suffix("::{{closure}}").unwrap_or(path);
        let function = path.rsplit("::").next().unwrap_or(path);
        let known = self.tasks.entry(task).or_insert(Known {
            function,
            client: None,
            wait: "start".to_owned(),
            steps: 0,
        });
        known.function = function;
    }

    /// Returns the name of a task for people.
    fn name(&self, task: TaskId) -> String {
        match self.tasks.get(&task) {
            Some(Known { function, client: Some(client), .. }) => {
                format!("task {task} ({function}, client {client})")
            }
            Some(Known { function, .. }) => format!("task {task} ({function})"),
            None => format!("task {task}"),
        }
    }

    fn deed(&mut self, deed: String) {
        self.deeds.push(deed);
    }

    /// Ends the step of the running task: names its wait, and lets the time of the step pass.
    fn end_step(&mut self, kernel: &Kernel<Limits>, step: &Step) {
        let Some(task) = kernel.queue().next() else { return };
        let computed = self.world.take_computed();
        for line in self.world.take_printed() {
            self.deed(format!("prints “{line}”"));
            self.print(line);
        }
        if !computed.is_zero() {
            if let Some(known) = self.tasks.get_mut(&task) {
                known.wait = "running".to_owned();
            }
            let name = self.name(task);
            let caption = format!("{name} computes, and nothing else runs");
            self.note(kernel, crate::frame::Kind::Run, caption, Some(task));
        }
        self.pass(kernel, STEP + computed, Some(task));
        self.deliver();
        let (wait, words) = self.describe(step);
        if let Some(known) = self.tasks.get_mut(&task) {
            known.steps += 1;
            if let Some(wait) = wait {
                known.wait = wait;
            }
        }
        let deeds = std::mem::take(&mut self.deeds);
        let deeds = if deeds.is_empty() { "runs".to_owned() } else { deeds.join(", ") };
        self.parked = Some((task, format!("{} {deeds}; {words}", self.name(task))));
    }

    /// Returns the key of the wait that a step asks for, and the wait in words.
    fn describe(&mut self, step: &Step) -> (Option<String>, String) {
        let name = self.wait_name.take();
        let wait = match step {
            Step::Yield => return (Some("yield".to_owned()), "it yields".to_owned()),
            Step::Done | Step::Fail(_) => return (None, "it has ended".to_owned()),
            Step::Wait(wait) => wait,
        };
        let (key, words) = match wait.targets().next() {
            Some(WaitTarget::Recv(source) | WaitTarget::Hangup(source)) => {
                ("recv".to_owned(), format!("it waits to receive from {}", self.peer_name(source)))
            }
            Some(WaitTarget::Send(source)) => {
                ("send".to_owned(), format!("it waits to send to {}", self.peer_name(source)))
            }
            Some(WaitTarget::Job(job)) => ("job".to_owned(), format!("it waits for job {job}")),
            None if wait.deadline() != Instant::NEVER => {
                ("time".to_owned(), format!("it waits until {}", crate::frame::time(wait.deadline())))
            }
            None => match name {
                Some(name) if !name.is_empty() => {
                    (format!("task:{name}"), format!("it waits for the lock “{name}”"))
                }
                _ => ("task".to_owned(), "it waits for another task".to_owned()),
            },
        };
        (Some(key), words)
    }

    fn peer_name(&self, source: SourceId) -> String {
        match self.sources.get(&source).map(|socket| socket.peer) {
            Some(Peer::Client(number)) => format!("client {number}"),
            Some(Peer::Backlog) => "the listener".to_owned(),
            None => format!("source {source}"),
        }
    }
}

/// A task, which tells the machine what it waits for.
pub(crate) struct Watched<'d>(Async<'d>);

impl<'d> From<Async<'d>> for Watched<'d> {
    fn from(task: Async<'d>) -> Self {
        Self(task)
    }
}

impl<'d> Task<Machine<'d>> for Watched<'d> {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Machine<'d>>) -> Step {
        let step = Pin::new(&mut self.0).resume(cx);
        cx.host.wait_name = Task::<Machine<'d>>::wait_name(&self.0);
        step
    }

    fn spawned(mut self: Pin<&mut Self>, id: TaskId) {
        Task::<Machine<'d>>::spawned(Pin::new(&mut self.0), id);
    }

    fn label(&self) -> Option<Label> {
        Task::<Machine<'d>>::label(&self.0)
    }

    fn wait_name(&self) -> Option<&'static str> {
        Task::<Machine<'d>>::wait_name(&self.0)
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Machine<'d>>) {
        Pin::new(&mut self.0).end(cx);
    }
}
