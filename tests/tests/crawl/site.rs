//! A site with links of all kinds: what is fetched, what is printed, and the exit codes.

use std::collections::{BTreeMap, BTreeSet};

use sinbin_tests::{ReservedPort, run};

use crate::lines::{crawl, objects};
use crate::web::{Web, html, links, redirect, respond, status};

const START: &str = r##"<!doctype html><html><head><title> The
 start &amp; more</title>
<base href="/base/">
<link rel="stylesheet" href="style.css"><script src="script.js"></script>
<meta http-equiv="refresh" content="300; url=refreshed"></head><body>
<a href="relative">1</a> <a href="/absolute#fragment">2</a> <a href="//HOST/scheme-relative">3</a>
<a href="http://HOST/whole">4</a> <a href='?query=1&amp;b=2'>5</a> <a href=unquoted>6</a>
<a href="mailto:me@example.org">no</a> <a href="javascript:void(0)">no</a> <a href="#only">no</a>
<a href="../up">7</a> <a href="a b">8</a> <a href="/%7euser">9</a> <a href="http://other.invalid/">no</a>
<img src="picture.png" srcset="small.png 1x, large.png 2x"><iframe src="frame"></iframe>
<!-- <a href="/commented">no</a> --> <a href="/moved">10</a> <a href="/missing">11</a>
<script>document.write('<a href="/scripted">no</a>')</script>
</body></html>"##;

pub fn start() -> Web {
    Web::start(|request, stream| match &*request.path {
        "/" => {
            let host = request.head.lines().find_map(|line| line.strip_prefix("host: "));
            html(stream, START.replace("HOST", host.unwrap_or_default()))
        }
        "/robots.txt" => {
            respond(stream, "200 OK", "Content-Type: text/plain\r\n", "User-agent: *\nDisallow: /absolute\n")
        }
        "/moved" => redirect(stream, "/target"),
        "/missing" => status(stream, "404 Not Found"),
        path if path.ends_with(".png") => respond(stream, "200 OK", "Content-Type: image/png\r\n", [0; 100]),
        path if path.ends_with(".css") => respond(
            stream,
            "200 OK",
            "Content-Type: text/css\r\n",
            "a { background: url(/base/from-css.png) }",
        ),
        path if path.ends_with(".js") => respond(stream, "200 OK", "Content-Type: text/javascript\r\n", "1"),
        _ => html(stream, "<title>A leaf</title>"),
    })
}

/// The paths that the links of the site lead to.
const PATHS: &[&str] = &[
    "/",
    "/base/style.css",
    "/base/script.js",
    "/base/refreshed",
    "/base/relative",
    "/absolute",
    "/scheme-relative",
    "/whole",
    "/base/?query=1&b=2",
    "/base/unquoted",
    "/up",
    "/base/a%20b",
    "/base/picture.png",
    "/base/small.png",
    "/base/large.png",
    "/base/frame",
    "/moved",
    "/target",
    "/missing",
];

#[test]
fn links_of_all_kinds_are_followed_once() {
    let web = start();
    let objects = objects(&crawl(&["--no-robots", &web.url("/")]));
    let found: BTreeSet<String> = objects.keys().map(|url| url.replace(&web.url(""), "")).collect();
    let user = found.iter().filter(|path| path.contains("user")).count();
    let css = found.contains("/base/from-css.png");
    let expected: BTreeSet<String> = PATHS.iter().map(|path| (*path).to_owned()).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty() && user == 1 && css, "{missing:?}");
    assert_eq!(found.len(), expected.len() + 2, "{found:?}");
    assert!(web.requests().values().all(|count| *count == 1), "{:?}", web.requests());
    let start = &objects[&web.url("/")];
    assert_eq!(start["title"], "The start & more");
    assert_eq!((&start["status"], &start["depth"], &start["attempts"]), (&200.into(), &0.into(), &1.into()));
    assert!(start["referrer"].is_null() && start["first_byte_ms"].as_f64().expect("a time") >= 0.0);
    let leaf = &objects[&web.url("/whole")];
    assert_eq!((leaf["referrer"].as_str(), leaf["title"].as_str()), (Some(&*web.url("/")), Some("A leaf")));
    assert_eq!(objects[&web.url("/moved")]["redirect"], web.url("/target"));
    assert_eq!(objects[&web.url("/base/picture.png")]["bytes"], 100);
    assert_eq!(objects[&web.url("/missing")]["broken"], true);
}

