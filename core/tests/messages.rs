//! The texts of errors, and the conversions from one error type to another.

use core::error::Error as StdError;

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::sync::order::OrderError;
use sinbin_core::sync::{PermitError, RecvError, SendError};
use sinbin_core::task::{Error, JobError, JoinErrorKind, SpawnError, TrySpawnError, WaitError};
use sinbin_core::time::Elapsed;
use sinbin_core::{Full, IoError, SourceId};

const REFUSED: [WaitError; 6] = [
    WaitError::Cancelled,
    WaitError::Elsewhere,
    WaitError::Wrapped,
    WaitError::TooMany,
    WaitError::Busy,
    WaitError::Full,
];

const IO: [IoError; 14] = [
    IoError::WouldBlock,
    IoError::Closed,
    IoError::Reset,
    IoError::Stopping,
    IoError::NoRoom,
    IoError::ConnectionRefused,
    IoError::Unreachable,
    IoError::TimedOut,
    IoError::AddressInUse,
    IoError::Unresolved,
    IoError::Invalid,
    IoError::TooLong,
    IoError::Unsupported,
    IoError::Os(5),
];

fn failure(op: Op, error: IoError) -> Failure {
    Failure { op, source: SourceId::from_bits(1 << 32 | 7), error }
}

/// Checks that different errors have different texts, and that each is one line without a capital or a full stop.
fn are_told_apart<T: ToString>(errors: impl IntoIterator<Item = T>) {
    let mut said: Vec<_> = errors.into_iter().map(|error| error.to_string()).collect();
    let count = said.len();
    for text in &said {
        assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{text:?}");
        // The texts of the system have a style of their own.
        let is_ours = !text.contains("os error");
        assert!(!is_ours || text.starts_with(|first: char| !first.is_uppercase()), "{text:?}");
    }
    said.sort();
    said.dedup();
    assert_eq!(said.len(), count, "{said:?}");
}

#[test]
fn a_failure_says_who_failed_doing_what_and_why() {
    let failed = failure(Op::Recv, IoError::Reset);
    assert_eq!(failed.to_string(), "recv on source 7.1: connection reset by the peer");
    assert_eq!(Error::Failed(failed).to_string(), failed.to_string());
    #[cfg(feature = "std")]
    assert_eq!(IoError::Os(5).to_string(), std::io::Error::from_raw_os_error(5).to_string());
    assert_eq!(IoError::Os(0).to_string(), "system error 0");
    assert_eq!(Error::from(PermitError::Wait(WaitError::Busy)), Error::Wait(WaitError::Busy));
    let address = ([127, 0, 0, 1], 80).into();
    let failed = Error::Address { op: Op::Recv, address, error: IoError::TooLong };
    assert_eq!(failed.to_string(), format!("recv from 127.0.0.1:80: {}", IoError::TooLong));
    assert_eq!(PermitError::Above { asked: 3, total: 2 }.to_string(), "3 permits of 2 can't be had");
    assert_eq!(
        JobError::Wait(WaitError::Full).to_string(),
        format!("the job was not begun: {}", WaitError::Full)
    );
}

#[test]
fn errors_are_told_apart() {
    are_told_apart(IO);
    are_told_apart([
        Op::Accept,
        Op::Recv,
        Op::Send,
        Op::Wait,
        Op::Listen,
        Op::Connect,
        Op::Resolve,
        Op::Shutdown,
    ]);
    are_told_apart(REFUSED);
    are_told_apart([
        JoinErrorKind::Cancelled,
        JoinErrorKind::Panicked,
        JoinErrorKind::Taken,
        JoinErrorKind::Itself,
        JoinErrorKind::Busy,
    ]);
    are_told_apart(REFUSED.map(JoinErrorKind::Wait));
    are_told_apart([SendError::Closed(()), SendError::Full(()), SendError::Wait(WaitError::Busy, ())]);
    are_told_apart([RecvError::Closed, RecvError::Wait(WaitError::Busy)]);
    are_told_apart([OrderError::Full, OrderError::Mixed, OrderError::Wait(WaitError::Busy)]);
    are_told_apart([PermitError::Above { asked: 2, total: 1 }, PermitError::Wait(WaitError::Busy)]);
    are_told_apart([
        Error::Closed,
        Error::Elapsed,
        Error::Ended,
        Error::Protocol,
        Error::Job(JobError::Failed),
        Error::Wait(WaitError::Full),
    ]);
    are_told_apart([&Full as &dyn StdError, &Elapsed, &SpawnError]);
    assert_eq!(format!("{:?}", TrySpawnError(())), "TrySpawnError(..)");
    assert_eq!(TrySpawnError(()).to_string(), SpawnError.to_string());
}

