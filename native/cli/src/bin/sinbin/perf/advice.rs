//! Advice for errors of the system's.

use std::error::Error;
use std::io::{self, ErrorKind};

#[cfg(unix)]
use rustix::io::Errno;

/// Returns advice for the user, if there is any for this error.
pub(crate) fn on(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::ConnectionRefused => "is `sinbin serve fib` running there?",
        ErrorKind::TimedOut => {
            "nothing came back: is there a firewall, or a server that takes no connections?"
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "no network of this machine leads there: is the address right?"
        }
        ErrorKind::AddrNotAvailable => {
            "no port is left here, or the address is none to connect to: take fewer --connections, or wait a minute for the \
             ports of old ones"
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            "somebody listens there and broke the connection off: is it a server of this kind, and has it room?"
        }
        ErrorKind::PermissionDenied => "the system does not allow it: is there a firewall?",
        _ if is_exhaustion(error) => {
            "this process or the system is at a limit: take fewer --connections, or raise `ulimit -n`"
        }
        _ => return None,
    })
}

/// Returns true if the system has no descriptors or memory left.
fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(Errno::MFILE | Errno::NFILE) = Errno::from_io_error(error) {
        return true;
    }
    error.kind() == ErrorKind::OutOfMemory
}

/// Returns the error, with advice if it comes from the system.
pub(crate) fn with(error: &sinbin::Error) -> String {
    let cause = error.source().and_then(|source| source.downcast_ref());
    let advice = cause.and_then(on).map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("{error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_advice_of_its_own() {
        let kinds = [
            ErrorKind::ConnectionRefused,
            ErrorKind::TimedOut,
            ErrorKind::NetworkUnreachable,
            ErrorKind::AddrNotAvailable,
            ErrorKind::ConnectionReset,
            ErrorKind::PermissionDenied,
        ];
        let mut all: Vec<_> = kinds.map(|kind| on(&kind.into())).to_vec();
        #[cfg(unix)]
        all.push(on(&io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())));
        assert!(all.iter().all(Option::is_some), "{all:?}");
        let hints = all.iter().flatten().filter(|advice| advice.contains("running there?")).count();
        assert_eq!(hints, 1, "only one of them says that nobody is there");
        all.dedup();
        assert_eq!(all.len(), kinds.len() + usize::from(cfg!(unix)));
        assert_eq!(on(&ErrorKind::Other.into()), None);
    }
}
