//! The limit on file descriptors, which may be lower than the connections need.

/// The number of descriptors reserved for other uses: listeners, the poller and its timer, the standard streams.
#[cfg(unix)]
const OTHERS: u64 = 128;

/// Raises the soft limit as far as `connections` need and the hard limit allows. Many systems set the soft limit to
/// 1,024 for programs that use `select`, which this program does not. Returns the number of connections, up to
/// `connections`, that have descriptors then.
#[cfg(unix)]
pub fn make_room_for(connections: u32) -> u32 {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    let wanted = u64::from(connections) + OTHERS;
    let Some(soft) = limit.current.filter(|soft| *soft < wanted) else {
        return connections;
    };
    let possible = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    limit.current = Some(possible);
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { possible } else { soft };
    if now < wanted {
        tracing::info!(
            descriptors = now,
            connections,
            "the limit on descriptors is lower than the connections need, so some of them may have to wait; raise it \
             by `ulimit -n`"
        );
    }
    // With a very low limit, the other uses get half of it.
    u32::try_from(now - OTHERS.min(now / 2)).map_or(connections, |room| room.min(connections))
}

/// Returns `connections`: other systems have no such limit.
#[cfg(not(unix))]
pub fn make_room_for(connections: u32) -> u32 {
    connections
}
