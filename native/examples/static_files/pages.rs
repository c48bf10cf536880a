//! The pages of a directory. A request is answered without waiting, except for the disk.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use sinbin::files::open_regular;

/// The size of the pieces in which a file is read.
const PIECE: u64 = 32 * 1024;

/// The rest of a file, or a text.
pub enum Page {
    File { file: File, left: u64 },
    Text(Bytes),
}

impl Body for Page {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.get_mut() {
            Self::Text(text) => Ok(std::mem::take(text)),
            Self::File { file, left } => read(file, left),
        };
        Poll::Ready(match piece {
            Ok(piece) if piece.is_empty() => None,
            piece => Some(piece.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::File { left, .. } => *left,
            Self::Text(text) => text.len() as u64,
        })
    }
}

/// Reads the next piece of a file. A file that has become shorter is an error, because its length was sent.
fn read(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(PIECE.min(*left)).unwrap_or(0)];
    file.read_exact(&mut piece)?;
    *left -= piece.len() as u64;
    Ok(piece.into())
}

fn text(status: StatusCode) -> Response<Page> {
    let mut response = Response::new(Page::Text(format!("{status}\n").into()));
    *response.status_mut() = status;
    response
}

/// Returns the file below `root` that a path of a URL names, or `None` if the path leads elsewhere, also by a link.
fn locate(root: &Path, path: &str) -> Option<PathBuf> {
    let path = decode(path)?;
    let mut file = root.to_owned();
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(part) => file.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    if path.ends_with('/') {
        file.push("index.html");
    }
    file.canonicalize().ok().filter(|file| file.starts_with(root))
}

/// Decodes `%` and two digits.
fn decode(path: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().filter(|path| !path.contains('\0'))
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("css") => "text/css",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        Some("md" | "txt") => "text/plain; charset=utf-8",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// Answers a request for a file below `root`.
pub fn answer(root: &Path, request: &Request<Incoming>) -> Response<Page> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED);
        refused.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a valid header"));
        return refused;
    }
    let Some(path) = locate(root, request.uri().path()) else { return text(StatusCode::NOT_FOUND) };
    let opened = open_regular(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let Ok((left, file)) = opened else { return text(StatusCode::NOT_FOUND) };
    let response = Response::builder().header(CONTENT_TYPE, content_type(&path)).header(CONTENT_LENGTH, left);
    let page =
        if request.method() == Method::HEAD { Page::Text(Bytes::new()) } else { Page::File { file, left } };
    response.body(page).expect("the headers are valid")
}
