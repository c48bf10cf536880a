//! The shares of time that tasks run for, by looking often. The loop counts and measures nothing for that.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use sinbin::TaskId;
use sinbin::observe::Observed;

/// The time between two looks.
const EVERY: Duration = Duration::from_micros(500);

/// The looks at a loop, by the tasks that ran.
pub(crate) struct Samples {
    running: HashMap<TaskId, u64>,
    looks: u64,
}

impl Samples {
    /// Looks at a loop for some time.
    pub(crate) fn take(observed: &Observed, span: Duration) -> Self {
        let begun = Instant::now();
        let mut samples = Self { running: HashMap::new(), looks: 0 };
        while samples.looks == 0 || begun.elapsed() < span {
            samples.looks += 1;
            if let Some(task) = observed.running() {
                *samples.running.entry(task).or_default() += 1;
            }
            thread::sleep(EVERY);
        }
        samples
    }

    /// Returns the share of the time for which the task ran.
    #[expect(clippy::cast_precision_loss, reason = "there are not so many looks")]
    pub(crate) fn share(&self, task: TaskId) -> f64 {
        self.running.get(&task).copied().unwrap_or(0) as f64 / self.looks as f64
    }
}
