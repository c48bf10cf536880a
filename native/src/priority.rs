//! The priority of worker threads: below the loop's, so that where both want a core the loop has it.

/// Lowers the calling thread's priority as far as it goes. (In David Beazley's measurements, and in ours, a
/// thread that computes takes the processor from one that mostly waits.)
#[cfg(target_os = "linux")]
pub(crate) fn lower() {
    // On Linux the priority of "process 0" is that of the calling thread alone.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::warn!(%error, "a worker keeps its priority");
    }
}

/// Elsewhere a thread has no priority of its own that one could lower without rights.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lower() {}
