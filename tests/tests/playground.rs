//! The playground in a browser: what the page shows of each step is what the trace of that run says, forwards, backwards,
//! and after actions by hand.

#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use sinbin_playground::{Dot, Frame, MAX_STEPS, Place, Run, Scenario, play};
use sinbin_tests::{Browser, lacks_chromium};

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Builds the page, as `just playground` does, and returns its path.
fn page() -> &'static PathBuf {
    static PAGE: OnceLock<PathBuf> = OnceLock::new();
    PAGE.get_or_init(|| {
        let script = format!("{ROOT}/playground/build");
        // cargo's variables for this test, such as another target directory, must not affect the build.
        let built = Command::new(&script)
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS")
            .stdout(Stdio::null())
            .status();
        let built = built.unwrap_or_else(|error| panic!("cannot run {script}: {error}"));
        assert!(built.success(), "{script} failed: {built}");
        let page = PathBuf::from(ROOT).join("target/playground/index.html");
        page.canonicalize().expect("the page exists")
    })
}

/// A step as the page shows it, and the walk's part that led there.
struct Shown {
    part: String,
    page: Value,
}

/// Opens a link in a browser of this width, takes the walk there, and returns what the page shows at the beginning and
/// after each part.
fn walk(width: u32, link: &str, parts: &[String]) -> Vec<Shown> {
    let page = page().display();
    let mut browser = Browser::start(width, 900);
    browser.open(&format!("file://{page}#{link}&walk={}", parts.join(",")));
    let text = browser.wait("the walk has ended", "document.getElementById('dump')?.textContent ?? null");
    let text = text.as_str().expect("a text");
    let mut dump: Value = serde_json::from_str(text).expect("the dump is JSON");
    let Value::Array(shown) = dump["shown"].take() else { panic!("no steps: {text}") };
    assert_eq!(shown.len(), parts.len() + 1);
    assert_eq!(dump["address"], shown[parts.len()]["link"], "the address is the link to what is shown");
    assert_eq!(browser.errors(), [""; 0]);
    let parts = ["the link".to_owned()].into_iter().chain(parts.iter().cloned());
    parts.zip(shown).map(|(part, page)| Shown { part, page }).collect()
}

