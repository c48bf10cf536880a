//! Errors of HTTP connections.

use std::error::Error as _;
use std::fmt;

use sinbin_core::task;

/// Error returned when an HTTP connection ends early.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The error of the connection.
    Connection(task::Error),
    /// The error of hyper: a message that cannot be parsed, for example.
    Http(hyper::Error),
    /// The client sent no complete request in time, or no answer to a PING of HTTP/2.
    Late,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Http(error) => match error.source() {
                Some(source) => write!(f, "{error}: {source}"),
                None => error.fmt(f),
            },
            Self::Late => f.write_str("the client sent no complete request, or no answer to a PING, in time"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Http(error) => error.source(),
            Self::Late => None,
        }
    }
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl From<task::Error> for HttpError {
    fn from(error: task::Error) -> Self {
        Self::Connection(error)
    }
}
