//! The page by keyboard: sorting, filtering, dots, and the pause.

use serde_json::Value;
use sinbin_tests::{Browser, Running, example, lacks_chromium};

use super::streams::Stream;
use super::{has, monitor, next_look, open, pid, ps};

/// Presses Tab until the element that a selector names has the focus.
fn tab_to(browser: &mut Browser, selector: &str) {
    let focused = format!("document.activeElement.matches({selector:?})");
    for _ in 0..60 {
        if browser.evaluate(&focused) == true {
            return;
        }
        browser.press("Tab");
    }
    panic!("{selector} is not reached by Tab");
}

/// Returns a column of the table.
fn column(browser: &mut Browser, index: usize) -> Vec<String> {
    let cells = format!(
        "Array.from(document.querySelectorAll('#tasks tbody tr'), (row) => row.cells[{index}].textContent)"
    );
    serde_json::from_value(browser.evaluate(&cells)).expect("a list of texts")
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[test]
fn the_keyboard_sorts_filters_follows_and_pauses() {
    if lacks_chromium() {
        return;
    }
    let mut command = example("tangle");
    command.args(["12", "3600000"]);
    let tangle = Running::start(command);
    tangle.says("both wait");
    let pid = pid(&tangle);
    has(&pid, "time", 13);
    let monitor = monitor(&[&pid], &["--every", "100ms"]);
    let mut browser = open(&monitor, 1280, "");
    browser.prefer(&[("prefers-reduced-motion", "reduce")]);

    // The columns are sorted by Enter on their names.
    tab_to(&mut browser, "[data-sort=name]");
    let order = "document.activeElement.parentElement.getAttribute('aria-sort')";
    assert_eq!(browser.evaluate(order), Value::Null);
    browser.press("Enter");
    browser.wait("the order", &format!("{order} === 'ascending'"));
    let names = column(&mut browser, 4);
    assert_eq!(names, sorted(names.clone()));
    browser.press("Enter");
    browser.wait("the other order", &format!("{order} === 'descending'"));
    let reversed: Vec<_> = column(&mut browser, 4).into_iter().rev().collect();
    assert_eq!(reversed, names);

    // A filter is typed, and taken back by a button.
    browser.evaluate("document.activeElement.blur()");
    tab_to(&mut browser, "#filter");
    browser.enter("TAKE_both");
    let rows = "document.querySelectorAll('#tasks tbody tr').length";
    browser.wait("the filter", &format!("{rows} === 2"));
    next_look(&mut browser);
    assert_eq!(browser.evaluate(rows), 2, "the filter remains");
    assert!(column(&mut browser, 4).iter().all(|name| name.contains("take_both")));
    tab_to(&mut browser, "#all");
    browser.press("Enter");
    browser.wait("all tasks", &format!("{rows} === 15"));

    // A bin shows its tasks alone, and then all again.
    browser.evaluate("document.activeElement.blur()");
    tab_to(&mut browser, ".zoom[data-bin=task]");
    browser.press("Enter");
    browser.wait("the tasks of the bin", &format!("{rows} === 2"));
    browser.press("Enter");
    browser.wait("all tasks", &format!("{rows} === 15"));

    // A dot is reached by Tab, the next one by an arrow key, and Enter follows it.
    tab_to(&mut browser, ".dot");
    let first = browser.evaluate("document.activeElement.dataset.id");
    browser.press("ArrowRight");
    let second = browser.evaluate("document.activeElement.dataset.id");
    assert_ne!(first, second);
    let id = second.as_str().expect("an id");
    let tip = browser.evaluate("document.getElementById('tooltip').textContent");
    assert!(tip.as_str().is_some_and(|tip| tip.starts_with(&format!("task {id} ("))), "{tip}");
    browser.press("Enter");
    browser.wait("the row", &format!("document.querySelector('#tasks tr.chosen')?.dataset.id === '{id}'"));
    next_look(&mut browser);
    assert_eq!(browser.evaluate("document.activeElement.dataset.id"), second, "the focus remains");
    browser.press("Escape");
    assert_eq!(browser.evaluate("document.getElementById('tooltip').hidden"), true);

    // A pause ends the stream.
    browser.evaluate("document.activeElement.blur()");
    tab_to(&mut browser, "#pause");
    browser.press("Enter");
    browser.wait("the pause", "document.getElementById('status').textContent === 'Paused'");
    let look = browser.evaluate("document.body.dataset.look");
    let mut other = Stream::open(&monitor, "");
    (0..3).for_each(|_| drop(other.next()));
    assert_eq!(browser.evaluate("document.body.dataset.look"), look, "no look is shown in the pause");
    drop(tangle);
    browser.press("Enter");
    browser.wait("the end of the loop", "document.getElementById('status').textContent === 'Ended'");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn names_are_shown_as_text() {
    if lacks_chromium() {
        return;
    }
    let mut command = example("tangle");
    command.args(["1", "3600000"]);
    let tangle = Running::start(command);
    tangle.says("both wait");
    let pid = pid(&tangle);
    let monitor = monitor(&[&pid], &["--every", "100ms"]);
    let mut browser = open(&monitor, 1280, "");
    // Names with markup, as a look of the page's own.
    let key = format!("{pid}.{}", ps(&pid)["loop"]);
    let bad = "<img src=x onerror='document.title=1'><script>document.title=2</script>";
    let evil = format!(
        "(async () => {{ live.close(); const chosen = structuredClone(live.chosen); \
         for (const task of chosen.tasks) task.name = task.waits_for = task.spawned_at = {bad:?}; \
         chosen.service = {bad:?}; chosen.deadlocks.flat().forEach((task) => task.name = {bad:?}); \
         live.take({{look: 9e9, at_ms: 1e9, every_ms: 100, \
         loops: [{{key: {key:?}, service: {bad:?}, tasks: 1, deadlocks: 0}}], \
         failures: [{bad:?}], chosen}}); }})()"
    );
    browser.evaluate(&evil);
    browser.wait("the look", "document.body.dataset.look === '9000000000'");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('img, body script').length"),
        1,
        "the page's script alone"
    );
    assert_eq!(browser.evaluate("document.title"), "sinbin monitor");
    assert_eq!(
        browser
            .evaluate(&format!("document.querySelector('#tasks td:nth-child(5)').textContent === {bad:?}")),
        true
    );
}
