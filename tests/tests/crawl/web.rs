//! A web server for tests, which writes any bytes that a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request: its path with the query, and its headers in lower case.
pub struct Request {
    pub path: String,
    pub head: String,
}

/// The fate of a connection after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Stay,
    Close,
}

/// A server that answers each request by a function. Each connection has a thread.
pub struct Web {
    pub address: SocketAddr,
    requests: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Web {
    /// Starts a server. It ends with the test.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::<Mutex<BTreeMap<String, u32>>>::default();
        let (counted, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (counted, answer) = (Arc::clone(&counted), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &counted, &*answer));
            }
        });
        Self { address, requests }
    }

    /// Starts a server of pages.
    pub fn of_pages(pages: BTreeMap<String, String>) -> Self {
        Self::start(move |request, stream| match pages.get(&request.path) {
            Some(page) => html(stream, page),
            None => status(stream, "404 Not Found"),
        })
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the number of requests for each path.
    pub fn requests(&self) -> BTreeMap<String, u32> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn serve(
    stream: TcpStream,
    counted: &Mutex<BTreeMap<String, u32>>,
    answer: &dyn Fn(&Request, &mut TcpStream) -> Then,
) {
    let mut stream = stream;
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    while let Some(request) = read_request(&mut reader) {
        *counted.lock().expect("no panic").entry(request.path.clone()).or_default() += 1;
        if answer(&request, &mut stream) == Then::Close {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut head = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        if line.trim().is_empty() {
            return Some(Request { path, head });
        }
        head.push_str(&line.to_ascii_lowercase());
    }
}

/// Sends bytes as they are. A client that has gone is no reason for a panic.
pub fn raw(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) -> Then {
    match stream.write_all(bytes.as_ref()) {
        Ok(()) => Then::Stay,
        Err(_) => Then::Close,
    }
}

/// Sends the same bytes until the client has gone.
pub fn endless(stream: &mut TcpStream, head: &str, bytes: &[u8]) -> Then {
    let mut sent = raw(stream, head);
    while sent == Then::Stay {
        sent = raw(stream, bytes);
    }
    Then::Close
}

/// Sends a response with these headers.
pub fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: impl AsRef<[u8]>) -> Then {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    raw(stream, [head.as_bytes(), body].concat())
}

/// Sends a page of HTML.
pub fn html(stream: &mut TcpStream, body: impl AsRef<[u8]>) -> Then {
    respond(stream, "200 OK", "Content-Type: text/html; charset=utf-8\r\n", body)
}

/// Sends a response without a body.
pub fn status(stream: &mut TcpStream, status: &str) -> Then {
    respond(stream, status, "", "")
}

/// Sends a redirect.
pub fn redirect(stream: &mut TcpStream, location: &str) -> Then {
    respond(stream, "302 Found", &format!("Location: {location}\r\n"), "")
}

/// Returns a page with links.
pub fn links<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) -> String {
    let link = |target: T| format!("<a href=\"{}\">link</a>\n", target.as_ref());
    let links: String = targets.into_iter().map(link).collect();
    format!("<!doctype html><title>A page</title><body>\n{links}</body>")
}
