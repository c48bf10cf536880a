//! The contents of the page, compared with the document that `sinbin ps --json` prints.

use serde_json::{Value, json};
use sinbin_tests::Browser;

use super::{next_look, ps};

/// Reads the page.
const READ: &str = "(() => {
  const all = (selector, read) => Array.from(document.querySelectorAll(selector), read);
  const cells = (row) => Array.from(row.cells, (cell) => cell.textContent);
  return {
    facts: Object.fromEntries(all('#facts dl > div', ({ children: [name, value] }) => [name.textContent, value.textContent])),
    counts: Object.fromEntries(all('.zoom', (zoom) => [zoom.dataset.bin, zoom.lastChild.textContent])),
    dots: all('.dot:not(.group)', (dot) => [dot.dataset.id, dot.closest('.bin').querySelector('.zoom').dataset.bin]),
    heaps: all('.dot.group', (dot) => [dot.dataset.bin, dot.dataset.name, dot.textContent]),
    arrows: all('#arrows path.wait', (arrow) => [arrow.dataset.from, arrow.dataset.to]),
    stuck: all('.dot.stuck', (dot) => dot.dataset.id),
    deadlocks: all('#deadlocks:not([hidden]) li', (item) => item.textContent),
    rows: all('#tasks tbody tr', (row) => [...cells(row), row.dataset.bin]),
    found: document.getElementById('found').textContent,
    unnamed: all('button, input, select', (control) => control)
      .filter((control) => !control.getAttribute('aria-label') && !control.labels?.length && !control.textContent.trim())
      .length,
    too_wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
})()";

/// The bins, and the name of each list of tasks in `ps`.
const BINS: [&str; 10] =
    ["ready", "recv", "send", "job", "time", "task", "accept", "hangup", "wake", "outside"];

/// Returns what the page shows.
pub(crate) fn read(browser: &mut Browser) -> Value {
    browser.evaluate(READ)
}

