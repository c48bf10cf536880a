//! The priority of worker threads. The priority of a worker is lower than that of the loop, so that the loop runs if
//! both need the same core.

/// Lowers the calling thread's priority as far as possible. (In David Beazley's measurements, and in ours, a thread
/// that computes takes the processor from a thread that mostly waits.)
#[cfg(target_os = "linux")]
pub(crate) fn lower() {
    // On Linux, "process 0" denotes the calling thread, not the whole process.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::warn!(%error, "a worker keeps its priority");
    }
}

/// Does nothing: on other systems, a thread has no priority of its own that it can lower without privileges.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lower() {}
