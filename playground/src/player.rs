//! The loop of a run, which is played from its beginning to the steps that the page shows.

use std::ops::Range;
use std::sync::Mutex;

use sinbin_core::sync::order::Order;
use sinbin_core::task::{Handle, NoWakers, Reports, RunContext, UnjoinedFailure};
use sinbin_core::{Executor, Instant, Kernel, Limits, Rest};

use crate::frame::{Kind, Played};
use crate::link::{MAX_STEPS, Run};
use crate::machine::{LIMITS, Machine};
use crate::world::World;

/// The failures of tasks that no task joins.
#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Failures {
    fn take(&self) -> Vec<String> {
        self.0.lock().map(|mut failures| std::mem::take(&mut *failures)).unwrap_or_default()
    }
}

impl Reports for Failures {
    fn failed(&self, failed: &UnjoinedFailure<'_>) {
        let UnjoinedFailure { task, error, .. } = failed;
        if let Ok(mut failures) = self.0.lock() {
            failures.push(format!("task {task} failed: {error}"));
        }
    }
}

/// The end of a run, or of the part that is played.
enum Ending {
    /// The window ends before the run.
    Window,
    /// Nothing more happens.
    Run,
}

/// Plays a run from its beginning, and returns the steps in `window`. A window beyond the end of the run is empty. The
/// caller limits the length of the window.
#[must_use]
pub fn play(run: &Run, window: Range<usize>) -> Played {
    let world = World::new(run.seed);
    let failures = Failures::default();
    let run_context = RunContext::reporting(&NoWakers, &failures);
    let handle = Handle::new(&run_context);
    let order = Order::new(handle);
    let mut machine = Machine::new(&world, run, window.clone());
    let mut executor = Box::new(Executor::new(&LIMITS));
    let main = run.scenario.main(handle, &world, &order);
    if let Ok(task) = executor.spawn(main.into()) {
        machine.begin(&executor.kernel, task, executor.label(task));
    }
    let ending = turns(&mut executor, &mut machine, &failures);
    let (frames, last) = machine.into_frames();
    let end = match ending {
        Ending::Run => Some(last),
        Ending::Window => (last >= MAX_STEPS).then_some(MAX_STEPS),
    };
    Played { link: run.to_string(), from: window.start, frames, end }
}

/// Runs turns until the window or the run ends.
fn turns<'d>(executor: &mut Executor<Machine<'d>>, machine: &mut Machine<'d>, failures: &Failures) -> Ending {
    while !machine.is_over() {
        executor.turn(machine.now, machine);
        machine.end_turn(&executor.kernel);
        debug_assert_eq!(executor.kernel.audit(), Ok(()), "the kernel keeps its promises");
        failures.take().into_iter().for_each(|failure| machine.print(failure));
        let kernel = &mut executor.kernel;
        machine.cancel_tasks(kernel);
        machine.happen_until(kernel, machine.now);
        machine.poll(kernel);
        let until = match kernel.rest() {
            Rest::Ready => continue,
            Rest::Empty => {
                machine.note(kernel, Kind::Rest, "All tasks have ended".to_owned(), None);
                return Ending::Run;
            }
            _ if machine.compute(kernel) => machine.now,
            Rest::Until(deadline) => deadline.min(machine.next_event()),
            // Only another task could end any of the waits.
            Rest::Stalled => machine.next_event(),
        };
        if until < Instant::NEVER {
            machine.happen_until(kernel, until);
            machine.poll(kernel);
        } else if !rests(kernel, machine) {
            return Ending::Run;
        }
    }
    Ending::Window
}

/// Records that nothing more will happen by itself. Returns true if the visitor has acted on that.
fn rests(kernel: &Kernel<Limits>, machine: &mut Machine<'_>) -> bool {
    let caption = if kernel.rest() == Rest::Stalled {
        let tasks: Vec<_> = kernel.tasks().map(|view| view.to_string()).collect();
        format!("No task can make progress, and nothing can wake them: {}", tasks.join("; "))
    } else {
        "All tasks wait, and no client does anything more".to_owned()
    };
    machine.note(kernel, Kind::Rest, caption, None)
}
