//! The threads on which wasmtime compiles.

use rayon::ThreadPoolBuilder;

/// Calls `work` in a thread pool with one thread per core, and ends the threads afterwards: a process that serves
/// should have one thread. If no thread can be started, this thread does all the work. (Wasmtime would use rayon's
/// global pool, which panics if it can't start threads.)
pub(crate) fn compile<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = ThreadPoolBuilder::new().build().or_else(|error| {
        tracing::debug!(%error, "cannot start threads to compile on; compiling on this thread");
        ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()
    });
    match pool {
        Ok(pool) => pool.install(work),
        // A pool that uses the current thread starts no thread, so this does not happen in practice.
        Err(_) => work(),
    }
}
