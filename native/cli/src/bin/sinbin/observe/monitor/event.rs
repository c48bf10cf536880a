//! The event of a look: the loops, and the tasks of the chosen one, one by one or in groups. Its size is limited.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use sinbin::TaskId;
use sinbin::observe::Snapshot;

use super::super::json::{GuestSourceJson, LoopJson, TaskJson, nanos};
use super::super::top::Seen;
use super::super::{describe, rates};

/// The maximum number of bytes of an event.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// The number of tasks above which they are sent in groups.
const MAX_TASKS: usize = 400;
/// The maximum number of groups. The others are known by the numbers of tasks in the bins.
const MAX_GROUPS: usize = 100;
/// The maximum number of loops that are listed, of failures, and of sources of a guest.
const MAX_LISTED: usize = 100;
/// The maximum number of deadlocks, and of tasks of each.
const MAX_CIRCLES: usize = 10;
const MAX_CIRCLE: usize = 20;
/// The maximum number of characters of a service's name in the list of loops, and of a failure.
const MAX_TEXT: usize = 200;

/// A loop: the id of its process, and its number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct LoopKey {
    pid: u32,
    number: u32,
}

impl LoopKey {
    pub(crate) fn of(seen: &Seen) -> Self {
        Self { pid: seen.snapshot.state.pid, number: seen.snapshot.state.number }
    }

    /// Parses the form that [`LoopJson`] and the page's address have: "PID.LOOP".
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('.')
            .and_then(|(pid, number)| Some(Self { pid: pid.parse().ok()?, number: number.parse().ok()? }));
        parts.ok_or_else(|| "expected a loop, such as loop=8207.8".to_owned())
    }

    fn text(self) -> String {
        format!("{}.{}", self.pid, self.number)
    }
}

/// The loop that a viewer has chosen: one by its key, or the first one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Choice(Option<LoopKey>);

impl Choice {
    /// Parses a query: "loop=PID.LOOP", or nothing.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut parts = form_urlencoded::parse(query.as_bytes());
        let chosen = parts.find(|(name, _)| name == "loop");
        chosen.map(|(_, key)| LoopKey::parse(&key)).transpose().map(Self)
    }
}

/// A look at loops.
pub(crate) struct Look<'a> {
    pub(crate) number: u64,
    /// The time since the monitor began.
    pub(crate) at: Duration,
    /// The time between two looks.
    pub(crate) every: Duration,
    pub(crate) seen: &'a [Seen],
    pub(crate) failures: &'a [String],
}

#[derive(Serialize)]
struct EventJson {
    look: u64,
    at_ms: f64,
    every_ms: u128,
    loops: Vec<ListedJson>,
    more_loops: usize,
    failures: Vec<String>,
    chosen: Option<ChosenJson>,
}

/// A loop in the list.
#[derive(Serialize)]
struct ListedJson {
    key: String,
    service: String,
    tasks: usize,
    deadlocks: usize,
}

/// The loop that the viewer has chosen.
#[derive(Serialize)]
struct ChosenJson {
    key: String,
    #[serde(flatten)]
    state: LoopJson,
    is_guest: bool,
    guest_sources: Vec<GuestSourceJson>,
    of_one_moment: bool,
    resident_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    queue_length: usize,
    counts: BTreeMap<&'static str, u64>,
    deadlocks: Vec<Vec<MemberJson>>,
    /// The number of all tasks.
    total: usize,
    /// All tasks, and the ready ones in their order; empty if the tasks are sent in groups.
    tasks: Vec<TaskJson>,
    queue: Vec<String>,
    groups: Option<Vec<GroupJson>>,
}

/// A task of a deadlock.
#[derive(Serialize)]
struct MemberJson {
    id: String,
    name: String,
    spawned_at: String,
}

/// The tasks of one name in a bin.
#[derive(Serialize)]
struct GroupJson {
    bin: &'static str,
    name: String,
    count: u64,
    /// The longest time that one of them has been in its state.
    oldest_ns: u64,
}

