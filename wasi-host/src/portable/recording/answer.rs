//! The encoding of the result of a call: a byte for its kind, and the value, the error, or the reason of the trap.

use std::fmt::Write;

use wasmtime::Error;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::filesystem::types as filesystem;
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::p2::{FsError, SocketError, StreamError};

use super::super::io::Ended;
use super::format::MAX_REASON;
use super::value::Value;

/// Kinds of results.
const OK: u8 = 0;
const TRAP: u8 = 1;
const ERROR: u8 = 2;
/// An error of a stream that carries the system's error, which the guest receives as a resource.
const FAILED: u8 = 3;

/// Kinds of traps.
const MESSAGE: u8 = 0;
const EXIT: u8 = 1;
const CUT: u8 = 2;
const DRAINED: u8 = 3;

/// The result of a call.
pub(super) trait Answer: Sized {
    /// Appends the encoded result, and returns it.
    fn put(self, out: &mut Vec<u8>) -> Self;

    /// Decodes a result, and removes it from `input`. Returns `None` if the input is no such result.
    fn take(input: &mut &[u8]) -> Option<Self>;

    /// Creates a result that traps.
    fn trap(error: Error) -> Self;

    /// Appends the result in the form of a trace.
    fn show(self, out: &mut String);
}

/// The error of a call.
pub(super) trait Failure: Sized {
    /// Appends the encoded error, which begins with its kind, and returns it.
    fn put(self, out: &mut Vec<u8>) -> Self;

    /// Decodes an error of this kind.
    fn take(kind: u8, input: &mut &[u8]) -> Option<Self>;

    /// Creates an error that traps.
    fn trap(error: Error) -> Self;

    /// Appends the error in the form of a trace.
    fn show(self, out: &mut String);
}

impl<T: Value, E: Failure> Answer for Result<T, E> {
    fn put(self, out: &mut Vec<u8>) -> Self {
        match self {
            Ok(value) => {
                out.push(OK);
                value.put(out);
                Ok(value)
            }
            Err(error) => Err(error.put(out)),
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match u8::take(input)? {
            OK => T::take(input).map(Ok),
            TRAP => take_trap(input).map(|error| Err(E::trap(error))),
            kind => E::take(kind, input).map(Err),
        }
    }

    fn trap(error: Error) -> Self {
        Err(E::trap(error))
    }

    fn show(self, out: &mut String) {
        match self {
            Ok(value) if size_of::<T>() > 0 => value.show(out),
            Ok(_) => out.push_str("ok"),
            Err(error) => error.show(out),
        }
    }
}

/// Returns the message of a trap, without its backtrace.
pub(super) fn message(error: &Error) -> String {
    let mut text = error.root_cause().to_string();
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text
}

fn put_trap(error: &Error, out: &mut Vec<u8>) {
    out.push(TRAP);
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(I32Exit(code)), _) => {
            out.push(EXIT);
            code.cast_unsigned().put(out);
        }
        (_, Some(Ended::Cut)) => out.push(CUT),
        (_, Some(Ended::Drained)) => out.push(DRAINED),
        (None, None) => {
            out.push(MESSAGE);
            message(error).put(out);
        }
    }
}

fn take_trap(input: &mut &[u8]) -> Option<Error> {
    Some(match u8::take(input)? {
        MESSAGE => Error::msg(String::take(input)?),
        EXIT => I32Exit(u32::take(input)?.cast_signed()).into(),
        CUT => Ended::Cut.into(),
        DRAINED => Ended::Drained.into(),
        _ => return None,
    })
}

fn show_trap(error: &Error, out: &mut String) {
    match error.downcast_ref() {
        Some(I32Exit(code)) => write!(out, "exit {code}").ok(),
        None => write!(out, "trap: {}", message(error).escape_debug()).ok(),
    };
}

impl Failure for Error {
    fn put(self, out: &mut Vec<u8>) -> Self {
        put_trap(&self, out);
        self
    }

    fn take(_: u8, _: &mut &[u8]) -> Option<Self> {
        None
    }

    fn trap(error: Error) -> Self {
        error
    }

    fn show(self, out: &mut String) {
        show_trap(&self, out);
    }
}

macro_rules! trappable {
    ($($type:ty: $code:ty;)*) => {$(
        impl Failure for $type {
            fn put(self, out: &mut Vec<u8>) -> Self {
                match self.downcast() {
                    Ok(code) => {
                        out.push(ERROR);
                        <$code as Value>::put(&code, out);
                        code.into()
                    }
                    Err(error) => {
                        put_trap(&error, out);
                        Self::trap(error)
                    }
                }
            }

            fn take(kind: u8, input: &mut &[u8]) -> Option<Self> {
                if kind == ERROR { <$code as Value>::take(input).map(Into::into) } else { None }
            }

            fn trap(error: Error) -> Self {
                Self::trap(error)
            }

            fn show(self, out: &mut String) {
                match self.downcast() {
                    Ok(code) => {
                        out.push_str("error ");
                        <$code as Value>::show(&code, out);
                    }
                    Err(error) => show_trap(&error, out),
                }
            }
        }
    )*};
}

trappable! {
    SocketError: network::ErrorCode;
    FsError: filesystem::ErrorCode;
}

impl Failure for StreamError {
    fn put(self, out: &mut Vec<u8>) -> Self {
        match &self {
            Self::Closed => out.push(ERROR),
            Self::LastOperationFailed(_) => out.push(FAILED),
            Self::Trap(error) => put_trap(error, out),
        }
        self
    }

    fn take(kind: u8, _: &mut &[u8]) -> Option<Self> {
        match kind {
            ERROR => Some(Self::Closed),
            FAILED => Some(Self::LastOperationFailed(Error::msg("recorded"))),
            _ => None,
        }
    }

    fn trap(error: Error) -> Self {
        Self::Trap(error)
    }

    fn show(self, out: &mut String) {
        match self {
            Self::Closed => out.push_str("error closed"),
            Self::LastOperationFailed(_) => out.push_str("error last-operation-failed"),
            Self::Trap(error) => show_trap(&error, out),
        }
    }
}
