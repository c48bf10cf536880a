//! Servers that misbehave: each misdeed is a line of the report, and the crawl goes on.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sinbin_tests::{Ended, ReservedPort, run, with_longer_spans};
use socket2::SockRef;

use crate::lines::{WAYS, crawl, objects};
use crate::web::{Then, Web, endless, html, links, raw, redirect, respond, status};

/// A misdeed: the path, the behaviour, and what the report is to say.
struct Misdeed {
    path: &'static str,
    answer: fn(&mut TcpStream) -> Then,
    expected: Expected,
}

enum Expected {
    /// The kind of the error, and a part of its text, in which READ and WHOLE stand for the limits of time.
    Error(&'static str, &'static str),
    /// The status of a response that was read.
    Status(u16),
    /// A response that was read up to the limit.
    Truncated,
    /// A response that was read up to the limit of time, and is not broken.
    Late,
}

use Expected::{Error, Late, Status, Truncated};

/// Closes a connection by a reset.
fn reset(stream: &mut TcpStream) -> Then {
    SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    Then::Close
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

/// 20 MiB in a few KiB. Compressed before a client waits for it.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(&vec![b' '; 20 << 20]));

const GZIP: &str = "Content-Type: text/html\r\nContent-Encoding: gzip\r\n";

/// Waits for the end of the connection, without an answer.
fn silent(stream: &mut TcpStream) -> Then {
    io::copy(stream, &mut io::sink()).ok();
    Then::Close
}

const MISDEEDS: &[Misdeed] = &[
    Misdeed {
        path: "/reset",
        answer: reset,
        expected: Error("connection broken", "connection error: connection reset by the peer"),
    },
    Misdeed {
        path: "/reset-in-body",
        answer: |stream| {
            raw(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<html>");
            thread::sleep(Duration::from_millis(50));
            reset(stream)
        },
        expected: Error("connection broken", "reset"),
    },
    Misdeed {
        path: "/closed",
        answer: |_| Then::Close,
        expected: Error("body truncated", "closed before message completed"),
    },
    Misdeed {
        path: "/truncated",
        answer: |stream| {
            raw(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<html>");
            Then::Close
        },
        expected: Error("body truncated", "end of file before message length reached"),
    },
    Misdeed {
        path: "/short-content-length",
        answer: |stream| {
            raw(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>and more",
            )
        },
        expected: Status(200),
    },
    Misdeed {
        path: "/no-content-length",
        answer: |stream| raw(stream, "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        expected: Error("protocol violated", "content-length"),
    },
    Misdeed {
        path: "/two-content-lengths",
        answer: |stream| raw(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        expected: Error("protocol violated", "content-length"),
    },
    Misdeed {
        path: "/endless-headers",
        answer: |stream| endless(stream, "HTTP/1.1 200 OK\r\n", b"X-Header: a value of some length\r\n"),
        expected: Error("protocol violated", "too large"),
    },
    Misdeed {
        path: "/endless-header",
        answer: |stream| endless(stream, "HTTP/1.1 200 OK\r\nX-Header: ", &[b'x'; 1000]),
        expected: Error("protocol violated", "too large"),
    },
    Misdeed {
        path: "/endless-interim-responses",
        answer: |stream| endless(stream, "", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        expected: Error("timeout", "no response within"),
    },
    Misdeed {
        path: "/endless-body",
        answer: |stream| endless(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", &[b'x'; 1000]),
        expected: Truncated,
    },
    Misdeed {
        path: "/endless-binary",
        answer: |stream| endless(stream, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", &[0; 1000]),
        expected: Truncated,
    },
    Misdeed {
        path: "/events",
        answer: |stream| {
            raw(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
            silent(stream)
        },
        expected: Late,
    },
    Misdeed {
        path: "/endless-chunks",
        answer: |stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
            endless(stream, head, format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes())
        },
        expected: Truncated,
    },
    Misdeed {
        path: "/endless-trailers",
        answer: |stream| {
            endless(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                b"X-Trailer: a value\r\n",
            )
        },
        expected: Error("protocol violated", "trailer"),
    },
    Misdeed {
        path: "/chunked-nonsense",
        answer: |stream| raw(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        expected: Error("protocol violated", "chunk"),
    },
    Misdeed {
        path: "/huge-chunk",
        answer: |stream| {
            raw(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n")
        },
        expected: Error("protocol violated", "chunk"),
    },
    Misdeed {
        path: "/truncated-chunk",
        answer: |stream| {
            raw(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
            Then::Close
        },
        expected: Error("body truncated", "end of file"),
    },
    Misdeed { path: "/silent", answer: silent, expected: Error("timeout", "no response within READ") },
    Misdeed {
        path: "/slow-body",
        answer: |stream| {
            let mut sent =
                raw(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n");
            while sent == Then::Stay {
                thread::sleep(Duration::from_millis(100));
                sent = raw(stream, "x");
            }
            Then::Close
        },
        expected: Error("timeout", "no complete response within WHOLE"),
    },
    Misdeed {
        path: "/stuck-body",
        answer: |stream| {
            raw(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<html>");
            silent(stream)
        },
        expected: Error("timeout", "no further bytes of the body within READ"),
    },
    Misdeed {
        path: "/not-http",
        answer: |stream| raw(stream, "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        expected: Error("protocol violated", "invalid HTTP"),
    },
    Misdeed {
        path: "/bytes",
        answer: |stream| raw(stream, [0, 255, 0, 255, 10, 13]),
        expected: Error("protocol violated", "invalid HTTP"),
    },
    Misdeed {
        path: "/status-99999",
        answer: |stream| raw(stream, "HTTP/1.1 99999 Much\r\n\r\n"),
        expected: Error("protocol violated", "invalid HTTP status"),
    },
    Misdeed {
        path: "/switch",
        answer: |stream| raw(stream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n"),
        expected: Status(101),
    },
    Misdeed { path: "/loop", answer: |stream| redirect(stream, "/loop-2"), expected: Status(302) },
    Misdeed {
        path: "/loop-2",
        answer: |stream| redirect(stream, "/loop"),
        expected: Error("redirect loop", ""),
    },
    Misdeed {
        path: "/to-itself",
        answer: |stream| redirect(stream, "/to-itself"),
        expected: Error("redirect loop", ""),
    },
    Misdeed {
        path: "/to-file",
        answer: |stream| redirect(stream, "file:///etc/passwd"),
        expected: Error("redirect to another scheme", "file:"),
    },
    Misdeed {
        path: "/to-private",
        answer: |stream| redirect(stream, "http://10.0.0.1/"),
        expected: Error("private address", "10.0.0.1"),
    },
    Misdeed {
        path: "/to-metadata",
        answer: |stream| redirect(stream, "http://169.254.169.254/latest/meta-data/"),
        expected: Error("private address", "169.254.169.254"),
    },
    Misdeed {
        path: "/to-mapped",
        answer: |stream| redirect(stream, "http://[::ffff:10.0.0.1]/"),
        expected: Error("private address", ""),
    },
    Misdeed {
        path: "/to-nowhere",
        answer: |stream| respond(stream, "302 Found", "", ""),
        expected: Error("invalid redirect", ""),
    },
    Misdeed {
        path: "/many-links",
        answer: |stream| html(stream, links((0..10_000).map(|number| format!("/left-out/{number}")))),
        expected: Status(200),
    },
    Misdeed {
        path: "/invalid-utf-8",
        answer: |stream| {
            html(stream, b"<title>\xff\xfe\xc3</title>\xc3<a href=\"/behind-invalid-utf-8\">\xff</a>")
        },
        expected: Status(200),
    },
    Misdeed { path: "/behind-invalid-utf-8", answer: |stream| html(stream, "here"), expected: Status(200) },
    Misdeed {
        path: "/binary",
        answer: |stream| {
            let bytes: Vec<u8> =
                (0..50_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
            html(stream, bytes)
        },
        expected: Status(200),
    },
    Misdeed { path: "/bomb", answer: |stream| respond(stream, "200 OK", GZIP, &*BOMB), expected: Truncated },
    Misdeed {
        path: "/not-gzip",
        answer: |stream| respond(stream, "200 OK", GZIP, "<html>"),
        expected: Error("body not decodable", "gzip"),
    },
    Misdeed {
        path: "/half-gzip",
        answer: |stream| respond(stream, "200 OK", GZIP, &gzip(&[b'x'; 5000])[..20]),
        expected: Error("body not decodable", "gzip"),
    },
    Misdeed {
        path: "/unknown-coding",
        answer: |stream| {
            respond(stream, "200 OK", "Content-Type: text/html\r\nContent-Encoding: zstd\r\n", "x")
        },
        expected: Error("body not decodable", "zstd"),
    },
    Misdeed { path: "/missing", answer: |stream| status(stream, "404 Not Found"), expected: Status(404) },
    Misdeed { path: "/broken", answer: |stream| status(stream, "500 Oh"), expected: Status(500) },
    Misdeed { path: "/good", answer: |stream| html(stream, "good"), expected: Status(200) },
];

impl Misdeed {
    /// Returns true if the outcome depends on a time limit.
    fn is_late(&self) -> bool {
        matches!(self.expected, Error("timeout", _) | Late)
    }

    /// Checks the line of the report, given the limits on the time between two pieces and on the whole time.
    fn check(&self, object: &Value, read: &str, whole: &str) -> Result<(), String> {
        let is = |field: &str| &object[field];
        let is_right = match self.expected {
            Error(kind, text) => {
                let text = text.replace("READ", read).replace("WHOLE", whole);
                is("error_kind") == kind && is("error").as_str().is_some_and(|error| error.contains(&text))
            }
            Status(status) => is("status") == status && is("error").is_null(),
            Truncated => is("status") == 200 && is("truncated") == true,
            Late => is("status") == 200 && is("truncated") == true && is("broken") == false,
        };
        if is_right { Ok(()) } else { Err(format!("{}: {object}", self.path)) }
    }
}

/// Starts a site whose first page leads to the misdeeds that `is_in` selects, and to other URLs.
fn start(is_in: fn(&Misdeed) -> bool, others: Vec<String>) -> Web {
    Web::start(move |request, stream| match &*request.path {
        "/" => {
            let bad = MISDEEDS.iter().filter(|misdeed| is_in(misdeed)).map(|misdeed| misdeed.path.to_owned());
            let bad = bad.filter(|path| !["/behind-invalid-utf-8", "/loop-2"].contains(&&**path));
            html(stream, links(bad.chain(others.iter().cloned())))
        }
        path => match MISDEEDS.iter().find(|misdeed| misdeed.path == path) {
            Some(misdeed) => (misdeed.answer)(stream),
            None => status(stream, "404 Not Found"),
        },
    })
}

/// Crawls the site with these time limits.
fn crawl_within(crawl: fn(&[&str]) -> Ended, web: &Web, read: &str, whole: &str, more: &[&str]) -> Ended {
    let start = web.url("/");
    let limits = ["--read-timeout", read, "--timeout", whole, "--max-page-size", "512K"];
    let scope = ["--exclude", "/left-out/", "--no-robots", "--retries", "0"];
    let at_once = ["--concurrency", "64", "--per-host", "64", &start];
    let ended = crawl(&[&limits[..], &scope, more, &at_once].concat());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

#[test]
fn each_misdeed_is_a_line_of_the_report_and_the_crawl_goes_on() {
    LazyLock::force(&BOMB);
    WAYS.into_iter().for_each(each_misdeed_is_a_line);
}

fn each_misdeed_is_a_line(crawl: fn(&[&str]) -> Ended) {
    let refusing = ReservedPort::new();
    let follow = refusing.address().to_string();
    let refused = format!("http://{follow}/");
    let web = start(|misdeed| !misdeed.is_late(), vec![refused.clone()]);
    // No answer here is late, unless the machine stalls for so long.
    let objects = objects(&crawl_within(crawl, &web, "2min", "4min", &["--follow-hosts", &follow]));
    for misdeed in MISDEEDS.iter().filter(|misdeed| !misdeed.is_late()) {
        let object = objects.get(&web.url(misdeed.path));
        let object = object.unwrap_or_else(|| panic!("no line for {}", misdeed.path));
        misdeed.check(object, "2m", "4m").unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(objects[&refused]["error_kind"], "not connected");
    assert!(objects[&refused]["error"].as_str().expect("a text").contains("refused"));
    assert_eq!(objects[&web.url("/many-links")]["links"], 10_000);
    // Less than a page, because it is not read for links.
    assert!(objects[&web.url("/endless-binary")]["bytes"].as_u64().expect("a number") < 384 << 10);
}

#[test]
fn each_delay_is_a_line_of_the_report_and_the_crawl_goes_on() {
    WAYS.into_iter().for_each(each_delay_is_a_line);
}

fn each_delay_is_a_line(crawl: fn(&[&str]) -> Ended) {
    with_longer_spans(Duration::from_secs(1), |span| {
        let web = start(Misdeed::is_late, Vec::new());
        let [read, whole] = [span, span * 3].map(|limit| format!("{}s", limit.as_secs()));
        let ended = crawl_within(crawl, &web, &read, &whole, &[]);
        let objects = objects(&ended);
        for misdeed in MISDEEDS.iter().filter(|misdeed| misdeed.is_late()) {
            let object = objects.get(&web.url(misdeed.path));
            // The first page may be late, or another limit may end the wait.
            misdeed.check(object.ok_or_else(|| ended.stdout.clone())?, &read, &whole)?;
        }
        Ok(())
    });
}

/// A server may close a connection at any time between two requests.
#[test]
fn connections_that_the_server_closes_are_replaced() {
    WAYS.into_iter().for_each(closed_connections_are_replaced);
}

fn closed_connections_are_replaced(crawl: fn(&[&str]) -> Ended) {
    let paths: Vec<String> = (0..200).map(|number| format!("/{number}")).collect();
    let start = links(&paths);
    let web = Web::start(move |request, stream| {
        html(stream, if request.path == "/" { &start } else { "a page" });
        // The response does not say so.
        stream.shutdown(Shutdown::Both).ok();
        Then::Close
    });
    let ended = crawl(&["--no-robots", "--retries", "0", &web.url("/")]);
    let objects = objects(&ended);
    assert_eq!(objects.len(), 201);
    assert!(objects.values().all(|object| object["status"] == 200), "{}", ended.stdout);
}

#[test]
fn an_endless_robots_txt_is_read_up_to_a_limit() {
    let web = Web::start(|request, stream| match &*request.path {
        "/robots.txt" => endless(
            stream,
            "HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /forbidden\n",
            b"# a comment of a line\n",
        ),
        "/" => html(stream, links(["/forbidden", "/permitted"])),
        _ => html(stream, "a page"),
    });
    let objects = objects(&crawl(&[&web.url("/")]));
    assert_eq!(objects[&web.url("/permitted")]["status"], 200);
    assert_eq!(objects[&web.url("/forbidden")]["error_kind"], "forbidden by robots.txt");
    assert!(!web.requests().contains_key("/forbidden"));
}

#[test]
fn credentials_are_neither_printed_nor_sent() {
    let web = Web::start(|request, stream| match &*request.path {
        "/" => {
            let host = request.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            html(stream, links([format!("http://me:hunter2@{host}/a"), format!("//me:hunter2@{host}/b")]))
        }
        "/a" => redirect(stream, "//me:hunter2@10.0.0.1/"),
        _ if request.head.contains("authorization") => status(stream, "400 Bad Request"),
        _ => html(stream, "a page"),
    });
    for mode in ["--json", "--all", "--broken"] {
        for more in [&["--log", "trace"][..], &["--list-links"]] {
            if more == ["--list-links"] && mode != "--json" {
                continue;
            }
            let ended = run(&[&["crawl", mode, "--no-robots"], more, &[&web.url("/")]].concat());
            let printed = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }
    let requests = web.requests();
    assert!(requests.contains_key("/a") && requests.contains_key("/b"), "{requests:?}");
    for arguments in
        [&["http://me:hunter2@127.0.0.1/"][..], &["--state", "http://a:hunter2@b/", "ftp://a:hunter2@b"]]
    {
        let ended = run(&[&["crawl"], arguments].concat());
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}
