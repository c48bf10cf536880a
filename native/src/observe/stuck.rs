//! Waits that can never end.

use std::collections::{HashMap, HashSet};

use sinbin_core::TaskId;

use crate::observe::snapshot::{Snapshot, waits_only_for};

impl Snapshot {
    /// Returns the tasks whose waits can never end, except by a cancellation: those of [`deadlocks`](Self::deadlocks), and
    /// those that wait for them alone, directly or through others. In the order of the tasks.
    #[must_use]
    pub fn stuck(&self) -> Vec<TaskId> {
        let mut waiters: HashMap<TaskId, Vec<TaskId>> = HashMap::new();
        for task in &self.tasks {
            if let Some(by) = waits_only_for(&task.view) {
                waiters.entry(by).or_default().push(task.view.id);
            }
        }
        let mut stuck: HashSet<TaskId> = HashSet::new();
        let mut next: Vec<TaskId> = self.deadlocks().into_iter().flatten().collect();
        while let Some(task) = next.pop() {
            if stuck.insert(task) {
                next.extend(waiters.get(&task).into_iter().flatten());
            }
        }
        self.tasks.iter().map(|task| task.view.id).filter(|id| stuck.contains(id)).collect()
    }
}
