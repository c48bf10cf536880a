//! Spans of `tracing` for tasks, if a subscriber asks for them when the loop is created.

use std::any::type_name;

use sinbin_core::kernel::IdMap;
use sinbin_core::task::Label;
use sinbin_core::{Kernel, TaskId};
use tracing::{Level, Span};

use crate::memory::Memory;
use crate::observe::unwrapped;

/// The target of the spans, by which a subscriber chooses them.
const TARGET: &str = "sinbin::task";

/// The spans of the tasks of a loop. Each is entered for each step of its task, and closed when the task ends.
pub(crate) struct TaskSpans(IdMap<TaskId, Span>);

impl TaskSpans {
    /// Returns `None` if no subscriber asks for the spans: a loop then checks that once a step, and does nothing more.
    pub(crate) fn if_asked() -> Option<Box<Self>> {
        tracing::span_enabled!(target: TARGET, Level::TRACE).then(|| Box::new(Self(IdMap::new())))
    }

    /// Creates the span of a new task. A task without a label has the name of the type `T`.
    pub(crate) fn begin<T>(&mut self, task: TaskId, label: Option<Label>) {
        let name = unwrapped(label.map_or(type_name::<T>(), |label| label.name));
        let spawned = label.map(|label| tracing::field::display(label.spawned));
        let span = tracing::span!(target: TARGET, Level::TRACE, "task", id = %task, name, spawned);
        self.0.insert(task, span);
    }

    /// Enters the span of the task that is about to run.
    pub(crate) fn enter(&self, kernel: &Kernel<Memory>) {
        if let Some(span) = self.of_running(kernel) {
            span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
        }
    }

    /// Exits the span of the task that has run.
    pub(crate) fn exit(&self, kernel: &Kernel<Memory>) {
        if let Some(span) = self.of_running(kernel) {
            span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
        }
    }

    fn of_running(&self, kernel: &Kernel<Memory>) -> Option<&Span> {
        self.0.get(kernel.queue().next()?)
    }

    /// Closes the span of a task that has ended.
    pub(crate) fn end(&mut self, task: TaskId) {
        self.0.remove(task);
    }
}
