//! Running `async fn`s: a program or a service.

use std::any::Any;
use std::cell::Cell;
use std::fmt::Display;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sinbin_core::IoError;
use sinbin_core::task::{self, Async, AsyncService, Conn, Handle, Pool, RunContext};

use crate::bound::{BoundListener, Listen};
use crate::caught::{Caught, caught};
use crate::error::Error;
use crate::inbox::Inbox;
use crate::server::{Server, Settings, Stopper, Summary};
use crate::task_failures::LogFailures;

/// Runs an async program on the current thread, and returns its result. Tasks that are still running at that time are
/// cancelled, and so are the tasks that they spawn. Cancelled tasks have [`Settings::drain_timeout`] to clean up.
/// Failures of tasks that no task joins are [logged as warnings](task::Reports). The program can also be an `async fn`.
/// For an `async` closure whose last expression is `Ok(..)`, the compiler needs an annotation of the error type.
///
/// # Errors
///
/// Returns [`Error::Poller`] if the system provides no poller, [`Error::Stalled`] if no task can make progress, and
/// [`Error::JobError`] if the program panics.
///
/// ```
/// use std::time::Duration;
///
/// use sinbin::task::WaitError;
///
/// let sum = sinbin::run(async |handle| {
///     let mut slow = handle.spawn(async move {
///         handle.sleep(Duration::from_millis(1)).await;
///         19
///     })?;
///     let quick = 23;
///     Ok::<_, WaitError>(quick + slow.join().await.expect("nobody cancels it"))
/// })?;
/// assert_eq!(sum, Ok(42));
/// # Ok::<(), sinbin::Error>(())
/// ```
#[track_caller]
pub fn run<T>(main: impl AsyncFnOnce(Handle<'_>) -> T) -> Result<T, Error> {
    Settings::default().run(main)
}

/// Serves connections at `place` with an `async fn`, which is called for each connection, until the process ends.
/// Errors that it returns are logged as warnings, at most 10 a second; a reset by the client is logged at the debug
/// level. To see the log, install a subscriber of the crate `tracing` first, for example by
/// `tracing_subscriber::fmt::init()`. `place` is an address, the path of a Unix socket
/// (`"unix:/run/service.sock"`), or a listener that is already bound.
///
/// # Errors
///
/// Fails if the server cannot listen on the address, if the system provides no poller, or if no task can make progress.
///
/// ```no_run
/// # async fn echo(conn: sinbin::task::Conn<'_>) -> Result<(), sinbin::task::Error> { Ok(()) }
/// sinbin::serve("127.0.0.1:25000", echo)?;
/// # Ok::<(), sinbin::Error>(())
/// ```
pub fn serve<E: Display + 'static>(
    place: impl Listen,
    service: impl AsyncFn(Conn<'_>) -> Result<(), E>,
) -> Result<Summary, Error> {
    Settings::default().serve([place.listen()?], |_| {}, service)
}

impl Settings {
    /// Runs an async program as [`run`] does, with these settings.
    ///
    /// # Errors
    ///
    /// Fails as [`run`] does.
    #[track_caller]
    pub fn run<T>(&self, main: impl AsyncFnOnce(Handle<'_>) -> T) -> Result<T, Error> {
        let inbox = Inbox::new();
        let warns = LogFailures::new();
        let run_context = RunContext::reporting(&inbox, &warns);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(0));
        let service = AsyncService::new(handle, pool.as_ref(), |_| std::future::ready(()));
        let mut server = Server::for_tasks(service, self, &inbox)?;
        let (program, mut end) = Async::new(handle, main(handle));
        server.start(program)?;
        server.run_until(|| end.is_over())?;
        end.take().ok_or(Error::JobError)
    }

    /// Serves as [`serve`](serve()) does, with these settings and at several addresses. `started` receives a handle
    /// that stops the server from any thread; the requests received so far are then answered, and the call returns. A
    /// panic of `started` occurs before any connection is served, and propagates to the caller. A panic of `service`
    /// ends only its connection.
    ///
    /// # Errors
    ///
    /// Fails as [`serve`](serve()) does.
    pub fn serve<E: Display + 'static>(
        &self,
        listeners: impl IntoIterator<Item: Into<BoundListener>>,
        started: impl FnOnce(Stopper),
        service: impl AsyncFn(Conn<'_>) -> Result<(), E>,
    ) -> Result<Summary, Error> {
        let inbox = Inbox::new();
        let warns = LogFailures::new();
        let run_context = RunContext::reporting(&inbox, &warns);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(u32::try_from(self.max_connections).unwrap_or(u32::MAX)));
        let failed = Cell::new(0);
        let warns_of_connections = LogFailures::of_connections();
        let serve = |conn| Reported { future: service(conn), failed: &failed, warns: &warns_of_connections };
        let service = AsyncService::new(handle, pool.as_ref(), serve);
        let mut server = Server::for_tasks(service, self, &inbox)?;
        for listener in listeners {
            server.listen_on(listener)?;
        }
        started(server.stopper());
        let mut summary = server.run()?;
        summary.counts.failed += failed.get();
        Ok(summary)
    }
}

/// Returns true if `error`, of any type, only says that its task is to end.
fn is_the_end(error: &dyn Any) -> bool {
    #[cfg(feature = "tls")]
    if crate::tls::TlsError::is_the_end_in(error) {
        return true;
    }
    task::Error::is_the_end_in(error)
}

pin_project! {
    /// A connection's task, whose failure is logged and counted.
    struct Reported<'a, F> {
        #[pin]
        future: F,
        failed: &'a Cell<u64>,
        warns: &'a LogFailures,
    }
}

impl<F: Future<Output = Result<(), E>>, E: Display + 'static> Future for Reported<'_, F> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let ended = ready!(this.future.poll(context));
        if let Err(error) = ended
            && !is_the_end(&error)
        {
            // A client can reset its connection at any time, which is no reason to look for a fault here.
            let warns = !is_reset(&error) && this.warns.admits();
            if warns || tracing::enabled!(tracing::Level::DEBUG) {
                // User code must not run while a log line is written. If the error panics both while it is displayed
                // and in its destructor, the second panic must not occur during the first.
                match caught(|| error.to_string()) {
                    Ok(error) if warns => tracing::warn!(error, "a connection's task failed"),
                    Ok(error) => tracing::debug!(error, "a connection's task failed"),
                    Err(panicked) => {
                        drop(Caught::new(error));
                        panic!("{panicked}");
                    }
                }
            }
            drop(error);
            // If the destructor has panicked, the host counts the connection instead.
            this.failed.set(this.failed.get() + 1);
        }
        Poll::Ready(())
    }
}

/// Returns true if the peer has reset the connection of a task that ended with this error.
fn is_reset(error: &dyn Any) -> bool {
    task::Error::find_in(error).is_some_and(|error| error.io() == Some(IoError::Reset))
}
