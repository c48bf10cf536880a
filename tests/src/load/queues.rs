use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;

/// The list of IPv4 sockets of the system.
const TABLE: &str = "/proc/net/tcp";

/// Returns the number of bytes that each client of `server` has sent and that the server's system has not acknowledged,
/// by the client's port. All other bytes either wait in the server's socket or have been read by the server, so they
/// count as received.
///
/// # Panics
///
/// Panics if the system cannot report them.
#[must_use]
pub fn unacknowledged(server: SocketAddr) -> HashMap<u16, usize> {
    let table = fs::read_to_string(TABLE).unwrap_or_else(|error| panic!("{TABLE}: {error}"));
    table.lines().skip(1).filter_map(|line| client_of(server.port(), line)).collect()
}

/// Returns the port and the number of unacknowledged bytes of a socket, if its peer's port is `server`.
fn client_of(server: u16, line: &str) -> Option<(u16, usize)> {
    // The fields of a line: the number, both addresses, the state, and both queues, in hexadecimal.
    let mut fields = line.split_whitespace().skip(1);
    let [local, remote, _, queues] = [(); 4].map(|()| fields.next());
    let (unacknowledged, _) = queues?.split_once(':')?;
    let is_client = port(remote?)? == server;
    is_client.then_some((port(local?)?, usize::from_str_radix(unacknowledged, 16).ok()?))
}

fn port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.split_once(':')?.1, 16).ok()
}
