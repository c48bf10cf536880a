use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;

/// Sockets of IPv4, as the system lists them.
const TABLE: &str = "/proc/net/tcp";

/// How many bytes each client of `server` has sent that are not with the server's system yet, by the client's port.
/// All others wait there for the server or have been read by it, so they count as received.
///
/// # Panics
///
/// When the system does not say.
#[must_use]
pub fn unacknowledged(server: SocketAddr) -> HashMap<u16, usize> {
    let table = fs::read_to_string(TABLE).unwrap_or_else(|error| panic!("{TABLE}: {error}"));
    table.lines().skip(1).filter_map(|line| client_of(server.port(), line)).collect()
}

/// The port and the unacknowledged bytes of a socket, if its peer's port is `server`.
fn client_of(server: u16, line: &str) -> Option<(u16, usize)> {
    // The number, both addresses, the state, and both queues, in hexadecimal.
    let mut fields = line.split_whitespace().skip(1);
    let [local, remote, _, queues] = [(); 4].map(|()| fields.next());
    let (unacknowledged, _) = queues?.split_once(':')?;
    let is_client = port(remote?)? == server;
    is_client.then_some((port(local?)?, usize::from_str_radix(unacknowledged, 16).ok()?))
}

fn port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.split_once(':')?.1, 16).ok()
}
