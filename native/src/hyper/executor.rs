//! The executor for the streams of HTTP/2.

use sinbin_core::task::Handle;

/// Spawns the futures of hyper as tasks of a loop.
///
/// A future that finds no capacity is dropped, which resets its stream of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Executor<'d>(Handle<'d>);

impl<'d> Executor<'d> {
    /// Creates the executor of a loop.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self(handle)
    }
}

impl<'d, F: Future + 'd> hyper::rt::Executor<F> for Executor<'d> {
    fn execute(&self, future: F) {
        if let Err(error) = self.0.spawn(future) {
            tracing::debug!(%error, "a stream of HTTP/2 is reset");
        }
    }
}
