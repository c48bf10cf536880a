//! File descriptors: a process may have fewer than its connections need.

/// Descriptors that are not connections: listeners, the poller and its timer, the standard streams.
#[cfg(unix)]
const OTHERS: u64 = 128;

/// Raises the soft limit as far as `connections` need and the hard limit allows. Many systems set it to 1,024
/// for the sake of programs that use `select`, which this one does not.
#[cfg(unix)]
pub fn make_room_for(connections: u32) {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    let wanted = u64::from(connections) + OTHERS;
    let Some(soft) = limit.current.filter(|soft| *soft < wanted) else {
        return;
    };
    let possible = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    limit.current = Some(possible);
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { possible } else { soft };
    if now < wanted {
        tracing::info!(
            descriptors = now,
            connections,
            "the system allows fewer descriptors than connections; more clients wait (see ulimit -n)"
        );
    }
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn make_room_for(_: u32) {}