#[test]
fn robots_txt_is_obeyed_unless_it_is_ignored() {
    let web = start();
    let objects = objects(&crawl(&[&web.url("/")]));
    assert_eq!(objects[&web.url("/absolute")]["error_kind"], "forbidden by robots.txt");
    assert_eq!(objects[&web.url("/robots.txt")]["kind"], "robots");
    let requests = web.requests();
    assert!(!requests.contains_key("/absolute") && requests["/robots.txt"] == 1, "{requests:?}");
}

#[test]
fn broken_links_are_an_exit_code() {
    let web = start();
    let ended = run(&["crawl", "--broken", "--no-robots", &web.url("/")]);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let first = ended.stdout.lines().next().expect("a line");
    assert_eq!(first, format!("404 {} (from {})", web.url("/missing"), web.url("/")));
    assert!(
        ended.stdout.contains("broken links") && ended.stderr.is_empty(),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    let ended = run(&["crawl", "--broken", "--no-robots", "--exclude", "/missing", &web.url("/")]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    // Without the option, broken links are printed as well.
    let ended = run(&["crawl", "--no-robots", &web.url("/")]);
    assert_eq!((ended.code, ended.stdout.lines().next()), (Some(0), Some(first)), "{}", ended.stdout);
}

#[test]
fn each_url_is_a_line_on_request_and_a_summary_follows() {
    let web = start();
    let ended = run(&["crawl", "--all", "--no-robots", &web.url("/")]);
    let lines = ended.stdout.lines().filter(|line| line.contains("http://")).count();
    assert_eq!(lines, PATHS.len() + 2, "{}", ended.stdout);
    for row in ["pages", "status 2xx", "status 3xx", "status 4xx", "broken links", "bytes", "time"] {
        assert!(ended.stdout.lines().any(|line| line.starts_with(row)), "no {row:?} in {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\x1b') && ended.stderr.is_empty(), "no progress without a terminal");
}

#[test]
fn limits_and_patterns_bound_a_crawl() {
    let pages = (0..100).map(|number| (format!("/{number}"), links([format!("/{}", number + 1)])));
    let web = Web::of_pages(pages.collect::<BTreeMap<_, _>>());
    let count = |args: &[&str]| objects(&crawl(&[args, &["--no-robots", &web.url("/0")]].concat())).len();
    assert_eq!(count(&["--max-depth", "5"]), 6);
    assert_eq!(count(&["--max-pages", "7"]), 7);
    assert_eq!(count(&["--include", "/1", "--include", "/2"]), 3);
    assert_eq!(count(&["--exclude", "/4$"]), 4);
    assert_eq!(count(&[]), 101);
}

#[test]
fn a_start_url_needs_no_scheme_and_may_be_refused() {
    let web = start();
    let ended = run(&["crawl", "--no-robots", "--max-pages", "1", "--all", &web.address.to_string()]);
    assert!(ended.stdout.starts_with(&format!("200 {}", web.url("/"))), "{}", ended.stdout);
    for (url, text) in [("ftp://example.org/", "ftp"), ("http://", "URL"), ("http://a b/", "URL")] {
        let ended = run(&["crawl", url]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(text) && ended.stderr.contains("Usage: sinbin crawl"),
            "{}",
            ended.stderr
        );
    }
}

/// In a script, a site that is down must not look like one without faults.
#[test]
fn start_urls_without_a_response_are_an_exit_code() {
    let web = Web::start(|request, stream| match &*request.path {
        "/robots.txt" => respond(stream, "200 OK", "", "user-agent: *\ndisallow: /forbidden"),
        _ => status(stream, "404 Not Found"),
    });
    let port = ReservedPort::new();
    let down = format!("http://{}/", port.address());
    for (urls, code) in [
        (&[down.clone()][..], 1),
        (&[down.clone(), web.url("/forbidden")], 1),
        (&[down.clone(), web.url("/missing")], 0),
    ] {
        let urls = urls.iter().map(String::as_str);
        let ended = run(&["crawl", "--retries", "0"].into_iter().chain(urls).collect::<Vec<_>>());
        assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stderr.contains("no start URL had a response"), code == 1, "{}", ended.stderr);
    }
}
