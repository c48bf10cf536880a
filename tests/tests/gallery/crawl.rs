//! The seven crawlers, on the site of the example and on sites that misbehave.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use sinbin_tests::{Client, Ended, ReservedPort, Running, Server, example, noise};

const WAYS: [&str; 7] = ["blocking", "threads", "callbacks", "generator", "future", "delegating", "async"];

/// The functions that the error of the third call names, for each way.
const STACKS: [&str; 7] = [
    "fetch < crawl",
    "fetch < thread",
    "read_response < loop",
    "Fetch::send < resume < loop",
    "Fetch::send < step < set_result < on_readable < loop",
    "Read::send < ReadAll::send < Fetch::send < step < set_result < on_readable < loop",
    "read_all < fetch < follow < loop",
];

fn crawl(args: &[&str]) -> Running {
    let mut command = example("crawl");
    command.args(args);
    Running::start(command)
}

/// Fetches pages of a site in one of the ways.
fn fetch(way: &str, options: &[&str], site: SocketAddr, paths: &[&str]) -> Ended {
    let urls: Vec<_> = paths.iter().map(|path| format!("http://{site}{path}")).collect();
    let mut args = vec![way];
    args.extend(options);
    args.extend(urls.iter().map(String::as_str));
    crawl(&args).wait()
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Reads a request, and returns its path.
fn read_request(client: &mut Client) -> String {
    let line = client.line();
    while client.line() != "\r" {}
    line.split(' ').nth(1).expect("a path").to_owned()
}

#[test]
fn all_ways_have_the_same_result() {
    let mut server = example("crawl");
    server.args(["serve", "127.0.0.1:0", "0"]);
    let server = Server::announced(server);
    let paths = ["/", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9", "/missing", "/tree/1"];
    let mut results = BTreeSet::new();
    for way in WAYS {
        for options in [&[][..], &["--concurrency", "1"], &["--concurrency", "3"]] {
            let ended = fetch(way, options, server.address(), &paths);
            assert_eq!(ended.code, Some(0), "{way}: {}{}", ended.stdout, ended.stderr);
            results.insert(ended.stdout);
        }
    }
    let result = results.pop_first().expect("a result");
    assert!(results.is_empty(), "{result}{results:?}");
    assert_eq!(result.lines().filter(|line| line.starts_with("200  /")).count(), 25, "{result}");
    assert!(result.contains("\n404  /missing "), "{result}");
    assert!(result.contains("\n26 pages, checksum "), "{result}");
}

/// A site that answers nothing until all ten requests are open, and then in the reverse order.
#[test]
fn all_but_the_first_send_their_requests_at_once() {
    for way in &WAYS[1..] {
        let (listener, site) = listen();
        let server = thread::spawn(move || {
            let mut clients = Vec::new();
            while clients.len() < 10 {
                let (stream, _) = listener.accept().expect("a connection");
                let mut client = Client::over(stream);
                let path = read_request(&mut client);
                clients.push((client, path));
            }
            for (mut client, path) in clients.into_iter().rev() {
                client.send(format!("HTTP/1.0 200 OK\r\n\r\n{path}"));
            }
        });
        let paths = ["/", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"];
        let ended = fetch(way, &[], site, &paths);
        assert_eq!(ended.code, Some(0), "{way}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout.matches("200  /").count(), 10, "{way}: {}", ended.stdout);
        server.join().expect("the server succeeds");
    }
}

#[test]
fn the_first_has_one_request_open_at_a_time() {
    let (listener, site) = listen();
    let server = thread::spawn(move || {
        for _ in 0..10 {
            listener.set_nonblocking(false).expect("a listener");
            let (stream, _) = listener.accept().expect("a connection");
            let mut client = Client::over(stream);
            let path = read_request(&mut client);
            listener.set_nonblocking(true).expect("a listener");
            let other = listener.accept().expect_err("the crawler waits for the page");
            assert_eq!(other.kind(), ErrorKind::WouldBlock);
            client.send(format!("HTTP/1.0 200 OK\r\n\r\n{path}"));
        }
    });
    let ended = fetch("blocking", &[], site, &["/", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    server.join().expect("the server succeeds");
}

/// Answers a request with a page, or in one of the ways in which a server can fail.
fn misbehave(stream: TcpStream) {
    let mut raw = stream.try_clone().expect("a socket");
    let mut client = Client::over(stream);
    // The crawler may have closed the connection.
    match &*read_request(&mut client) {
        "/" => {
            let links: String = ["/good", "/empty", "/junk", "/short", "/huge", "/reset"]
                .iter()
                .map(|path| format!("<a href=\"{path}\"></a>"))
                .collect();
            let others =
                "<a href=\"//example.com/\"><a href=\"http://example.com/\"><a href=\"/a b\"><a href=\"\">";
            client.send(format!("HTTP/1.1 200 OK\r\n\r\n{links}{others}<a href=\"/unfinished"));
        }
        "/good" => client.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmore than four"),
        "/empty" => {}
        "/junk" => drop(raw.write_all(&noise(5000))),
        "/short" => client.send("HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nfour"),
        "/huge" => drop(raw.write_all("HTTP/1.0 200 OK\r\n".repeat(100_000).as_bytes())),
        "/reset" => {
            client.send("HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nfour");
            drop(raw);
            client.reset();
        }
        path => panic!("{path} is no link of the site"),
    }
}

#[test]
fn a_bad_page_is_a_line_of_the_report_and_stops_no_other_fetch() {
    let (listener, site) = listen();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || misbehave(stream));
        }
    });
    for (way, stack) in WAYS.into_iter().zip(STACKS) {
        let ended = fetch(way, &[], site, &["/"]);
        assert_eq!(ended.code, Some(1), "{way}: {}{}", ended.stdout, ended.stderr);
        let lines: Vec<_> = ended.stdout.lines().collect();
        let [index, empty, good, huge, junk, reset, short, total] = lines[..] else {
            panic!("{way}: {}", ended.stdout)
        };
        assert!(index.starts_with("200  /  ") && index.ends_with(" 6 links"), "{way}: {index}");
        assert!(empty.starts_with("failed  /empty  the response ends within its head ["), "{way}: {empty}");
        assert!(good.starts_with("200  /good "), "{way}: {good}");
        assert!(
            huge.starts_with("failed  /huge  the response has more than 1048576 bytes ["),
            "{way}: {huge}"
        );
        assert!(junk.starts_with("failed  /junk  "), "{way}: {junk}");
        assert!(
            short.starts_with("failed  /short  the response ends after 4 of 10 bytes ["),
            "{way}: {short}"
        );
        assert!(total.starts_with("7 pages, "), "{way}: {total}");
        // The error of the third call, as the system names it, or as sinbin does.
        assert!(reset.to_lowercase().contains("connection reset"), "{way}: {reset}");
        assert!(reset.ends_with(&format!(" [{stack}]")), "{way}: {reset}");
    }
}

#[test]
fn a_site_that_refuses_connections_fails_each_page() {
    let site = ReservedPort::new();
    for way in WAYS {
        let ended = fetch(way, &[], site.address(), &["/", "/1"]);
        assert_eq!(ended.code, Some(1), "{way}: {}{}", ended.stdout, ended.stderr);
        let refused = ended.stdout.to_lowercase().matches("connection refused").count();
        assert_eq!(refused, 2, "{way}: {}", ended.stdout);
    }
}

/// Hundreds of fetches fail at once, before they have waited for anything. None is lost, and none calls the next.
#[test]
fn a_process_without_descriptors_fails_pages_one_by_one() {
    const PAGES: usize = 1000;
    let mut server = example("crawl");
    server.args(["serve", "127.0.0.1:0", "0"]);
    let server = Server::announced(server);
    let urls: Vec<_> = (0..PAGES).map(|n| format!("http://{}/{n}", server.address())).collect();
    for way in &WAYS[1..] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 20; exec \"$0\" \"$@\""]);
        command.arg(example("crawl").get_program()).arg(way).args(&urls);
        let ended = Running::start(command).wait();
        assert_eq!(ended.code, Some(1), "{way}: {}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), PAGES + 1, "{way}: {}", ended.stdout);
        for line in ended.stdout.lines().filter(|line| line.starts_with("failed")) {
            assert!(line.contains("Too many open files") && line.len() < 200, "{way}: {line}");
        }
    }
}

