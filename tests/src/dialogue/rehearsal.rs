//! Detection of clients that wait for each other for ever.

use std::collections::HashMap;

use super::error::Wrong;
use super::script::{Dialogue, Step};

/// The points of a dialogue and the clients that have not reached them yet.
pub(super) struct Points<'d> {
    /// The number of `Reach` steps that are still to come, for each point.
    missing: HashMap<&'d str, usize>,
}

impl<'d> Points<'d> {
    pub(super) fn of(dialogue: &'d Dialogue) -> Self {
        let mut missing = HashMap::new();
        for step in dialogue.clients.iter().flat_map(|client| &client.steps) {
            if let Step::Reach(point) = step {
                *missing.entry(point.as_str()).or_insert(0) += 1;
            }
        }
        Self { missing }
    }

    /// Records that another client has reached the point.
    pub(super) fn reach(&mut self, point: &str) {
        if let Some(missing) = self.missing.get_mut(point) {
            *missing -= 1;
        }
    }

    /// Returns true if all clients that ever reach the point have done so. A point without `Reach` steps is never
    /// reached.
    pub(super) fn is_reached(&self, point: &str) -> bool {
        self.missing.get(point).is_some_and(|missing| *missing == 0)
    }
}

/// Runs through all steps, considering only the points. Returns an error if a client waits for ever.
pub(super) fn rehearse(dialogue: &Dialogue) -> Result<(), Wrong> {
    let reached = |name: &str| {
        let mut steps = dialogue.clients.iter().flat_map(|client| &client.steps);
        steps.any(|step| matches!(step, Step::Reach(point) if point == name))
    };
    let mut points = Points::of(dialogue);
    let mut at = vec![0; dialogue.clients.len()];
    let mut moved = true;
    while moved {
        moved = false;
        for (client, at) in dialogue.clients.iter().zip(&mut at) {
            while let Some(step) = client.steps.get(*at) {
                match step {
                    Step::Await(point) if !points.is_reached(point) => break,
                    Step::Reach(point) => points.reach(point),
                    _ => {}
                }
                *at += 1;
                moved = true;
            }
        }
    }
    for (client, at) in dialogue.clients.iter().zip(at) {
        let what = match client.steps.get(at) {
            Some(Step::Await(point)) if reached(point) => {
                format!("it waits for {point:?} for ever: the clients that reach it wait too")
            }
            Some(Step::Await(point)) => format!("no client ever reaches {point:?}"),
            _ => continue,
        };
        let (name, client, step) = (dialogue.name.clone(), client.name.clone(), client.number(at));
        return Err(Wrong::Step { name, client, step, what });
    }
    Ok(())
}
