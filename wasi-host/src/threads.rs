//! The threads that wasmtime compiles on.

use rayon::ThreadPoolBuilder;

/// Compiles on as many threads as there are cores, and ends them: a process that serves is to have one. Where the system
/// gives none, this one does it all. (Rayon's own pool, which wasmtime would take, panics there.)
pub(crate) fn compile<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = ThreadPoolBuilder::new().build().or_else(|error| {
        tracing::debug!(%error, "no threads to compile on; this one does it alone");
        ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()
    });
    match pool {
        Ok(pool) => pool.install(work),
        // This way takes no thread, so nothing is left that could fail.
        Err(_) => work(),
    }
}
