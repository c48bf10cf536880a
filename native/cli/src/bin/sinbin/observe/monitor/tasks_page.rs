//! A part of the tasks of a loop: filtered, sorted, and limited in number and size.

use std::cmp::Reverse;

use sinbin::observe::{LoopState, Snapshot, TaskInfo};

use super::super::describe;
use super::super::json::TaskJson;
use super::event::{LoopKey, MAX_BYTES};

/// The maximum number of tasks of a part.
const MAX_COUNT: usize = 200;
/// The number of tasks of a part if the query has none.
const COUNT: usize = 100;

/// The tasks that are asked for.
pub(crate) struct Query {
    pub(crate) of: LoopKey,
    bin: Option<String>,
    name: Option<String>,
    /// A text in lower case that a column contains.
    text: String,
    sort: Sort,
    is_descending: bool,
    from: usize,
    count: usize,
}

/// A column by which tasks are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Task,
    State,
    Since,
    Waits,
    Name,
    Place,
}

/// The columns, by their names in [`TaskJson`].
const SORTS: [(&str, Sort); 6] = [
    ("id", Sort::Task),
    ("state", Sort::State),
    ("since_ns", Sort::Since),
    ("waits_for", Sort::Waits),
    ("name", Sort::Name),
    ("spawned_at", Sort::Place),
];

impl Query {
    /// Parses a query: `loop`, and perhaps `bin`, `name`, `text`, `sort`, `order`, `from` and `count`.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut of = None;
        let mut parsed = Self {
            of: LoopKey::default(),
            bin: None,
            name: None,
            text: String::new(),
            sort: Sort::Task,
            is_descending: false,
            from: 0,
            count: COUNT,
        };
        let number = |text: &str| text.parse().map_err(|_| format!("expected a number, not {text:?}"));
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "loop" => of = Some(LoopKey::parse(&value)?),
                "bin" => parsed.bin = Some(value.into_owned()),
                "name" => parsed.name = Some(value.into_owned()),
                "text" => parsed.text = value.to_lowercase(),
                "sort" => parsed.sort = sort(&value)?,
                "order" => parsed.is_descending = value == "descending",
                "from" => parsed.from = number(&value)?,
                "count" => parsed.count = number(&value)?.min(MAX_COUNT),
                _ => return Err(format!("there is no parameter {name:?}")),
            }
        }
        parsed.of = of.ok_or("the query names no loop, such as loop=8207.8")?;
        Ok(parsed)
    }

    fn is_wanted(&self, task: &TaskInfo, state: &LoopState) -> bool {
        let contains = |text: &str| text.to_lowercase().contains(&self.text);
        self.bin.as_deref().is_none_or(|bin| bin == describe::bin(task))
            && self.name.as_deref().is_none_or(|name| name == describe::name(task, state))
            && (self.text.is_empty()
                || contains(&task.view.id.to_string())
                || contains(describe::state(task))
                || contains(&describe::waits(task, state))
                || contains(describe::name(task, state))
                || contains(describe::place(task)))
    }

    /// Sorts tasks that are in the order of their ids.
    fn sort(&self, tasks: &mut [&TaskInfo], state: &LoopState) {
        match self.sort {
            Sort::Task => {}
            Sort::State => tasks.sort_by_key(|task| describe::state(task)),
            // The longest time has the earliest beginning.
            Sort::Since => tasks.sort_by_key(|task| Reverse(task.view.since)),
            Sort::Waits => tasks.sort_by_cached_key(|task| describe::waits(task, state)),
            Sort::Name => tasks.sort_by_key(|task| describe::name(task, state)),
            Sort::Place => tasks.sort_by_key(|task| describe::place(task)),
        }
        if self.is_descending {
            tasks.reverse();
        }
    }
}

fn sort(text: &str) -> Result<Sort, String> {
    let found = SORTS.into_iter().find(|(name, _)| *name == text).map(|(_, sort)| sort);
    found.ok_or_else(|| format!("tasks are sorted by {}", SORTS.map(|(name, _)| name).join(", ")))
}

/// Returns the tasks of a look that are asked for, as JSON, with the number of the tasks that match and of the first one.
/// A part that would be too large has fewer tasks.
pub(crate) fn json(look: u64, snapshot: &Snapshot, query: &Query) -> serde_json::Result<String> {
    let state = &snapshot.state;
    let mut found: Vec<_> = snapshot.tasks.iter().filter(|task| query.is_wanted(task, state)).collect();
    query.sort(&mut found, state);
    // A part beyond the end, after tasks have ended, is the last one.
    let from = query.from.min(found.len().saturating_sub(1) / query.count.max(1) * query.count);
    let (mut tasks, mut size) = (Vec::new(), 0);
    for task in found.iter().skip(from).take(query.count) {
        let task = serde_json::to_string(&TaskJson::new(task, state))?;
        size += task.len() + 1;
        if size > MAX_BYTES - 1024 {
            break;
        }
        tasks.push(task);
    }
    let (matching, tasks) = (found.len(), tasks.join(","));
    Ok(format!(r#"{{"look":{look},"matching":{matching},"from":{from},"tasks":[{tasks}]}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_limited_and_wrong_ones_are_explained() {
        let query =
            Query::parse("loop=7.8&text=Recv%20From&sort=since_ns&order=descending&count=9999&from=5")
                .unwrap();
        assert_eq!(
            (query.text.as_str(), query.sort, query.count, query.from),
            ("recv from", Sort::Since, MAX_COUNT, 5)
        );
        assert!(query.is_descending && query.bin.is_none());
        for (wrong, why) in [
            ("", "names no loop"),
            ("loop=7", "expected a loop"),
            ("loop=7.8&sort=colour", "sorted by id, state"),
            ("loop=7.8&from=-1", "expected a number"),
            ("loop=7.8&colour=red", "no parameter"),
        ] {
            let error = Query::parse(wrong).err().unwrap_or_default();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