/// Errors convert to the kind of the standard library that has their meaning, and keep their text.
#[cfg(feature = "std")]
#[test]
fn an_error_becomes_one_of_the_standard_library() {
    use std::io::ErrorKind as Kind;

    let kinds = [
        Kind::WouldBlock,
        Kind::NotConnected,
        Kind::ConnectionReset,
        Kind::ConnectionAborted,
        Kind::OutOfMemory,
        Kind::ConnectionRefused,
        Kind::HostUnreachable,
        Kind::TimedOut,
        Kind::AddrInUse,
        Kind::NotFound,
        Kind::InvalidInput,
        Kind::InvalidData,
        Kind::Unsupported,
    ];
    for (error, kind) in IO.into_iter().zip(kinds) {
        let failed = Error::Failed(failure(Op::Send, error));
        for converted in [std::io::Error::from(error), failed.into()] {
            assert_eq!(converted.kind(), kind, "{error:?}");
        }
        assert_eq!(std::io::Error::from(failed).to_string(), failed.to_string());
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
        let failed = Error::Address { op: Op::Connect, address, error };
        assert_eq!((failed.io(), std::io::Error::from(failed).kind()), (Some(error), kind));
    }
    assert_eq!(std::io::Error::from(IoError::Os(0)).kind(), Kind::Other);
    assert_eq!(std::io::Error::from(IoError::Os(13)).raw_os_error(), Some(13));
    let others = [
        (Error::Wait(WaitError::Cancelled), Kind::ConnectionAborted),
        (Error::Wait(WaitError::Full), Kind::OutOfMemory),
        (Error::Wait(WaitError::Busy), Kind::Other),
        (Error::Job(JobError::Failed), Kind::Other),
        (Error::Closed, Kind::BrokenPipe),
        (Error::Elapsed, Kind::TimedOut),
        (Error::Ended, Kind::UnexpectedEof),
        (Error::TooLong { limit: 8 }, Kind::InvalidData),
        (Error::Protocol, Kind::InvalidData),
        (Error::Lagged(1), Kind::Other),
    ];
    for (error, kind) in others {
        assert_eq!(std::io::Error::from(error).kind(), kind, "{error}");
    }
}

/// The `?` operator in a task keeps the failure, or the reason of a refusal.
#[test]
fn an_error_that_is_passed_on_stays_what_it_was() {
    for refused in REFUSED {
        let passed_on = [
            Error::from(refused),
            SendError::Wait(refused, ()).into(),
            RecvError::Wait(refused).into(),
            PermitError::Wait(refused).into(),
        ];
        assert_eq!(passed_on, [Error::Wait(refused); 4]);
        assert_eq!(Error::from(refused).to_string(), refused.to_string());
        assert_eq!(Error::from(refused).io(), None);
        assert_eq!(JobError::from(refused), JobError::Wait(refused));
    }
    assert_eq!(Error::from(SendError::Closed(())), Error::Closed);
    assert_eq!(Error::from(RecvError::Closed), Error::Closed);
    assert_eq!(Error::from(SendError::Full(())), Error::Wait(WaitError::Full));
    assert_eq!(Error::from(PermitError::Above { asked: 2, total: 1 }), Error::Wait(WaitError::TooMany));
    assert_eq!(Error::from(SpawnError), Error::Wait(WaitError::Full));
    assert_eq!(Error::from(TrySpawnError(())), Error::Wait(WaitError::Full));
    assert_eq!(SpawnError::from(TrySpawnError(())), SpawnError);
    assert_eq!(WaitError::from(TrySpawnError(())), WaitError::Full);
    assert_eq!(WaitError::from(SpawnError), WaitError::Full);
    assert_eq!(JobError::from(SpawnError), JobError::Wait(WaitError::Full));
    assert_eq!(Error::from(JobError::Failed), Error::Job(JobError::Failed));
    assert_eq!(Error::from(Elapsed), Error::Elapsed);
}

/// The end of a task by its loop or by its host is no failure. No other error counts as such an end.
#[test]
fn the_end_is_no_failure() {
    let ends = REFUSED.map(|refused| Error::Wait(refused).is_the_end());
    assert_eq!(ends, [true, false, false, false, false, false]);
    for error in IO {
        let failed = Error::Failed(failure(Op::Accept, error));
        assert_eq!(failed.io(), Some(error));
        assert_eq!(failed.is_the_end(), error == IoError::Stopping, "{error}");
    }
}

/// Also if the error is boxed, or the source of a boxed error.
#[test]
fn the_end_is_found_in_errors_of_other_types() {
    /// An error with the context of another one.
    #[derive(Debug)]
    struct Context(Error);
    impl std::fmt::Display for Context {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "in a test: {}", self.0)
        }
    }
    impl std::error::Error for Context {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    for (error, ends) in [(Error::Wait(WaitError::Cancelled), true), (Error::Closed, false)] {
        let io = || std::io::Error::from(error);
        let nested = std::io::Error::other(Context(error));
        let boxed: [Box<dyn std::error::Error>; 4] =
            [error.into(), Context(error).into(), io().into(), nested.into()];
        assert_eq!(Error::is_the_end_in(&error), ends);
        assert_eq!(Error::find_in(&io()), Some(&error));
        for boxed in boxed {
            assert_eq!(Error::is_the_end_in(&boxed), ends, "{boxed}");
            assert_eq!(Error::find_in(&boxed), Some(&error), "{boxed}");
        }
    }
    assert!(!Error::is_the_end_in(&"a text"));
    let system: Box<dyn std::error::Error> = std::io::Error::from_raw_os_error(1).into();
    assert_eq!(Error::find_in(&system), None);
}

#[test]
fn errors_of_the_standard_library_become_those_of_tasks() {
    use std::io::{Error, ErrorKind as Kind};
    let kinds = [
        (Kind::WouldBlock, IoError::WouldBlock),
        (Kind::Interrupted, IoError::WouldBlock),
        (Kind::ConnectionReset, IoError::Reset),
        (Kind::BrokenPipe, IoError::Reset),
        (Kind::NotConnected, IoError::Closed),
        (Kind::ConnectionRefused, IoError::ConnectionRefused),
        (Kind::AddrInUse, IoError::AddressInUse),
        (Kind::InvalidData, IoError::Os(0)),
    ];
    for (kind, error) in kinds {
        assert_eq!(IoError::from(Error::from(kind)), error, "{kind:?}");
    }
    assert_eq!(IoError::from(Error::from_raw_os_error(1)), IoError::Os(1));
}