/// Returns a link as the object of "open".
fn encoded(link: &str) -> String {
    link.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Returns the words that the page has for a task.
fn words(task: &Dot) -> String {
    let steps = if task.steps == 1 { "1 step".to_owned() } else { format!("{} steps", task.steps) };
    let Dot { id, name, state, waited, .. } = task;
    format!("task {id}, {name}: {state}, for {waited}, after {steps}")
}

/// Returns what the page has to show of a step.
fn expected(run: &Run, frame: &Frame, end: usize, shown: &Value) -> Value {
    let mut tasks: Vec<_> = frame.tasks.iter().collect();
    // The run queue comes first on the page.
    tasks.sort_by_key(|task| (task.place != Place::Queue, task.place));
    let dot = |task: &&Dot| {
        let is_last = Some(&task.id) == frame.ran.as_ref();
        json!({"id": task.id, "place": task.place, "label": words(task), "age": task.age, "ran": is_last})
    };
    let arrow = |task: &Dot| {
        let to = task.waits_for.as_ref()?;
        frame.tasks.iter().any(|task| task.id == *to).then(|| json!([task.id, to]))
    };
    let code = run.scenario.describe().code;
    let chosen = frame.tasks.iter().find(|task| Some(task.id.as_str()) == shown["chosen"].as_str());
    let marked = chosen.and_then(|task| task.line).map(|line| code[line]);
    let focused = frame.tasks.iter().find(|task| Some(task.id.as_str()) == shown["focused"].as_str());
    let client = |client: &sinbin_playground::ClientRow| {
        let number = client.number.to_string();
        let acts = "SlowCut offReset";
        let row = [&number, &client.asks, &client.state, &client.replies, &client.longest, &client.unread];
        json!(row.into_iter().map(String::as_str).chain([acts]).collect::<Vec<_>>())
    };
    let pressed = |client: &sinbin_playground::ClientRow| {
        let [slow, cut] = [("slow", client.is_slow), ("cut", client.is_cut)];
        let number = client.number;
        [slow, cut].into_iter().filter(|(_, is)| *is).map(move |(verb, _)| format!("{verb}-{number}"))
    };
    let jobs = frame.jobs.iter().map(|job| format!("job {}: {}", job.id, job.text));
    json!({
        "link": Run { step: frame.step, ..run.clone() }.to_string(),
        "step": frame.step,
        "number": format!("step {} of {end}", frame.step),
        "time": frame.time,
        "caption": frame.caption,
        "tasks": tasks.iter().map(dot).collect::<Vec<_>>(),
        "arrows": frame.tasks.iter().filter_map(arrow).collect::<Vec<_>>(),
        "chosen": shown["chosen"],
        "focused": shown["focused"],
        "who": focused.map_or_else(|| shown["who"].clone(), |task| json!(words(task))),
        "marked": marked.into_iter().collect::<Vec<_>>(),
        "clients": frame.clients.iter().map(client).collect::<Vec<_>>(),
        "pressed": frame.clients.iter().flat_map(pressed).collect::<Vec<_>>(),
        "jobs": jobs.collect::<Vec<_>>(),
        "output": frame.output,
        "message": shown["message"],
        "actions": shown["actions"],
        "unnamed": 0,
        "too_wide": false,
    })
}

/// Checks that the page shows the step of the run that its link names, and returns that step.
fn check(shown: &Shown) -> Frame {
    let page = &shown.page;
    let link = page["link"].as_str().expect("the page has a link");
    let run = Run::parse(link).unwrap_or_else(|error| panic!("{link}: {error}"));
    let end = play(&run, MAX_STEPS..MAX_STEPS).end.expect("each run ends");
    let frame = play(&run, run.step..run.step + 1).frames.pop().unwrap_or_else(|| panic!("{link}: no step"));
    let expected = expected(&run, &frame, end, page);
    for (part, value) in expected.as_object().expect("an object") {
        assert_eq!(&page[part], value, "{part} at {link}, after {}", shown.part);
    }
    assert!(frame.tasks.is_empty() == page["chosen"].is_null(), "{link}: a task is shown in the program");
    frame
}

fn strings(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

#[test]
fn the_page_shows_what_the_trace_says_forwards_and_backwards() {
    if lacks_chromium() {
        return;
    }
    let mut parts = Vec::new();
    for scenario in Scenario::ALL {
        for seed in [7, 8] {
            parts.push(format!("open:{}", encoded(&format!("scenario={}&seed={seed}", scenario.name()))));
            parts.extend(strings(&["step*6", "step*5", "back*3", "to:17", "back", "to:300", "to:2", "step"]));
            parts.extend(strings(&["last", "back*4", "step*2", "first"]));
        }
    }
    let shown = walk(1300, "", &parts);
    let frames: Vec<_> = shown.iter().map(check).collect();
    // The pressed buttons have led to these steps.
    let steps: Vec<_> = frames[1..].iter().map(|frame| frame.step).collect();
    for (steps, parts) in steps.chunks(13).zip(parts.chunks(13)) {
        let end = steps[9];
        let (to_17, to_300) = (17.min(end), 300.min(end));
        let wanted = [0, 6, 11, 8, to_17, to_17 - 1, to_300, 2, 3, end, end - 4, end - 2, 0];
        assert_eq!(steps, wanted, "{}", parts[0]);
    }
}

#[test]
fn a_run_plays_to_its_end_and_back_and_can_be_stopped() {
    if lacks_chromium() {
        return;
    }
    let parts = strings(&[
        "speed:1000",
        "run",
        "settle",
        "rewind",
        "settle",
        "run",
        "run",
        "step*2",
        "run",
        "settle",
    ]);
    let shown = walk(1300, "scenario=fib-in-task", &parts);
    let steps: Vec<_> = shown.iter().map(|shown| check(shown).step).collect();
    let end = steps[3];
    assert!(end > 100);
    assert_eq!(steps, [0, 0, 1, end, end - 1, 0, 1, 1, 3, 4, end]);
}

#[test]
fn tasks_are_reached_by_the_keyboard_and_keep_the_focus_when_they_move() {
    if lacks_chromium() {
        return;
    }
    let keys = [
        "focus:1.1",
        "key:ArrowRight",
        "key:ArrowDown",
        "key:ArrowRight",
        "key:ArrowLeft",
        "to:4",
        "step",
        "to:3",
    ];
    let parts: Vec<_> = strings(&keys).into_iter().chain(strings(&["to:8", "last"])).collect();
    let shown = walk(1300, "scenario=countdown&step=1", &parts);
    shown.iter().for_each(|shown| drop(check(shown)));
    let focused: Vec<_> = shown.iter().map(|shown| shown.page["focused"].as_str().unwrap_or("-")).collect();
    // The queue has the tasks 1.1, 2.1 and 3.1; the task 0.1 waits. The last step has no task.
    assert_eq!(focused, ["-", "1.1", "2.1", "3.1", "0.1", "3.1", "3.1", "3.1", "3.1", "3.1", "-"]);
}

#[test]
fn actions_by_hand_are_part_of_the_run_and_of_its_link() {
    if lacks_chromium() {
        return;
    }
    let parts = strings(&[
        "slow-1",
        "step*20",
        "add",
        "to:60",
        "cut-2",
        "step*9",
        "reset-3",
        "step*4",
        "choose:0.1",
        "cancel",
        "step*3",
        "last",
        "back*5",
        "to:30",
        "add",
        "cut-4",
        "step*5",
        "cut-4",
        "last",
        "next-seed",
        "forget",
    ]);
    let link = "scenario=echo&seed=5&step=8";
    let shown = walk(1300, link, &parts);
    let frames: Vec<_> = shown.iter().map(check).collect();
    let actions =
        |at: usize| Run::parse(shown[at].page["link"].as_str().expect("a link")).expect("valid").actions;
    let written = |at: usize| actions(at).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(written(11), "8:slow:1 29:add:10 60:cut:2 70:reset:3 75:cancel:0.1");
    assert_eq!(shown[11].page["actions"][4], json!("at step 75: cancel task 0.1"));
    assert_eq!(frames[1].caption, "You slow client 1 down: it reads 16 bytes at a time");
    assert_eq!(shown[9].page["chosen"], json!("0.1"), "a task that is pressed is followed");
    // An action in the past makes another run.
    assert_eq!(written(19), "8:slow:1 29:add:10 30:add:10 31:cut:4 37:cut:4");
    assert_eq!(frames[19].clients.len(), 5);
    assert_eq!(shown[20].page["link"], json!("scenario=echo&seed=6&step=0"));
    assert_eq!(written(21), "");

    let opened = shown[12].page["link"].as_str().expect("a link");
    let again = walk(390, opened, &[]);
    assert_eq!(again[0].page["link"].as_str(), Some(opened));
    assert_eq!(check(&again[0]), frames[12]);
}

#[test]
fn links_that_cannot_be_shown_are_explained() {
    if lacks_chromium() {
        return;
    }
    let crowd = format!("scenario=echo&do={}", vec!["1:add:0"; 2000].join(","));
    let links = [
        "scenario=chess",
        "step=99999999999999999999",
        "seed=x",
        "scenario=echo&step=20000",
        "scenario=echo&do=1:add:1,1:add:1,0:cut:1",
        "<script>alert(1)</script>",
        "%ff%00",
        &crowd,
        &"y".repeat(20_000),
    ];
    let parts: Vec<_> = links.iter().map(|link| format!("open:{}", encoded(link))).collect();
    let shown = walk(1300, "step=20001", &parts);
    let mut link = json!(Run::default().to_string());
    for (i, shown) in shown.iter().enumerate() {
        let frame = check(shown);
        let message = shown.page["message"].as_str().expect("a message");
        // The step of the fourth link is valid, and later than the end of its run.
        let why = if i == 4 { "The run ends with step " } else { "The link is not valid: " };
        assert!(message.starts_with(why), "{}: {message}", shown.part.chars().take(40).collect::<String>());
        assert_eq!(frame.step > 0, i >= 4);
        // A link that is not valid changes nothing.
        if i == 4 {
            link = shown.page["link"].clone();
        }
        assert_eq!(shown.page["link"], link);
    }

    let add = vec!["add".to_owned(); 70];
    let full = walk(390, "scenario=fib-slices&step=100", &add);
    let last = full.last().expect("a step");
    assert_eq!(check(last).clients.len(), 64);
    assert_eq!(last.page["message"], json!("The link is not valid: a run has at most 64 clients."));
}
