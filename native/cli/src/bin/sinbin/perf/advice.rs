//! Advice for errors of the system.

use std::error::Error;
use std::io::{self, ErrorKind};

#[cfg(unix)]
use rustix::io::Errno;

use super::client::fibonacci;

/// Returns the advice for this error, if any.
pub(crate) fn on(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::ConnectionRefused => "is `sinbin serve fib` running there?",
        ErrorKind::TimedOut => {
            "no answer arrived: is there a firewall, or a server that does not accept connections?"
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "this machine has no route to the server: is the address right?"
        }
        ErrorKind::AddrNotAvailable => {
            "no local port is free, or the address is not one to connect to: use fewer --connections, or wait a minute \
             until the ports of closed connections are free"
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            "the server aborted the connection: is it a fib server, and is it below its limit of connections?"
        }
        ErrorKind::PermissionDenied => "the system forbids it: is there a firewall?",
        _ if is_exhaustion(error) => {
            "this process or the system has reached a limit: use fewer --connections, or raise `ulimit -n`"
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

/// Returns what a wrong reply to the request `n` says about the server, if anything. The errors of a fib server speak for
/// themselves.
pub(crate) fn on_reply(n: u32, said: &str) -> Option<String> {
    let line = said.trim();
    if line.starts_with("error") {
        return None;
    }
    Some(if line == n.to_string() {
        "it sends back what it receives, so it is no fib server; start one: `sinbin serve fib`".to_owned()
    } else if line.starts_with("HTTP/") {
        "it speaks HTTP, so it is no fib server: is the port right?".to_owned()
    } else if line.starts_with("SSH-") {
        "it speaks SSH, so it is no fib server: is the port right?".to_owned()
    } else if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("fib({n}) is {}", fibonacci(n))
    } else {
        "this is no answer of a fib server: is the address right?".to_owned()
    })
}

/// Returns the error message, with advice if the system caused the error.
pub(crate) fn with(error: &sinbin::Error) -> String {
    let cause = error.source().and_then(|source| source.downcast_ref());
    let advice = cause.and_then(on).map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("{error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_reply_shows_which_server_it_is() {
        for (said, part) in [
            ("30\n", "sends back"),
            ("30", "sends back"),
            ("HTTP/1.1 400 Bad Request\r\n", "HTTP"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            ("31\n", "fib(30) is 832040"),
            ("hello\n", "no answer of a fib server"),
            ("", "no answer of a fib server"),
            ("220 mail ready\r\n", "no answer of a fib server"),
        ] {
            assert!(on_reply(30, said).is_some_and(|advice| advice.contains(part)), "{said}");
        }
        assert_eq!(on_reply(30, "error: n is over the limit of 20\n"), None);
    }

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
        assert_eq!(hints, 1, "only one of them suggests that no server runs there");
        all.dedup();
        assert_eq!(all.len(), kinds.len() + usize::from(cfg!(unix)));
        assert_eq!(on(&ErrorKind::Other.into()), None);
    }
}
