//! Running `async fn`s: a program, or a service.

use std::any::Any;
use std::cell::Cell;
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use sinbin_core::task::{self, Async, AsyncService, Conn, Handle, Pool, RunContext};

use crate::caught::{Caught, caught};
use crate::error::Error;
use crate::inbox::Inbox;
use crate::server::{Server, Settings, Stopper, Summary};
use crate::sockets;
use crate::task_failures::LogFailures;

/// Runs an async program on this thread, and returns its result. Tasks that are not over then are cancelled, and so are
/// those that they spawn; they have [`Settings::drain_timeout`] to clean up. Tasks that fail and that nobody joins are
/// [warned of](task::Reports). The program can be an `async fn` too; of an `async` closure whose last expression is
/// `Ok(..)` the compiler wants to know the error's type.
///
/// # Errors
///
/// When the system gives no poller, or no task can go on.
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

/// Serves connections at `place` by an `async fn`, which is called for each, until the process ends. What it fails
/// with is logged. `place` is an address, or a listener that is bound already.
///
/// # Errors
///
/// When the address cannot be had, the system gives no poller, or no task can go on.
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

/// Where a service can be had: an address such as `"127.0.0.1:25000"`, or a listener.
pub trait Listen {
    /// The listener.
    ///
    /// # Errors
    ///
    /// When the address is none, or cannot be had.
    fn listen(self) -> Result<TcpListener, Error>;
}

impl Listen for TcpListener {
    fn listen(self) -> Result<TcpListener, Error> {
        Ok(self)
    }
}

impl Listen for SocketAddr {
    fn listen(self) -> Result<TcpListener, Error> {
        bind(self)
    }
}

impl Listen for &str {
    fn listen(self) -> Result<TcpListener, Error> {
        let addresses = self.to_socket_addrs().map_err(Error::Bind)?;
        // As the standard library does it: the first that can be had.
        let mut last = Error::Bind(ErrorKind::InvalidInput.into());
        for address in addresses {
            match bind(address) {
                Err(error) => last = error,
                bound => return bound,
            }
        }
        Err(last)
    }
}

impl Listen for String {
    fn listen(self) -> Result<TcpListener, Error> {
        self.as_str().listen()
    }
}

/// A listener on `address`, with address reuse and a long backlog. With port 0, the system chooses one. On an IPv6 address
/// such as `[::]` it takes no IPv4 connections; [`Settings::bind`] can make one that does.
///
/// # Errors
///
/// When the address cannot be had.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    Settings::default().bind(address)
}

impl Settings {
    /// [`bind`] with these settings.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub fn bind(&self, address: SocketAddr) -> Result<TcpListener, Error> {
        sockets::bind(address, self.dual_stack).map_err(|error| Error::Listen { address, error })
    }

    /// [`run`] with these settings.
    ///
    /// # Errors
    ///
    /// As those of [`run`].
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

    /// [`serve`](serve()) with these settings, at several addresses. `started` gets a handle to stop it by, from any
    /// thread: then what was received is answered, and it returns. A panic of `started`, before anybody is served, is the
    /// caller's; one of `service` ends the connection that it is called for.
    ///
    /// # Errors
    ///
    /// As those of [`serve`](serve()).
    pub fn serve<E: Display + 'static>(
        &self,
        listeners: impl IntoIterator<Item = TcpListener>,
        started: impl FnOnce(Stopper),
        service: impl AsyncFn(Conn<'_>) -> Result<(), E>,
    ) -> Result<Summary, Error> {
        let inbox = Inbox::new();
        let warns = LogFailures::new();
        let run_context = RunContext::reporting(&inbox, &warns);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(u32::try_from(self.max_connections).unwrap_or(u32::MAX)));
        let failed = Cell::new(0);
        let serve = |conn| Reported { future: service(conn), failed: &failed };
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

pin_project! {
    /// A connection's task, whose failure is logged and counted.
    struct Reported<'a, F> {
        #[pin]
        future: F,
        failed: &'a Cell<u64>,
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
            if tracing::enabled!(tracing::Level::DEBUG) {
                // The user's code is not called while a line is being written. An error that fails to be told and then
                // panics in its destructor must not do so during the first panic.
                match caught(|| error.to_string()) {
                    Ok(error) => tracing::debug!(error, "a connection's task failed"),
                    Err(panicked) => {
                        drop(Caught::new(error));
                        panic!("{panicked}");
                    }
                }
            }
            drop(error);
            // A connection that has panicked in the meantime is counted by the host.
            this.failed.set(this.failed.get() + 1);
        }
        Poll::Ready(())
    }
}

/// Whether a task that ends with this has not failed: see [`task::Error::is_the_end`].
fn is_the_end(error: &dyn Any) -> bool {
    let boxed = error.downcast_ref::<Box<dyn std::error::Error>>();
    let error = error.downcast_ref().or_else(|| boxed?.downcast_ref());
    error.is_some_and(task::Error::is_the_end)
}
