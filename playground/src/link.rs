//! A run as the fragment of a link: the scenario, the seed, the step that is shown, and the visitor's actions.

use std::fmt;

use sinbin_core::TaskId;

use crate::scenario::Scenario;
use crate::world::MAX_N;

/// The number of steps after which a run ends.
pub const MAX_STEPS: usize = 20_000;

/// The maximum number of clients of a run, including those that have left.
pub const MAX_CLIENTS: usize = 64;

/// The maximum number of actions in a link.
pub const MAX_ACTIONS: usize = 100;

/// The maximum length of a link's fragment in bytes.
pub const MAX_LINK: usize = 4096;

/// A run, up to a step: the same run on every machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The program and its clients.
    pub scenario: Scenario,
    /// The seed of all randomness.
    pub seed: u64,
    /// The number of the step that is shown.
    pub step: usize,
    /// The visitor's actions, in the order of their steps.
    pub actions: Vec<Action>,
}

/// An action of the visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// The number of the step that was shown when the visitor acted.
    pub step: usize,
    /// The action.
    pub deed: Deed,
}

/// The kinds of actions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Adds a client, which asks for fib(n) if the scenario computes these.
    Add(u32),
    /// Slows the client of this number down, or lets it be fast again.
    Slow(usize),
    /// Cuts the client of this number off from the network, or connects it again.
    Cut(usize),
    /// Resets the connection of the client of this number.
    Reset(usize),
    /// Cancels a task.
    Cancel(TaskId),
}

/// Error returned for a fragment that describes no run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkError(String);

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The link is not valid: {}.", self.0)
    }
}

impl std::error::Error for LinkError {}

impl Default for Run {
    fn default() -> Self {
        Self { scenario: Scenario::FibWorkers, seed: 7, step: 0, actions: Vec::new() }
    }
}

impl Run {
    /// Parses the fragment of a link, with or without its `#`. An empty one is the default run.
    ///
    /// # Errors
    ///
    /// Returns [`LinkError`] if a part is unknown, is no number, or exceeds a limit.
    pub fn parse(fragment: &str) -> Result<Self, LinkError> {
        if fragment.len() > MAX_LINK {
            return Err(LinkError(format!("it has {} bytes, of at most {MAX_LINK}", fragment.len())));
        }
        let mut run = Self::default();
        let parts = fragment.trim_start_matches('#').split('&').filter(|part| !part.is_empty());
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "scenario" => run.scenario = Scenario::by_name(value).ok_or_else(|| unknown(value))?,
                "seed" => run.seed = value.parse().map_err(|_| no_number("seed", value, u64::MAX))?,
                "step" => run.step = bounded("step", value, MAX_STEPS)?,
                "do" => run.actions = actions(value)?,
                _ => return Err(LinkError(format!("it has a part “{}” that is unknown", shown(name)))),
            }
        }
        run.check()?;
        Ok(run)
    }

    fn check(&self) -> Result<(), LinkError> {
        let added = self.actions.iter().filter(|action| matches!(action.deed, Deed::Add(_))).count();
        if self.scenario.first_clients().len() + added > MAX_CLIENTS {
            return Err(LinkError(format!("a run has at most {MAX_CLIENTS} clients")));
        }
        let has_clients = self.scenario.talk().is_some();
        let on_client = |action: &&Action| !matches!(action.deed, Deed::Cancel(_));
        match self.actions.iter().find(on_client) {
            Some(action) if !has_clients => {
                let name = self.scenario.name();
                Err(LinkError(format!("the scenario “{name}” has no clients for the action “{action}”")))
            }
            _ => Ok(()),
        }
    }

    /// Adds an action at the step that is shown. Actions at this step and later ones are removed, because they belong
    /// to another run from here on.
    ///
    /// # Errors
    ///
    /// Returns [`LinkError`] if the action does not suit the scenario, or at the maximum number of actions.
    pub fn act(&mut self, deed: &str) -> Result<(), LinkError> {
        let action = action(&format!("{}:{deed}", self.step))?;
        let mut changed = self.clone();
        changed.actions.retain(|action| action.step < self.step);
        if changed.actions.len() >= MAX_ACTIONS {
            return Err(LinkError(format!("a run has at most {MAX_ACTIONS} actions")));
        }
        changed.actions.push(action);
        changed.check()?;
        *self = changed;
        Ok(())
    }
}

/// Formats the run as a fragment, without a `#`.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scenario={}&seed={}&step={}", self.scenario.name(), self.seed, self.step)?;
        for (i, action) in self.actions.iter().enumerate() {
            write!(f, "{}{action}", if i == 0 { "&do=" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deed {
            Deed::Add(n) => write!(f, "{}:add:{n}", self.step),
            Deed::Slow(client) => write!(f, "{}:slow:{client}", self.step),
            Deed::Cut(client) => write!(f, "{}:cut:{client}", self.step),
            Deed::Reset(client) => write!(f, "{}:reset:{client}", self.step),
            Deed::Cancel(task) => write!(f, "{}:cancel:{task}", self.step),
        }
    }
}

fn actions(text: &str) -> Result<Vec<Action>, LinkError> {
    let mut actions: Vec<Action> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        if actions.len() == MAX_ACTIONS {
            return Err(LinkError(format!("it has more than {MAX_ACTIONS} actions")));
        }
        let action = action(part)?;
        if actions.last().is_some_and(|last| last.step > action.step) {
            return Err(LinkError(format!("the action “{action}” is earlier than the one before it")));
        }
        actions.push(action);
    }
    Ok(actions)
}

/// Parses `STEP:VERB:OBJECT`.
fn action(text: &str) -> Result<Action, LinkError> {
    let mut parts = text.splitn(3, ':');
    let step = bounded("step of an action", parts.next().unwrap_or_default(), MAX_STEPS)?;
    let (verb, object) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let client = || match bounded("client", object, MAX_CLIENTS)? {
        0 => Err(LinkError("clients are numbered from 1".to_owned())),
        client => Ok(client),
    };
    let deed = match verb {
        "add" => Deed::Add(u32::try_from(bounded("n of fib(n)", object, MAX_N as usize)?).unwrap_or(MAX_N)),
        "slow" => Deed::Slow(client()?),
        "cut" => Deed::Cut(client()?),
        "reset" => Deed::Reset(client()?),
        "cancel" => Deed::Cancel(task(object)?),
        _ => return Err(LinkError(format!("the action “{}” is unknown", shown(text)))),
    };
    Ok(Action { step, deed })
}

/// Parses the id of a task, as in `4.1`.
fn task(text: &str) -> Result<TaskId, LinkError> {
    let parts = text.split_once('.').map(|(index, generation)| (index.parse(), generation.parse()));
    match parts {
        Some((Ok::<u32, _>(index), Ok::<u32, _>(generation))) => {
            let id = u64::from(generation) << 32 | u64::from(index);
            Ok(TaskId::from_bits(id))
        }
        _ => Err(LinkError(format!("“{}” is not the id of a task, such as 1.1", shown(text)))),
    }
}

fn bounded(what: &str, text: &str, most: usize) -> Result<usize, LinkError> {
    match text.parse() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(no_number(what, text, most as u64)),
    }
}

fn no_number(what: &str, text: &str, most: u64) -> LinkError {
    LinkError(format!("the {what} is “{}”, and must be a number from 0 to {most}", shown(text)))
}

fn unknown(name: &str) -> LinkError {
    let names: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
    LinkError(format!("the scenario “{}” is none of {}", shown(name), names.join(", ")))
}

/// Returns the beginning of a text that may be long.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(30).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
