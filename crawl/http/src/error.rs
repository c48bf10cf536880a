//! Errors of fetches.

use std::error::Error;
use std::time::Duration;

use sinbin_core::task;
use sinbin_crawl::FailureKind;

/// Error returned when a URL has no complete response. It does not contain the URL, which its reporter knows.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Error returned if the URL is neither of http nor of https.
    #[error("the scheme {0}: is not fetched")]
    Scheme(String),
    /// Error returned if the URL does not fit a request.
    #[error("the URL does not fit a request")]
    Url,
    /// Error returned if there is no connection: its name was not resolved, for example, or no address is permitted.
    #[error("{text}")]
    Connect {
        /// The class of the failure.
        kind: FailureKind,
        /// The message.
        text: String,
    },
    /// Error returned if a time limit has expired.
    #[error("no {what} within {}", humantime::format_duration(*.limit))]
    Late {
        /// The event that did not come.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// Error returned if the exchange of a request and a response fails.
    #[error("{}", chain(.0))]
    Http(hyper::Error),
    /// Error returned if the body is not what its `Content-Encoding` says.
    #[error("the body is not valid {coding}: {reason}")]
    Coding {
        /// The coding.
        coding: &'static str,
        /// The error of the decoder.
        reason: String,
    },
    /// Error returned if the body has an unknown `Content-Encoding`.
    #[error("the content coding {0:?} is unknown")]
    UnknownCoding(String),
}

impl FetchError {
    /// Returns true if a server that closes a connection between two requests may be the cause.
    pub(crate) fn is_perhaps_stale(&self) -> bool {
        match self {
            Self::Http(error) => {
                error.is_canceled()
                    || error.is_closed()
                    || error.is_incomplete_message()
                    || is_broken(error)
                    || is_unprocessed(error)
            }
            _ => false,
        }
    }

    /// Returns the kind of the error, by which the crawl decides whether to try again.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Scheme(_) | Self::Url => FailureKind::Other,
            Self::Connect { kind, .. } => *kind,
            Self::Late { .. } => FailureKind::Timeout,
            Self::Http(error) if is_broken(error) || is_unprocessed(error) => FailureKind::Reset,
            Self::Http(error) if error.is_incomplete_message() || is_cut(error) => FailureKind::Truncated,
            Self::Http(_) => FailureKind::Protocol,
            Self::Coding { .. } | Self::UnknownCoding(_) => FailureKind::Decode,
        }
    }
}

/// Returns the errors of a chain, except for those that repeat their source.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in causes(error) {
        let reason = reason(error);
        if text.is_empty() {
            text = reason;
        } else if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
    }
    text
}

/// Returns the text of an error. That of a connection is the system's: the number of a source is of no use to a user.
fn reason(error: &(dyn Error + 'static)) -> String {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let task_error = inner.and_then(|inner| inner.downcast_ref::<task::Error>());
    task_error.and_then(task::Error::io).map_or_else(|| error.to_string(), |error| error.to_string())
}

/// Returns the errors that caused `error`, and it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns the errors of the system that caused `error`.
fn system_errors(error: &hyper::Error) -> impl Iterator<Item = std::io::ErrorKind> {
    causes(error).filter_map(|error| error.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

/// Returns true if the connection was reset.
fn is_broken(error: &hyper::Error) -> bool {
    use std::io::ErrorKind as Kind;
    system_errors(error).any(|kind| {
        matches!(
            kind,
            Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted | Kind::NotConnected
        )
    })
}

/// Returns true if the connection ended within a body.
fn is_cut(error: &hyper::Error) -> bool {
    system_errors(error).any(|kind| kind == std::io::ErrorKind::UnexpectedEof)
}

/// Returns true if the server of an HTTP/2 connection has not processed the request: it refused the stream, or it closes
/// the connection, as nginx does after 1000 requests.
fn is_unprocessed(error: &hyper::Error) -> bool {
    // The types of these errors belong to h2, which hyper does not re-export.
    const TEXTS: [&str; 2] = ["refused stream", "connection error received: not a result of an error"];
    causes(error).any(|error| {
        let text = error.to_string();
        TEXTS.iter().any(|unprocessed| text.contains(unprocessed))
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use hyper::Request;
    use hyper::client::conn::http2;
    use sinbin::Settings;
    use sinbin::hyper::{Executor, detach};

    use super::*;
    use crate::connect::NoBody;

    /// The type of the frame with the head of a request.
    const HEADERS: u8 = 1;

    /// Reads an HTTP/2 connection up to its first request, and answers with `frame`.
    fn answer(mut stream: UnixStream, frame: &[u8]) -> io::Result<()> {
        stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()])?;
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        stream.write_all(&settings)?;
        let mut head = [0; 9];
        while head[3] != HEADERS {
            stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            io::copy(&mut (&stream).take(length.into()), &mut io::sink())?;
        }
        stream.write_all(frame)?;
        // The client closes the connection.
        io::copy(&mut stream, &mut io::sink()).map(drop)
    }

    /// Returns the error of a request whose server answers with `frame`.
    fn error_after(frame: &'static [u8]) -> FetchError {
        let (client, server) = UnixStream::pair().expect("two sockets");
        let server = thread::spawn(move || answer(server, frame));
        let error = Settings::default().run(async |handle| {
            let (io, moves) = detach(handle.adopt(client).expect("a socket"));
            handle
                .spawn(async move {
                    moves.await.ok();
                })
                .expect("a task");
            let builder = http2::Builder::new(Executor::new(handle));
            let (mut sender, connection) = builder.handshake::<_, NoBody>(io).await.expect("a connection");
            handle
                .spawn(async move {
                    connection.await.ok();
                })
                .expect("a task");
            let request = Request::get("http://a.example/").body(NoBody::new()).expect("a request");
            FetchError::Http(sender.send_request(request).await.expect_err("no response comes"))
        });
        server.join().expect("no panic").ok();
        error.expect("the loop runs")
    }

    /// The texts of the errors are those of h2, and can change with its version.
    #[test]
    fn a_request_that_was_not_processed_is_sent_again() {
        let refused: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
        let graceful: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for frame in [refused, graceful] {
            let error = error_after(frame);
            assert!(error.is_perhaps_stale() && error.kind() == FailureKind::Reset, "{error:?}");
        }
        let cancelled: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
        let excessive: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
        for frame in [cancelled, excessive] {
            let error = error_after(frame);
            assert!(!error.is_perhaps_stale() && error.kind() == FailureKind::Protocol, "{error:?}");
        }
    }
}
