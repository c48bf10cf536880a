//! Traces for ui.perfetto.dev: the same from either host, without loose ends, and with the counts of the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use sinbin_tests::Ended;

use super::{native, path, replay, replay_in_sandbox, stop, text, use_fib};

/// Returns the lines of a trace.
fn lines(path: &Path) -> Vec<Value> {
    let all: Value = serde_json::from_str(&fs::read_to_string(path).expect("a trace")).expect("JSON");
    all["traceEvents"].as_array().expect("a list").clone()
}

/// Returns a time of a line in nanoseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of nanoseconds")]
fn nanos(line: &Value, name: &str) -> u64 {
    (line[name].as_f64().expect("a time") * 1e3).round() as u64
}

fn track(line: &Value) -> (u64, u64) {
    (line["pid"].as_u64().expect("a group"), line["tid"].as_u64().expect("a track"))
}

/// The spans of the slices of each track, in their order.
type Tracks = BTreeMap<(u64, u64), Vec<(u64, u64)>>;

/// Asserts that no two slices of a track overlap, and that each track with slices has a name. Returns the slices.
fn check_slices(lines: &[Value]) -> Tracks {
    let mut tracks = Tracks::new();
    for line in lines.iter().filter(|line| line["ph"] == "X") {
        let from = nanos(line, "ts");
        tracks.entry(track(line)).or_default().push((from, from + nanos(line, "dur")));
    }
    let names: BTreeSet<_> = lines.iter().filter(|line| line["name"] == "thread_name").map(track).collect();
    for (track, spans) in &mut tracks {
        assert!(names.contains(track), "{track:?} has no name");
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{track:?} has slices that overlap");
    }
    tracks
}

/// Asserts that each arrow has one beginning and one end, in this order, and that each of its moments is in a slice.
fn check_arrows(lines: &[Value], tracks: &Tracks) {
    let mut arrows: BTreeMap<u64, Vec<(&str, u64)>> = BTreeMap::new();
    for line in lines {
        let phase = line["ph"].as_str().expect("a phase");
        if !["s", "t", "f"].contains(&phase) {
            continue;
        }
        let at = nanos(line, "ts");
        let spans = tracks.get(&track(line)).map_or(&[][..], Vec::as_slice);
        assert!(spans.iter().any(|(from, to)| (*from..=*to).contains(&at)), "no slice is there: {line}");
        arrows.entry(line["id"].as_u64().expect("an id")).or_default().push((phase, at));
    }
    assert!(!arrows.is_empty());
    for (id, moments) in arrows {
        let phases: String = moments.iter().map(|(phase, _)| *phase).collect();
        assert!(["sf", "stf"].contains(&phases.as_str()), "arrow {id}: {phases}");
        assert!(moments.is_sorted_by_key(|(_, at)| *at), "arrow {id}: {moments:?}");
    }
}

/// Asserts that the turns of the trace are those of the summary.
fn check_counts(lines: &[Value], summary: &str) {
    let turns: Vec<_> = lines.iter().filter(|line| line["cat"] == "turn").collect();
    let sum = |name: &str| turns.iter().filter_map(|line| line["args"][name].as_u64()).sum::<u64>();
    let counts =
        format!("{} turns, {} events, {} pieces received; ", turns.len(), sum("events"), sum("pieces"));
    assert!(summary.starts_with(&counts), "{counts} in the trace: {summary}");
}

#[track_caller]
fn succeeds(ended: &Ended) {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{}", ended.stdout);
}

#[test]
fn a_trace_is_equal_from_each_host_and_complete() {
    let recording = path("perfetto");
    let server = native("fib", &recording, &["--workers", "2"]);
    use_fib(&server);
    stop(server);
    let [here, again, there] = ["here", "again", "there"].map(|name| path(&format!("perfetto-{name}.json")));
    let ended = replay(&recording, &["--perfetto", text(&here)]);
    succeeds(&ended);
    succeeds(&replay(&recording, &["--perfetto", text(&again)]));
    succeeds(&replay_in_sandbox(&recording, "fib.wasm", &["--perfetto", text(&there)]));
    let read = |path: &Path| fs::read(path).expect("a trace");
    assert!(read(&here) == read(&again), "two traces of a recording differ");
    assert!(read(&here) == read(&there), "the traces of the two hosts differ");

    let lines = lines(&here);
    let tracks = check_slices(&lines);
    check_arrows(&lines, &tracks);
    check_counts(&lines, &ended.stdout);
    let has = |category: &str, name: &str| {
        lines.iter().any(|line| {
            line["cat"] == category && line["name"].as_str().is_some_and(|own| own.starts_with(name))
        })
    };
    for (category, name) in [
        ("step", "accept"),
        ("step", "accepted"),
        ("step", "recv"),
        ("step", "woken"),
        ("wait", "wait: recv"),
        ("job", "job "),
        ("wake", "accepted"),
        ("wake", "job "),
    ] {
        assert!(has(category, name), "no {category} {name:?}");
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_a_failure() {
    let recording = path("perfetto-full");
    let server = native("echo", &recording, &[]);
    assert_eq!(server.ask("much to say"), "much to say");
    stop(server);
    for (file, why) in [("/dev/full", "No space left"), ("/nowhere/trace.json", "No such file")] {
        let ended = replay(&recording, &["--perfetto", file]);
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{file}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("cannot write {file}: {why}")), "{}", ended.stderr);
    }
    let ended = replay(&recording, &["--perfetto", "trace.json", "--trace"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
}

/// A recording that is cut has a trace of what is left.
#[test]
fn a_trace_of_an_incomplete_recording_is_whole() {
    let recording = path("perfetto-cut");
    let server = native("echo", &recording, &[]);
    for _ in 0..20 {
        assert_eq!(server.ask("much to say"), "much to say");
    }
    stop(server);
    let whole = fs::read(&recording).expect("a recording");
    fs::write(&recording, &whole[..whole.len() / 2]).expect("a shorter one");
    let trace = path("perfetto-cut.json");
    let ended = replay(&recording, &["--perfetto", text(&trace)]);
    assert_eq!((ended.code, &*ended.stderr), (Some(4), ""), "{}", ended.stdout);
    let lines = lines(&trace);
    check_arrows(&lines, &check_slices(&lines));
    check_counts(&lines, &ended.stdout);
}
