//! The stream of events and the parts of tasks, without a browser: limits, and clients that must not be served.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use sinbin_tests::{PATIENCE, Running, Server, eventually, example};
use socket2::{Domain, Socket, Type};

use super::{monitor, pid, ps};

/// A client of the stream of events.
pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Opens a stream, with a query such as "?loop=8207.8".
    pub(crate) fn open(monitor: &Server, query: &str) -> Self {
        Self::over(
            TcpStream::connect(monitor.address()).expect("the monitor listens"),
            monitor.address(),
            query,
        )
    }

    fn over(stream: TcpStream, address: SocketAddr, query: &str) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut stream = BufReader::new(stream);
        let request = format!("GET /events{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).expect("the monitor receives");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).expect("a line"), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/event-stream"), "{head}");
        Self(stream)
    }

    /// Returns the data of the next event.
    pub(crate) fn next(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).expect("a line"), 0, "the stream has ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }

    /// Returns the number of the next look.
    fn look(&mut self) -> u64 {
        let event: Value = serde_json::from_str(&self.next()).expect("JSON");
        event["look"].as_u64().expect("a number")
    }
}

fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the monitor listens");
    let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("the monitor receives");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the monitor answers");
    answer
}

#[test]
fn the_page_has_a_strict_policy_and_other_hosts_and_sites_are_refused() {
    let server = Server::fib(&[]);
    let monitor = monitor(&[&pid(&server)], &[]);
    let address = monitor.address();
    let own = format!("Host: {address}\r\n");
    let page = get(address, "/", &own);
    let (head, body) = page.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"), "{head}");
    assert!(!head.contains("unsafe") && head.contains("frame-ancestors 'none'"), "{head}");
    // All that the page needs is in it.
    for external in ["src=", "@import", "http://", "https://"] {
        let found = body.split(external).skip(1).filter(|rest| !rest.starts_with("www.w3.org/2000/svg"));
        assert_eq!(found.count(), 0, "{external}");
    }
    for path in ["/", "/events", "/tasks?loop=1.1"] {
        let evil = get(address, path, "Host: evil.example\r\n");
        assert!(evil.starts_with("HTTP/1.1 421 "), "{path}: {evil}");
    }
    for path in ["/events", "/tasks?loop=1.1"] {
        for site in ["cross-site", "same-site"] {
            let foreign = get(address, path, &format!("{own}Sec-Fetch-Site: {site}\r\n"));
            assert!(foreign.starts_with("HTTP/1.1 403 "), "{path}: {foreign}");
        }
    }
    for (path, status) in [
        ("/events?loop=x", 400),
        ("/tasks", 400),
        ("/tasks?loop=1.1&sort=colour", 400),
        ("/tasks?loop=1.1&count=x", 400),
        ("/tasks?loop=1.1", 404),
        ("/tasks?%ff=%00&loop", 400),
    ] {
        let answer = get(address, path, &own);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let key = format!("{}.{}", pid(&server), ps(&pid(&server))["loop"]);
    let part = get(address, &format!("/tasks?loop={key}&bin=accept"), &own);
    let part: Value = serde_json::from_str(part.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert_eq!((&part["matching"], &part["tasks"][0]["name"]), (&1.into(), &"accept".into()));
}

#[test]
fn viewers_share_looks_and_are_limited_and_end_with_the_monitor() {
    let server = Server::fib(&[]);
    let monitor = monitor(&[&pid(&server)], &["--max-viewers", "2", "--every", "100ms"]);
    let (mut first, mut second) = (Stream::open(&monitor, ""), Stream::open(&monitor, ""));
    let own = format!("Host: {}\r\n", monitor.address());
    let third = get(monitor.address(), "/events", &own);
    assert!(third.starts_with("HTTP/1.1 503 ") && third.contains("--max-viewers"), "{third}");
    // Both see one and the same look, to the byte.
    let look = second.next();
    eventually("the first viewer sees the look", || first.next() == look);
    // Another one may come when one has left.
    drop(second);
    eventually("capacity for another viewer", || {
        let mut stream = TcpStream::connect(monitor.address()).expect("the monitor listens");
        stream
            .write_all(format!("GET /events HTTP/1.1\r\n{own}\r\n").as_bytes())
            .expect("the monitor receives");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("a status");
        &status == b"HTTP/1.1 200"
    });
    // The streams end when the monitor is asked to stop: it does not wait for its viewers to leave.
    monitor.signal(rustix::process::Signal::TERM);
    let ended = monitor.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    first.0.read_to_end(&mut Vec::new()).expect("the stream ends");
}

#[test]
fn a_slow_viewer_misses_looks_instead_of_letting_them_pile_up() {
    let mut command = example("tangle");
    command.args(["390", "3600000"]);
    let tangle = Running::start(command);
    tangle.says("both wait");
    let monitor = monitor(&[&pid(&tangle)], &["--every", "100ms"]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&monitor.address().into()).expect("the monitor listens");
    let mut slow = Stream::over(socket.into(), monitor.address(), "");
    let begin = slow.look();
    // The slow viewer reads on when another one has seen many looks.
    let mut fast = Stream::open(&monitor, "");
    let skipped = (0..).map(|_| fast.look()).find(|look| *look >= begin + 40).expect("a look");
    // The looks that are kept for the slow viewer are those that the system and one event hold.
    let mut looks = vec![begin];
    while looks.last().is_some_and(|look| *look < skipped) {
        looks.push(slow.look());
    }
    let count = looks.len() as u64;
    assert!(looks.is_sorted() && count < skipped - begin, "{looks:?}");
}
