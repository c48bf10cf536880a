//! Errors of [`sync`](crate::sync).

use core::fmt;

use crate::task::error::{Error, Refused};

/// A value that was not sent, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is closed.
    Closed(T),
    /// There is no room, or others wait for it; [`Channel::send`](crate::sync::Channel::send) waits.
    Full(T),
    /// The task must not wait, or is none of the channel's loop.
    Refused(Refused, T),
}

/// Why there is no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is closed, and all that was sent has been received.
    Closed,
    /// The task must not wait, or is none of the channel's loop.
    Refused(Refused),
}

impl<T> SendError<T> {
    /// The value.
    pub fn into_value(self) -> T {
        match self {
            Self::Closed(value) | Self::Full(value) | Self::Refused(_, value) => value,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("the channel is closed"),
            Self::Full(_) => f.write_str("the channel is full"),
            Self::Refused(refused, _) => refused.fmt(f),
        }
    }
}

impl<T: fmt::Debug> core::error::Error for SendError<T> {}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the channel is closed"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for RecvError {}

impl From<Refused> for RecvError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Why there is no [`Permit`](crate::sync::Permit).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PermitError {
    /// More permits were asked for than there ever are.
    Above {
        /// How many were asked for.
        asked: u32,
        /// How many there are.
        total: u32,
    },
    /// The task must not wait.
    Refused(Refused),
}

impl fmt::Display for PermitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above { asked, total } => write!(f, "{asked} permits of {total} can't be had"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for PermitError {}

impl From<Refused> for PermitError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<T> From<SendError<T>> for Error {
    fn from(error: SendError<T>) -> Self {
        match error {
            SendError::Closed(_) => Self::Closed,
            SendError::Full(_) => Self::Refused(Refused::Full),
            SendError::Refused(refused, _) => Self::Refused(refused),
        }
    }
}

impl From<RecvError> for Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Closed => Self::Closed,
            RecvError::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl From<PermitError> for Error {
    fn from(error: PermitError) -> Self {
        Self::Refused(match error {
            PermitError::Above { .. } => Refused::TooMany,
            PermitError::Refused(refused) => refused,
        })
    }
}
