//! A loop with ten thousand tasks: heaps, parts of the table, and events of limited size.

use serde_json::Value;
use sinbin_tests::{Running, example, lacks_chromium};

use super::shown::{counts, read, tasks, written};
use super::streams::Stream;
use super::{has, monitor, next_look, open, pid, ps};

const TASKS: usize = 10_000;
/// The maximum size of an event or a part, as the documentation says.
const MAX_BYTES: usize = 256 * 1024;

#[test]
fn ten_thousand_tasks_are_heaps_and_parts() {
    if lacks_chromium() {
        return;
    }
    let mut command = example("tangle");
    command.args([&TASKS.to_string(), "3600000"]);
    let tangle = Running::start(command);
    tangle.says("both wait");
    let pid = pid(&tangle);
    has(&pid, "time", TASKS + 1);
    let monitor = monitor(&[&pid], &[]);
    let event = Stream::open(&monitor, "").next();
    assert!(event.len() <= MAX_BYTES, "{}", event.len());

    let state = ps(&pid);
    let mut browser = open(&monitor, 1280, "");
    let page = read(&mut browser);
    assert_eq!(page["counts"], counts(&state));
    assert_eq!(page["found"], format!("{0} of {0} tasks", written(TASKS as u64 + 3)));
    assert_eq!(page["dots"], Value::Array(Vec::new()));
    // The main task sleeps too, with another name.
    let heaps = page["heaps"].as_array().expect("heaps");
    let of = |name: &str| heaps.iter().find(|heap| heap[1].as_str().is_some_and(|text| text.contains(name)));
    assert_eq!(of("tick").map(|heap| &heap[2]), Some(&written(TASKS as u64).into()));
    assert_eq!(of("take_both").map(|heap| (&heap[0], &heap[2])), Some((&"task".into(), &"2".into())));
    assert_eq!(page["deadlocks"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["rows"].as_array().map(Vec::len), Some(100));

    // The parts, in the order of the ids, are those of `ps`.
    let ids = |page: &Value| -> Vec<Value> {
        page["rows"].as_array().expect("rows").iter().map(|row| row[0].clone()).collect()
    };
    let all: Vec<_> = tasks(&state).iter().map(|task| task["id"].clone()).collect();
    browser.evaluate("document.querySelector('[data-sort=id]').click()");
    let first = |id: &Value| format!("document.querySelector('#tasks tbody td').textContent === {id}");
    browser.wait("the first part", &first(&all[0]));
    assert_eq!(ids(&read(&mut browser)), all[..100]);
    browser.evaluate("document.getElementById('after').click()");
    browser.wait("the second part", &first(&all[100]));
    assert_eq!(ids(&read(&mut browser)), all[100..200]);
    next_look(&mut browser);
    assert_eq!(ids(&read(&mut browser)), all[100..200], "the part remains");

    // A heap becomes the dots of its tasks, part by part.
    browser.evaluate("document.querySelector('.dot.group[data-name*=tick]').click()");
    browser.wait("the dots", "document.querySelectorAll('.dot:not(.group)').length === 100");
    let page = read(&mut browser);
    let dots = page["dots"].as_array().expect("dots");
    assert!(dots.iter().all(|dot| dot[1] == "time"), "{page}");
    assert_eq!(dots.iter().map(|dot| dot[0].clone()).collect::<Vec<_>>(), ids(&page));
    let more = "document.querySelector('[data-place=time] .more').textContent";
    assert_eq!(browser.evaluate(more), format!("and {} more", written(TASKS as u64 - 99)));

    // The monitor filters.
    browser.evaluate("document.getElementById('all').click()");
    browser.evaluate("document.getElementById('filter').focus()");
    browser.enter("no such text");
    browser.wait("no task", "document.getElementById('found').textContent.startsWith('0 of')");
    browser.evaluate("document.getElementById('filter').value = ''");
    browser.enter("take_BOTH");
    browser.wait("two tasks", "document.querySelectorAll('#tasks tbody tr').length === 2");
    assert_eq!(browser.errors(), [""; 0]);
}
