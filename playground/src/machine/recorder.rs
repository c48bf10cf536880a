//! The steps of a run, and the visitor's actions between them.

use std::collections::VecDeque;
use std::ops::Range;

use sinbin_core::kernel::{ExpectedWaker, TaskState, TaskView};
use sinbin_core::{Instant, Kernel, Limits, TaskId, WaitTarget};

use crate::code;
use crate::frame::{Dot, Frame, Kind, Place, age, span, time};
use crate::link::{Action, MAX_STEPS, Run};
use crate::machine::Machine;

/// The number of printed lines that a frame has.
const LINES: usize = 12;

/// The steps in the window that the page asks for.
pub(super) struct Recorder {
    window: Range<usize>,
    frames: Vec<Frame>,
    /// The number of the next step.
    next: usize,
    actions: VecDeque<Action>,
}

impl Recorder {
    pub(super) fn new(run: &Run, window: Range<usize>) -> Self {
        Self { window, frames: Vec::new(), next: 0, actions: run.actions.iter().copied().collect() }
    }
}

impl Machine<'_> {
    /// Returns true if all steps of the window are recorded, or the run has the maximum number of steps.
    pub(crate) fn is_over(&self) -> bool {
        self.recorder.next >= self.recorder.window.end || self.recorder.next > MAX_STEPS
    }

    /// Returns the recorded steps, and the number of the last step so far.
    pub(crate) fn into_frames(self) -> (Vec<Frame>, usize) {
        (self.recorder.frames, self.recorder.next.saturating_sub(1))
    }

    /// Records a step, and lets the visitor act if there is an action at this step. Each action is a step too. Returns
    /// true if the visitor has acted.
    pub(crate) fn note(
        &mut self,
        kernel: &Kernel<Limits>,
        kind: Kind,
        caption: String,
        runs: Option<TaskId>,
    ) -> bool {
        self.record(kernel, kind, caption, runs, runs);
        self.let_act(kernel, runs)
    }

    /// Records the end of the step that ran last, if that is not done yet.
    pub(super) fn record_step(&mut self, kernel: &Kernel<Limits>) {
        if let Some((task, caption)) = self.parked.take() {
            self.record(kernel, Kind::Run, caption, None, Some(task));
            self.let_act(kernel, None);
        }
    }

    fn let_act(&mut self, kernel: &Kernel<Limits>, runs: Option<TaskId>) -> bool {
        let before = self.recorder.next;
        while let Some(action) = self.recorder.actions.pop_front_if(|action| action.step < self.recorder.next)
        {
            let caption = self.act(action.deed);
            self.record(kernel, Kind::You, caption, runs, runs);
        }
        self.recorder.next > before
    }

    fn record(
        &mut self,
        kernel: &Kernel<Limits>,
        kind: Kind,
        caption: String,
        runs: Option<TaskId>,
        ran: Option<TaskId>,
    ) {
        let step = self.recorder.next;
        self.recorder.next += 1;
        if !self.recorder.window.contains(&step) || step > MAX_STEPS {
            return;
        }
        let frame = Frame {
            step,
            time: time(self.now),
            kind,
            caption,
            ran: ran.map(|task| task.to_string()),
            tasks: self.dots(kernel, runs),
            clients: self.clients.iter().map(super::clients::Client::row).collect(),
            jobs: self.jobs.rows(self.now),
            output: self.output.iter().cloned().collect(),
        };
        self.recorder.frames.push(frame);
    }

    /// Adds a line to the output.
    pub(crate) fn print(&mut self, line: String) {
        self.output.push_back(line);
        if self.output.len() > LINES {
            self.output.pop_front();
        }
    }

    fn dots(&self, kernel: &Kernel<Limits>, runs: Option<TaskId>) -> Vec<Dot> {
        let queue: Vec<_> = kernel.queue().collect();
        let mut views: Vec<_> = kernel.tasks().collect();
        let order = |view: &TaskView| {
            let position = queue.iter().position(|task| *task == view.id).unwrap_or(queue.len());
            (position, view.since, view.id)
        };
        views.sort_by_key(order);
        views.iter().map(|view| self.dot(view, runs == Some(view.id))).collect()
    }

    fn dot(&self, view: &TaskView, is_running: bool) -> Dot {
        let place = if is_running { Place::Running } else { place(view) };
        let known = self.tasks.get(&view.id);
        let nanos = u64::try_from(self.now.since(view.since).as_nanos()).unwrap_or(u64::MAX);
        let line = known.and_then(|known| code::line(self.scenario, known.function, &known.wait));
        Dot {
            id: view.id.to_string(),
            name: match known {
                Some(known) => match known.client {
                    Some(client) => format!("{}, client {client}", known.function),
                    None => known.function.to_owned(),
                },
                None => "task".to_owned(),
            },
            place,
            state: self.state(view, place),
            waited: span(nanos),
            age: age(nanos),
            waits_for: match view.by {
                ExpectedWaker::Task(task) => Some(task.to_string()),
                _ => None,
            },
            line,
            steps: known.map_or(0, |known| known.steps),
        }
    }

    fn state(&self, view: &TaskView, place: Place) -> String {
        let mut state = match place {
            Place::Running => "runs".to_owned(),
            Place::Queue => "is ready to run".to_owned(),
            Place::Time => "sleeps".to_owned(),
            _ => match (view.waits[0], view.by) {
                (Some(WaitTarget::Recv(source) | WaitTarget::Hangup(source)), _) => {
                    format!("waits to receive from {}", self.peer_name(source))
                }
                (Some(WaitTarget::Send(source)), _) => format!("waits to send to {}", self.peer_name(source)),
                (Some(WaitTarget::Job(job)), _) => format!("waits for job {job}"),
                (None, ExpectedWaker::Task(task)) => format!("waits for task {task}"),
                (None, _) => "waits to be woken".to_owned(),
            },
        };
        if view.deadline != Instant::NEVER && !matches!(place, Place::Running | Place::Queue) {
            state += &format!(", until {}", time(view.deadline));
        }
        state
    }
}

fn place(view: &TaskView) -> Place {
    match (view.state, view.waits[0]) {
        (TaskState::Ready, _) => Place::Queue,
        (TaskState::Waiting, Some(WaitTarget::Recv(_) | WaitTarget::Hangup(_))) => Place::Recv,
        (TaskState::Waiting, Some(WaitTarget::Send(_))) => Place::Send,
        (TaskState::Waiting, Some(WaitTarget::Job(_))) => Place::Job,
        (TaskState::Waiting, None) if view.deadline == Instant::NEVER => Place::Task,
        (TaskState::Waiting, None) => Place::Time,
    }
}
