//! The server of `http`: requests and responses by `edge-http`, on a connection of sinbin. The crawlers of
//! `sinbin-gallery` read a site from this server.

use std::ops::Range;
use std::time::Duration;

use edge_http::Method;
use edge_http::io::Error as HttpError;
use edge_http::io::server::Connection;
use embedded_io_async::{ErrorType, Read, Write};
use sinbin::task::{Conn, Error};

/// A page, with its media type.
pub struct Page {
    pub media_type: &'static str,
    pub text: String,
}

impl Page {
    /// Creates a page of plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { media_type: "text/plain", text: text.into() }
    }
}

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
async fn answer<T: Read + Write>(
    io: &mut T,
    pages: &impl AsyncFn(&str) -> Option<Page>,
) -> Result<bool, HttpError<T::Error>> {
    let mut buf = [0; 2048];
    let mut conn = Connection::<_, HEADERS>::new(&mut buf, io).await?;
    let request = conn.headers()?;
    let (status, reason, page) = match (request.method, request.path) {
        (Method::Get, path) => match pages(path).await {
            Some(page) => (200, "OK", page),
            None => (404, "Not Found", Page::plain(format!("There is no {path}.\n"))),
        },
        // The response to HEAD has no body, whatever its status is.
        (Method::Head, _) => (405, "Method Not Allowed", Page::plain("")),
        _ => (405, "Method Not Allowed", Page::plain("Only GET is.\n")),
    };
    let length = page.text.len().to_string();
    let headers = [("Content-Type", page.media_type), ("Content-Length", &length)];
    conn.initiate_response(status, Some(reason), &headers).await?;
    conn.write_all(page.text.as_bytes()).await?;
    conn.complete().await?;
    Ok(!conn.needs_close())
}

/// Serves requests on `conn`. `pages` returns the page of a path, or `None` if the site has no such page.
pub async fn serve(conn: Conn<'_>, pages: &impl AsyncFn(&str) -> Option<Page>) -> Result<(), Error> {
    let mut io = Buffered { io: &conn, bytes: [0; 512], unread: 0..0 };
    loop {
        match conn.handle().timeout(PATIENCE, answer(&mut io, pages)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(HttpError::ConnectionClosed)) | Err(_) => return Ok(()),
            Ok(Err(HttpError::Io(error))) => return Err(error),
            Ok(Err(_)) => return conn.send_all(BAD_REQUEST).await,
        }
    }
}
