//! The example `http`: a protocol of another crate on sinbin's connections.

#![cfg(unix)]

use std::net::SocketAddr;
use std::process::Command;

use sinbin_tests::{Client, Running, example, fib, noise};

struct Http {
    running: Running,
    address: SocketAddr,
}

impl Http {
    fn start() -> Self {
        let mut command = example("http");
        command.arg("127.0.0.1:0");
        let running = Running::start(command);
        running.says("\n");
        let said = running.stdout();
        let address = said.lines().next().and_then(|line| line.strip_prefix("listening on http://"));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no line \"listening on http://ADDR\": {said:?}"));
        Self { running, address }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }
}

/// A response: the status, the headers with lower-case names, and the page.
#[derive(Debug)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    page: String,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// Reads exactly one response.
fn response(client: &mut Client) -> Response {
    let first = client.line();
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line of HTTP/1.1: {first:?}"));
    let mut headers = Vec::new();
    loop {
        let line = client.line();
        let line = line.strip_suffix('\r').expect("a line of a head ends in CR LF");
        if line.is_empty() {
            break;
        }
        let (key, value) = line.split_once(':').expect("a header has a name");
        headers.push((key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, page: String::new() };
    let length = response.header("content-length").expect("every response has a content length");
    let page = client.bytes(length.parse().expect("a number"));
    response.page = String::from_utf8(page).expect("text");
    response
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: sinbin\r\n\r\n")
}

fn ask(client: &mut Client, path: &str) -> Response {
    client.send(get(path));
    response(client)
}

#[test]
fn pages_come_over_one_connection() {
    let http = Http::start();
    let mut client = http.client();
    let page = ask(&mut client, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain")));
    assert!(page.page.contains("sinbin"), "{page:?}");
    let page = ask(&mut client, "/fib/30");
    assert_eq!((page.status, page.page), (200, format!("{}\n", fib(30))));
    let page = ask(&mut client, "/fib/x");
    assert_eq!((page.status, page.page), (404, "There is no /fib/x.\n".to_owned()));
    assert!(client.is_silent(), "and it stays open");
}

#[test]
fn a_body_is_read_over_and_a_head_has_none() {
    let http = Http::start();
    let mut client = http.client();
    client.send("POST / HTTP/1.1\r\nHost: sinbin\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(response(&mut client).status, 405);
    client.send("HEAD / HTTP/1.1\r\nHost: sinbin\r\n\r\n");
    let head = response(&mut client);
    assert_eq!((head.status, head.page.as_str()), (405, ""));
    assert_eq!(ask(&mut client, "/fib/10").page, "55\n");
}

#[test]
fn requests_in_one_piece_and_in_bytes_are_answered_in_order() {
    let http = Http::start();
    let mut client = http.client();
    let all: String = (1..=40).map(|n| get(&format!("/fib/{n}"))).collect();
    client.send(&all);
    for n in 1..=40 {
        assert_eq!(response(&mut client).page, format!("{}\n", fib(n)), "fib({n})");
    }
    for byte in get("/fib/20").bytes() {
        client.send([byte]);
    }
    assert_eq!(response(&mut client).page, "6765\n");
}

#[test]
fn who_wants_the_connection_closed_gets_the_end_of_the_stream() {
    let http = Http::start();
    let mut client = http.client();
    client.send("GET /fib/7 HTTP/1.1\r\nHost: sinbin\r\nConnection: close\r\n\r\n");
    assert_eq!(response(&mut client).page, "13\n");
    assert_eq!(client.rest(), "");
}

#[test]
fn twenty_clients_are_served_at_once() {
    let http = Http::start();
    let mut clients: Vec<_> = (0..20).map(|_| http.client()).collect();
    for round in 0..3 {
        // Half a request of each client, so that all of them are in progress.
        let halves: Vec<_> = (0..20).map(|n| get(&format!("/fib/{}", n + round))).collect();
        for (client, request) in clients.iter_mut().zip(&halves) {
            client.send(&request[..15]);
        }
        for (client, request) in clients.iter_mut().zip(&halves).rev() {
            client.send(&request[15..]);
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let n = u32::try_from(n).expect("a small number") + round;
            assert_eq!(response(client).page, format!("{}\n", fib(n)));
        }
    }
}

#[test]
fn junk_harms_nobody_else() {
    let http = Http::start();
    let mut other = http.client();
    assert_eq!(ask(&mut other, "/fib/9").page, "34\n");

    let mut client = http.client();
    client.send("What is this?\r\n\r\n");
    let refused = response(&mut client);
    assert_eq!((refused.status, refused.header("connection")), (400, Some("close")));
    assert_eq!(client.rest(), "");

    let mut client = http.client();
    client.send(noise(1500));
    client.send("\r\n\r\n");
    assert_eq!(response(&mut client).status, 400);

    // A head that never ends, and exceeds the buffer.
    let mut client = http.client();
    client.send(format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(4000)));
    assert_eq!(response(&mut client).status, 400);

    // A client that half-closes within a request, and one that resets the connection.
    let mut client = http.client();
    client.send("GET /fib");
    client.end();
    assert_eq!(response(&mut client).status, 400);
    let mut client = http.client();
    client.send("GET /");
    client.reset();

    assert_eq!(ask(&mut other, "/fib/9").page, "34\n");
    assert_eq!(ask(&mut http.client(), "/fib/9").page, "34\n");
}

#[test]
fn curl_is_content() {
    let http = Http::start();
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl here");
        return;
    }
    let url = format!("http://{}/fib", http.address);
    let asked = Command::new("curl")
        // Without the user's settings.
        .args(["--disable", "--silent", "--show-error", "--fail", "--max-time", "120", "--noproxy", "*"])
        .args(["--write-out", "[%{response_code} %{num_connects}]"])
        .args([format!("{url}/30"), format!("{url}/31")])
        .output()
        .expect("curl was found before");
    let (said, complained) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    assert!(asked.status.success(), "{complained}");
    assert_eq!(said, "832040\n[200 1]1346269\n[200 0]", "both over one connection");
    assert_eq!(http.running.stderr(), "");
}