/// Returns a number as the page writes it.
pub(crate) fn written(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Returns the tasks of a loop.
pub(crate) fn tasks(state: &Value) -> &[Value] {
    state["tasks"].as_array().expect("a list of tasks")
}

/// Returns the number of tasks in each bin, as the page writes it.
pub(crate) fn counts(state: &Value) -> Value {
    let count = |bin: &str| tasks(state).iter().filter(|task| task["bin"] == bin).count() as u64;
    BINS.iter()
        .map(|bin| (*bin, written(count(bin))))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_iter()
        .map(|(bin, count)| (bin.to_owned(), Value::from(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Returns the parts of the document that do not depend on the moment, if nothing happens in the loop.
fn timeless(state: &Value) -> Value {
    let mut state = state.clone();
    state["busy_ns"] = 0.into();
    for task in state["tasks"].as_array_mut().expect("a list of tasks") {
        task["since_ns"] = 0.into();
        task["age_ns"] = 0.into();
        task["deadline_ns"] = 0.into();
        task["waits_for"] = timeless_wait(&task["waits_for"]);
    }
    state
}

/// Returns what a task waits for, without the time that is left.
fn timeless_wait(wait: &Value) -> Value {
    let wait = wait.as_str().expect("a text");
    wait.split(", at most").next().unwrap_or_default().split("time: ").next().into()
}

/// Waits until the page shows a loop in which nothing happens, and checks that it shows what `ps` says. Returns both.
pub(crate) fn agree(browser: &mut Browser, pid: &str) -> (Value, Value) {
    let before = ps(pid);
    next_look(browser);
    let page = read(browser);
    let after = ps(pid);
    assert_eq!(timeless(&before), timeless(&after), "nothing happens in the loop");
    check(&page, &after);
    for (row, [before, after]) in rows_with(&page, &before, &after) {
        let shown = nanos(row[2].as_str().expect("a span"));
        let bounds = [before, after].map(|task| task["since_ns"].as_f64().expect("a span"));
        // The page rounds down.
        assert!(shown <= bounds[1] && shown >= bounds[0] * 0.5 - 1e6, "{row}: {bounds:?}");
    }
    (page, after)
}

fn rows_with<'a>(
    page: &'a Value,
    before: &'a Value,
    after: &'a Value,
) -> impl Iterator<Item = (&'a Value, [&'a Value; 2])> {
    let find =
        |state: &'a Value, id: &Value| tasks(state).iter().find(|task| task["id"] == *id).expect("a task");
    let rows = page["rows"].as_array().expect("rows").iter();
    rows.map(move |row| (row, [find(before, &row[0]), find(after, &row[0])]))
}

/// Returns the nanoseconds of a span such as "1.2 s" or "3 min 4 s".
fn nanos(span: &str) -> f64 {
    let words: Vec<_> = span.split(' ').collect();
    let part = |pair: &[&str]| {
        let unit = match pair[1] {
            "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "min" => 6e10,
            unit => panic!("{unit} is too long for a test"),
        };
        pair[0].parse::<f64>().expect("a number") * unit
    };
    words.chunks(2).map(part).sum()
}

/// Checks what the page shows of a loop whose tasks it shows one by one, without a filter.
pub(crate) fn check(page: &Value, state: &Value) {
    let all = tasks(state);
    let number = |name: &str| written(state[name].as_u64().expect("a number"));
    let facts = [
        ("Process", state["pid"].to_string()),
        ("Loop", state["loop"].to_string()),
        ("Phase", state["phase"].as_str().expect("a phase").to_owned()),
        ("Tasks", written(all.len() as u64)),
        ("Run queue", written(state["queue"].as_array().expect("a queue").len() as u64)),
        ("Connections", format!("{} of {}", number("open_connections"), number("max_connections"))),
        ("Accepted", number("connections")),
        ("Turned away", number("turned_away")),
        ("Failed", number("failed")),
        ("Jobs", number("jobs")),
        ("Steps", number("steps")),
        ("Turns", number("waits")),
    ];
    for (name, value) in facts {
        assert_eq!(page["facts"][name], value, "{name}: {page}");
    }
    assert_eq!(page["counts"], counts(state));

    let sorted = |list: &mut Vec<Value>| list.sort_by_key(Value::to_string);
    let mut dots = page["dots"].as_array().expect("dots").clone();
    let mut expected: Vec<_> = all.iter().map(|task| json!([task["id"], task["bin"]])).collect();
    sorted(&mut dots);
    sorted(&mut expected);
    assert_eq!(dots, expected, "a dot for each task, in its bin");

    let mut rows = page["rows"].as_array().expect("rows").clone();
    for row in &mut rows {
        row[2] = Value::Null;
        row[3] = timeless_wait(&row[3]);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |task: &Value| {
        let [id, state, name, bin] = ["id", "state", "name", "bin"].map(|column| &task[column]);
        json!([
            id,
            state,
            null,
            timeless_wait(&task["waits_for"]),
            name,
            text(&task["spawned_at"]),
            text(&task["parent"]),
            bin
        ])
    };
    let mut expected: Vec<_> = all.iter().map(row).collect();
    sorted(&mut rows);
    sorted(&mut expected);
    assert_eq!(rows, expected, "a row for each task");
    assert_eq!(page["found"], format!("{0} of {0} tasks", written(all.len() as u64)));

    let arrow = |task: &Value| {
        let by = all.iter().find(|other| other["id"] == task["by"])?;
        Some(json!([task["id"], by["id"]]))
    };
    let mut arrows = page["arrows"].as_array().expect("arrows").clone();
    let mut expected: Vec<_> = all.iter().filter_map(arrow).collect();
    sorted(&mut arrows);
    sorted(&mut expected);
    assert_eq!(arrows, expected, "an arrow for each task that waits for another one");

    let circles = state["deadlocks"].as_array().expect("deadlocks");
    let mut stuck: Vec<_> =
        circles.iter().flat_map(|circle| circle.as_array().expect("ids").clone()).collect();
    let mut shown = page["stuck"].as_array().expect("ids").clone();
    sorted(&mut stuck);
    sorted(&mut shown);
    assert_eq!(shown, stuck);
    assert_eq!(page["deadlocks"].as_array().map(Vec::len), Some(circles.len()));
    for (line, circle) in page["deadlocks"].as_array().into_iter().flatten().zip(circles) {
        let line = line.as_str().expect("a line");
        for id in circle.as_array().into_iter().flatten() {
            assert!(line.contains(&format!("task {} ", id.as_str().expect("an id"))), "{line}");
        }
    }
    assert_eq!((&page["unnamed"], &page["too_wide"]), (&0.into(), &false.into()));
}
