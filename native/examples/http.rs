//! A web server: `http [ADDRESS]`. Try it with `curl http://127.0.0.1:8080/fib/30`.
//!
//! The protocol is implemented by `edge-http`, which has no dependency on sinbin. It works with every type that
//! implements the traits of `embedded-io-async`, as connections do.

use std::ops::Range;
use std::time::Duration;

use edge_http::Method;
use edge_http::io::Error as HttpError;
use edge_http::io::server::Connection;
use embedded_io_async::{ErrorType, Read, Write};
use sinbin::Settings;
use sinbin::task::{Conn, Error};

/// The time that a client may take for a request, and between two requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The maximum number of headers of a request.
const HEADERS: usize = 32;

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A buffered reader. `edge-http` reads single bytes, so that it does not consume bytes of the next request.
struct Buffered<T> {
    io: T,
    bytes: [u8; 512],
    unread: Range<usize>,
}

impl<T: ErrorType> ErrorType for Buffered<T> {
    type Error = T::Error;
}

impl<T: Read> Read for Buffered<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, T::Error> {
        if self.unread.is_empty() {
            self.unread = 0..self.io.read(&mut self.bytes).await?;
        }
        let count = buf.len().min(self.unread.len());
        let (taken, unread) = self.bytes[self.unread.clone()].split_at(count);
        buf[..count].copy_from_slice(taken);
        self.unread = self.unread.end - unread.len()..self.unread.end;
        Ok(count)
    }
}

impl<T: Write> Write for Buffered<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, T::Error> {
        self.io.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), T::Error> {
        self.io.flush().await
    }
}

/// Answers one request. Returns true if the connection can be used for another one.
async fn answer<T: Read + Write>(io: &mut T) -> Result<bool, HttpError<T::Error>> {
    let mut buf = [0; 2048];
    let mut conn = Connection::<_, HEADERS>::new(&mut buf, io).await?;
    let request = conn.headers()?;
    let (status, reason, page) = match (request.method, request.path) {
        (Method::Get, "/") => (200, "OK", "This is sinbin. Ask for /fib/30.\n".to_owned()),
        (Method::Get, path) => match path.strip_prefix("/fib/").and_then(|n| n.parse().ok()) {
            Some(n) => (200, "OK", format!("{}\n", fib(n))),
            None => (404, "Not Found", format!("There is no {path}.\n")),
        },
        // The response to HEAD has no body, whatever its status is.
        (Method::Head, _) => (405, "Method Not Allowed", String::new()),
        _ => (405, "Method Not Allowed", "Only GET is.\n".to_owned()),
    };
    let length = page.len().to_string();
    let headers = [("Content-Type", "text/plain"), ("Content-Length", &length)];
    conn.initiate_response(status, Some(reason), &headers).await?;
    conn.write_all(page.as_bytes()).await?;
    conn.complete().await?;
    Ok(!conn.needs_close())
}

/// Returns the talk's Fibonacci number of `n`, or the largest one that fits.
fn fib(n: u32) -> u64 {
    let (mut now, mut next) = (0_u64, 1);
    for _ in 0..n.clamp(1, 93) {
        (now, next) = (next, now.saturating_add(next));
    }
    now
}

async fn serve(conn: Conn<'_>) -> Result<(), Error> {
    let mut io = Buffered { io: &conn, bytes: [0; 512], unread: 0..0 };
    loop {
        match conn.handle().timeout(PATIENCE, answer(&mut io)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(HttpError::ConnectionClosed)) | Err(_) => return Ok(()),
            Ok(Err(HttpError::Io(error))) => return Err(error),
            Ok(Err(_)) => return conn.send_all(BAD_REQUEST).await,
        }
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = sinbin::bind(address.parse()?)?;
    println!("listening on http://{}", listener.local_addr()?);
    Settings::default().serve([listener], |_| {}, serve)?;
    Ok(())
}