/// Returns the event of a look, for a viewer that has chosen so.
pub(crate) fn bytes(look: &Look<'_>, choice: Choice) -> Bytes {
    let Look { number, seen, failures, .. } = look;
    let chosen = match choice.0 {
        Some(key) => seen.iter().find(|seen| LoopKey::of(seen) == key),
        None => seen.first(),
    };
    // Each attempt has less. The last one is small, whatever the loop has published.
    for detail in [Detail::Tasks, Detail::Groups, Detail::Numbers] {
        let event = EventJson {
            look: *number,
            at_ms: look.at.as_secs_f64() * 1000.0,
            every_ms: look.every.as_millis(),
            loops: seen.iter().take(MAX_LISTED).map(ListedJson::new).collect(),
            more_loops: seen.len().saturating_sub(MAX_LISTED),
            failures: failures.iter().take(MAX_LISTED).map(|text| cut(text)).collect(),
            chosen: chosen.map(|seen| ChosenJson::new(seen, detail)),
        };
        match serde_json::to_string(&event) {
            Ok(json) if json.len() <= MAX_BYTES => return format!("data: {json}\n\n").into(),
            _ => {}
        }
    }
    format!("data: {{\"look\":{number},\"failures\":[\"the names of the loops are too long\"]}}\n\n").into()
}

/// The detail of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Tasks,
    Groups,
    Numbers,
}

impl ListedJson {
    fn new(seen: &Seen) -> Self {
        let Snapshot { state, tasks, .. } = &seen.snapshot;
        Self {
            key: LoopKey::of(seen).text(),
            service: cut(state.service.as_deref().map_or("", describe::short)),
            tasks: tasks.len(),
            deadlocks: seen.snapshot.deadlocks().len(),
        }
    }
}

impl ChosenJson {
    fn new(seen: &Seen, detail: Detail) -> Self {
        let snapshot = &seen.snapshot;
        let Snapshot { state, tasks, queue, .. } = snapshot;
        let is_whole = detail == Detail::Tasks && tasks.len() <= MAX_TASKS;
        let some = if is_whole { &tasks[..] } else { &[] };
        Self {
            key: LoopKey::of(seen).text(),
            state: LoopJson::new(state),
            is_guest: state.is_guest,
            guest_sources: snapshot.guest_sources.iter().take(MAX_LISTED).map(GuestSourceJson::new).collect(),
            of_one_moment: snapshot.is_of_one_moment,
            resident_bytes: seen.resident,
            cpu_seconds: rates::used(state),
            queue_length: queue.len(),
            counts: describe::BINS.into_iter().zip(describe::count(tasks)).collect(),
            deadlocks: deadlocks(snapshot),
            total: tasks.len(),
            tasks: some.iter().map(|task| TaskJson::new(task, state)).collect(),
            queue: if is_whole { queue.iter().map(TaskId::to_string).collect() } else { Vec::new() },
            groups: match detail {
                _ if is_whole => None,
                Detail::Numbers => Some(Vec::new()),
                _ => Some(groups(snapshot)),
            },
        }
    }
}

fn deadlocks(snapshot: &Snapshot) -> Vec<Vec<MemberJson>> {
    let circles = snapshot.deadlocks();
    let find = |id: &TaskId| {
        let at = snapshot.tasks.binary_search_by_key(&id.index(), |task| task.view.id.index());
        at.ok().and_then(|at| snapshot.tasks.get(at))
    };
    let member = |id: &TaskId| {
        let task = find(id);
        let name = task.map_or("", |task| describe::name(task, &snapshot.state));
        MemberJson {
            id: id.to_string(),
            name: cut(describe::short(name)),
            spawned_at: cut(task.map_or("", describe::place)),
        }
    };
    let members = |circle: &Vec<TaskId>| circle.iter().take(MAX_CIRCLE).map(member).collect();
    circles.iter().take(MAX_CIRCLES).map(members).collect()
}

/// Returns the largest groups.
fn groups(snapshot: &Snapshot) -> Vec<GroupJson> {
    let state = &snapshot.state;
    let mut groups: HashMap<(&str, &str), GroupJson> = HashMap::new();
    for task in &snapshot.tasks {
        let (bin, name) = (describe::bin(task), describe::name(task, state));
        let since = nanos(state.now.since(task.view.since));
        let group = groups.entry((bin, name)).or_insert_with(|| GroupJson {
            bin,
            name: name.to_owned(),
            count: 0,
            oldest_ns: 0,
        });
        group.count += 1;
        group.oldest_ns = group.oldest_ns.max(since);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.bin, &a.name).cmp(&(b.bin, &b.name))));
    groups.truncate(MAX_GROUPS);
    groups
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
