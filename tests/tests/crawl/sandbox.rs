//! The crawler in the sandbox: its results are those of the command, and a recorded crawl replays offline.

use std::collections::BTreeMap;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use sinbin_tests::{Directory, Ended, Running, guest, sinbin_wasi};

use crate::lines::{crawl, crawl_in_sandbox, crawl_sandboxed, objects};
use crate::site;
use crate::web::{Then, Web, html, links, raw};

/// The number of pages of the site whose crawl is recorded.
const PAGES: usize = 200;

/// Returns the objects without what depends on times, and on the order of the responses.
fn results(ended: &Ended) -> BTreeMap<String, Value> {
    let mut objects = objects(ended);
    for object in objects.values_mut().filter_map(Value::as_object_mut) {
        for field in ["first_byte_ms", "total_ms", "referrer", "new_links"] {
            object.remove(field).expect("every line has the field");
        }
    }
    objects
}

fn path() -> String {
    guest("crawl.wasm").to_str().expect("a UTF-8 path").to_owned()
}

#[test]
fn the_results_are_those_of_the_command() {
    let web = site::start();
    let start = web.url("/");
    for args in
        [vec![&*start], vec!["--no-robots", "--list-links", "--max-depth=1", "--exclude", "/up", &start]]
    {
        let (inside, outside) = (crawl_in_sandbox(&args), crawl(&args));
        assert_eq!((inside.code, outside.code), (Some(0), Some(0)), "{}", inside.stderr);
        assert_eq!(results(&inside), results(&outside), "{args:?}");
    }
    let ended = crawl_in_sandbox(&["--broken", "--no-robots", &start]);
    assert_eq!((ended.code, results(&ended).len()), (Some(1), 1), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_host_that_is_not_permitted_is_a_line_of_the_report_and_the_crawl_goes_on() {
    let other = Web::of_pages([("/".to_owned(), "a page".to_owned())].into());
    let (beyond, followed) = (other.url("/"), other.address.to_string());
    let first = links([&*beyond, "/page"]);
    let web = Web::of_pages([("/".to_owned(), first), ("/page".to_owned(), "a page".to_owned())].into());
    let permitted = web.address.to_string();
    let args = ["--no-robots", "--follow-hosts", &followed, &web.url("/")];
    let ended = crawl_sandboxed(&["--allow-connect", &permitted], &args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let objects = objects(&ended);
    let refused = &objects[&beyond];
    assert_eq!(refused["error_kind"], "connection not permitted");
    assert!(refused["error"].as_str().expect("a text").contains(&followed), "{refused}");
    assert_eq!((&refused["broken"], &refused["attempts"]), (&false.into(), &1.into()));
    assert_eq!(objects[&web.url("/page")]["status"], 200);
    assert!(other.requests().is_empty(), "nothing has reached it");
    // Without a permission, nothing is reached at all.
    let ended = crawl_sandboxed(&[], &["--no-robots", &web.url("/")]);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("no start URL had a response"), "{}", ended.stderr);
}

#[test]
fn wrong_arguments_are_explained() {
    for (args, wrong) in [
        (&["--no-such", "http://127.0.0.1/"][..], "--no-such is not an option of this guest"),
        (&[], "expected a URL"),
        (&["ftp://127.0.0.1/"], "neither http: nor https:"),
        (&["--concurrency", "0", "http://127.0.0.1/"], "--concurrency 0: expected 1 to 4096"),
        (&["--max-page-size=5X", "http://127.0.0.1/"], "--max-page-size 5X: expected a size"),
        (&["http://127.0.0.1/", "--delay"], "--delay: missing value"),
    ] {
        let ended = crawl_in_sandbox(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(wrong), "{args:?}: {}", ended.stderr);
    }
    let ended = crawl_sandboxed(&["--listen", "127.0.0.1:0"], &["http://127.0.0.1/"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("this guest is a program"), "{}", ended.stderr);
}

/// Returns a site of pages that lead to two others each.
fn tree() -> Web {
    let page = |number: usize| {
        let leads = [2 * number + 1, 2 * number + 2].into_iter().filter(|next| *next < PAGES);
        (format!("/{number}"), links(leads.map(|next| format!("/{next}"))))
    };
    Web::of_pages((0..PAGES).map(page).collect())
}

#[test]
fn a_recorded_crawl_replays_offline_byte_for_byte() {
    let directory = Directory::new("recorded-crawl");
    let recording = directory.join("crawl.sinbin");
    let recording = recording.to_str().expect("a UTF-8 path");
    let web = tree();
    let options = ["--allow-connect", "127.0.0.1:*", "--record", recording];
    let crawled = crawl_sandboxed(&options, &["--no-robots", &web.url("/0")]);
    assert_eq!(crawled.code, Some(0), "{}", crawled.stderr);
    assert_eq!(objects(&crawled).len(), PAGES);
    let requests = web.requests();
    let replayed = Running::start(sinbin_wasi(&["replay", "--print", recording, &path()])).wait();
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("all answers match"), "{}", replayed.stderr);
    assert_eq!(replayed.stdout, crawled.stdout);
    assert_eq!(web.requests(), requests, "a replay sends nothing");
}

/// Starts a crawl of a site without an end, whose pages have long names.
fn endless() -> Web {
    Web::start(|request, stream| match request.path.trim_start_matches("/x").len() {
        0 => html(stream, links([&*request.path, "/x"].map(|path| format!("{path}x")))),
        _ => {
            let next = (0..20).map(|number| format!("{}{number}", request.path));
            html(stream, links(next))
        }
    })
}

#[test]
fn a_signal_ends_the_crawl_with_the_exit_code_of_the_command() {
    let web = endless();
    let command =
        sinbin_wasi(&["run", &path(), "--allow-connect", "127.0.0.1:*", "--", "--no-robots", &web.url("/a")]);
    let running = Running::start(command);
    running.says("\"status\":200");
    running.signal(Signal::INT);
    let ended = running.wait();
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    assert!(ended.stdout.ends_with('\n') && !objects(&ended).is_empty());
}

#[test]
fn a_reader_that_closes_its_end_ends_the_crawl() {
    let web = endless();
    let options = ["run", &path(), "--allow-connect", "127.0.0.1:*", "--", "--no-robots", &web.url("/a")];
    let mut child = sinbin_wasi(&options).stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// A program that fails is not started again, since its results would be printed twice.
#[test]
fn a_crawl_that_is_cut_off_by_a_limit_fails() {
    let web = Web::start(|_, stream| {
        raw(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9000000\r\n\r\n");
        let mut sent = Then::Stay;
        while sent == Then::Stay {
            sent = raw(stream, [b'x'; 4096]);
        }
        Then::Close
    });
    let options = ["--allow-connect", "127.0.0.1:*", "--max-memory", "8", "--max-buffered", "1"];
    let ended = crawl_sandboxed(&options, &["--no-robots", &web.url("/")]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("growing memory"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("the guest failed").count(), 1, "{}", ended.stderr);
}