#[test]
fn the_table_has_a_row_for_each_way() {
    let ended = crawl(&["compare", "1"]).wait();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    for (way, stack) in WAYS.into_iter().zip(STACKS) {
        let row = ended.stdout.lines().find(|line| line.starts_with(way)).expect("a row");
        assert!(row.ends_with(&format!("  {stack}")), "{row}");
        let open: u32 = row.split_whitespace().nth(5).and_then(|open| open.parse().ok()).expect("a number");
        // Whether the others have several open at this moment depends on timing; another test shows that they do.
        assert!(open == 1 || way != "blocking", "{row}");
    }
    assert!(ended.stdout.contains("\nAll results are equal to the byte:\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n15 pages, checksum "), "{}", ended.stdout);
}

#[test]
fn crawls_of_nothing_and_of_no_site_are_refused() {
    for (args, complaint) in [
        (&["async"][..], "usage: crawl"),
        (&["fibers", "http://127.0.0.1:1/"], "usage: crawl"),
        (&["async", "--concurrency", "0", "http://127.0.0.1:1/"], "usage: crawl"),
        (&["async", "https://127.0.0.1:1/"], "is no URL such as"),
        (&["async", "http://127.0.0.1:1/ HTTP/1.1"], "is no URL such as"),
        (&["async", "http://127.0.0.1:1/", "http://127.0.0.2:1/"], "a crawl reads one site"),
    ] {
        let ended = crawl(args).wait();
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{args:?}");
        assert!(ended.stderr.contains(complaint), "{args:?}: {}", ended.stderr);
    }
}
