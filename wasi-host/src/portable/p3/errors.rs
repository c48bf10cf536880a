//! Conversions of the errors of WASI 0.2, which the shared sockets report, to those of WASI 0.3.

use rustix::io::Errno;
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as Old;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;
use wasmtime_wasi::p3::sockets::SocketError;

/// Converts an error of a socket. A trap remains a trap.
pub(super) fn socket_error(error: p2::SocketError) -> SocketError {
    match error.downcast() {
        Ok(code) => of(code).into(),
        Err(trap) => SocketError::trap(trap),
    }
}

/// Converts an error code. WASI 0.3 has none for a limit of the host on the number of sockets.
fn of(code: Old) -> ErrorCode {
    match code {
        Old::AccessDenied => ErrorCode::AccessDenied,
        Old::NotSupported => ErrorCode::NotSupported,
        Old::InvalidArgument => ErrorCode::InvalidArgument,
        Old::OutOfMemory => ErrorCode::OutOfMemory,
        Old::Timeout => ErrorCode::Timeout,
        Old::ConcurrencyConflict | Old::NotInProgress | Old::InvalidState => ErrorCode::InvalidState,
        Old::NewSocketLimit => ErrorCode::Other(Some("new-socket-limit".to_owned())),
        Old::AddressNotBindable => ErrorCode::AddressNotBindable,
        Old::AddressInUse => ErrorCode::AddressInUse,
        Old::RemoteUnreachable => ErrorCode::RemoteUnreachable,
        Old::ConnectionRefused => ErrorCode::ConnectionRefused,
        Old::ConnectionReset => ErrorCode::ConnectionReset,
        Old::ConnectionAborted => ErrorCode::ConnectionAborted,
        Old::DatagramTooLarge => ErrorCode::DatagramTooLarge,
        Old::Unknown
        | Old::WouldBlock
        | Old::NameUnresolvable
        | Old::TemporaryResolverFailure
        | Old::PermanentResolverFailure => ErrorCode::Other(None),
    }
}

/// Converts an error of the system from sending or receiving.
pub(super) fn of_system(error: Errno) -> ErrorCode {
    match error {
        Errno::PIPE => ErrorCode::ConnectionBroken,
        error => error.into(),
    }
}

/// Returns true if the operation has to wait.
pub(super) fn would_block(error: &p2::SocketError) -> bool {
    matches!(error.downcast_ref(), Some(Old::WouldBlock))
}

/// Converts an error of a lookup.
///
/// # Errors
///
/// A trap remains a trap.
pub(super) fn lookup_error(error: p2::SocketError) -> wasmtime::Result<LookupError> {
    Ok(match error.downcast()? {
        Old::AccessDenied => LookupError::AccessDenied,
        Old::InvalidArgument => LookupError::InvalidArgument,
        Old::NameUnresolvable => LookupError::NameUnresolvable,
        Old::TemporaryResolverFailure => LookupError::TemporaryResolverFailure,
        Old::PermanentResolverFailure => LookupError::PermanentResolverFailure,
        _ => LookupError::Other(None),
    })
}
