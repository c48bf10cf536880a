//! Errors of [`sync`](crate::sync).

use core::fmt;

use crate::task::error::{Error, WaitError};

/// Error returned when a value was not sent. It contains the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is closed.
    Closed(T),
    /// The channel has no free capacity, or other senders wait for it. [`Channel::send`](crate::sync::Channel::send)
    /// waits.
    Full(T),
    /// The task must not wait, or it is not a task of the channel's loop.
    Wait(WaitError, T),
}

/// Error returned when no value was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is closed, and all values that were sent have been received.
    Closed,
    /// The receiver of a [`Broadcast`](crate::sync::Broadcast) was too slow, and missed this number of messages.
    Lagged(u64),
    /// The task must not wait, or it is not a task of the channel's loop.
    Wait(WaitError),
}

impl<T> SendError<T> {
    /// Returns the value.
    pub fn into_value(self) -> T {
        match self {
            Self::Closed(value) | Self::Full(value) | Self::Wait(_, value) => value,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("the channel is closed"),
            Self::Full(_) => f.write_str("the channel is full"),
            Self::Wait(refused, _) => refused.fmt(f),
        }
    }
}

impl<T: fmt::Debug> core::error::Error for SendError<T> {}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the channel is closed"),
            Self::Lagged(missed) => Error::Lagged(*missed).fmt(f),
            Self::Wait(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for RecvError {}

impl From<WaitError> for RecvError {
    fn from(refused: WaitError) -> Self {
        Self::Wait(refused)
    }
}

/// Error returned when no [`Permit`](crate::sync::Permit) was acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PermitError {
    /// More permits were requested than the semaphore has in total.
    Above {
        /// The number of permits that were requested.
        asked: u32,
        /// The number of permits that the semaphore has.
        total: u32,
    },
    /// The task must not wait.
    Wait(WaitError),
}

impl fmt::Display for PermitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above { asked, total } => write!(f, "{asked} permits of {total} can't be had"),
            Self::Wait(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for PermitError {}

impl From<WaitError> for PermitError {
    fn from(refused: WaitError) -> Self {
        Self::Wait(refused)
    }
}

impl<T> From<SendError<T>> for Error {
    fn from(error: SendError<T>) -> Self {
        match error {
            SendError::Closed(_) => Self::Closed,
            SendError::Full(_) => Self::Wait(WaitError::Full),
            SendError::Wait(refused, _) => Self::Wait(refused),
        }
    }
}

impl From<RecvError> for Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Closed => Self::Closed,
            RecvError::Lagged(missed) => Self::Lagged(missed),
            RecvError::Wait(refused) => Self::Wait(refused),
        }
    }
}

impl From<PermitError> for Error {
    fn from(error: PermitError) -> Self {
        Self::Wait(match error {
            PermitError::Above { .. } => WaitError::TooMany,
            PermitError::Wait(refused) => refused,
        })
    }
}
