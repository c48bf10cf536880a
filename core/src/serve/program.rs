//! Serving connections from within a program of tasks.

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::panic::Location;
use core::pin::pin;

use crate::exec::label::Label;
use crate::kernel::error::IoError;
use crate::kernel::id::TaskId;
use crate::sync::Event;
use crate::task::combine::{Either, select};
use crate::task::conn::Conn;
use crate::task::error::Error;
use crate::task::handle::Handle;
use crate::task::listener::Listener;
use crate::task::report::name_of;

impl<'d> Handle<'d> {
    /// Serves the connections of `listener` with `service`, each in a task of its own, until the loop is to
    /// [stop](Self::stopping). The connections that wait in the backlog at that time are served too. Then the listener
    /// is closed, and the future completes when every connection has ended.
    ///
    /// A connection that fails ends alone. Its error is reported ([`Reports`](crate::task::Reports); natively as a
    /// warning), unless the error only says that [its task is to end](Error::is_the_end). Dropping the future cancels
    /// the tasks of the connections.
    ///
    /// State that the connections share is captured by `service`, which the tasks borrow it from.
    ///
    /// # Errors
    ///
    /// Fails with the error of the listener, or of the task if it must not wait.
    ///
    /// ```
    /// # use core::cell::Cell;
    /// # use core::net::SocketAddr;
    /// # use sinbin_core::task::{Error, Handle};
    /// async fn count(handle: Handle<'_>, address: SocketAddr) -> Result<(), Error> {
    ///     let listener = handle.listen(address)?;
    ///     let visits = Cell::new(0);
    ///     let service = async move |conn: sinbin_core::task::Conn<'_>| {
    ///         visits.set(visits.get() + 1);
    ///         conn.send_all(&[visits.get()]).await
    ///     };
    ///     handle.serve(listener, service).await
    /// }
    /// ```
    #[track_caller]
    pub fn serve<E: Display + 'static>(
        self,
        listener: Listener<'d>,
        service: impl AsyncFn(Conn<'d>) -> Result<(), E> + 'd,
    ) -> impl Future<Output = Result<(), Error>> {
        let spawned = Location::caller();
        let served = Served {
            handle: self,
            spawned,
            service,
            tasks: RefCell::new(BTreeSet::new()),
            idle: Event::new(self),
        };
        serve(listener, Rc::new(served))
    }
}

/// The service of a listener, and the tasks of its connections.
struct Served<'d, S> {
    handle: Handle<'d>,
    spawned: &'static Location<'static>,
    service: S,
    tasks: RefCell<BTreeSet<TaskId>>,
    /// Set when the last task has ended.
    idle: Event<'d>,
}

async fn serve<'d, S, E>(listener: Listener<'d>, served: Rc<Served<'d, S>>) -> Result<(), Error>
where
    S: AsyncFn(Conn<'d>) -> Result<(), E> + 'd,
    E: Display + 'static,
{
    let handle = served.handle;
    let _cancels = Cancels(&served);
    let mut stopping = pin!(handle.stopping());
    loop {
        match select(listener.accept(), stopping.as_mut()).await {
            Either::First(Ok((conn, _))) => Served::spawn(&served, conn),
            // The host drains, and has closed the listener.
            Either::First(Err(error)) if error.io() == Some(IoError::Closed) => break,
            Either::First(Err(error)) => return Err(error),
            Either::Second(stopping) => {
                stopping?;
                while let Ok(Some((conn, _))) = listener.try_accept() {
                    Served::spawn(&served, conn);
                }
                break;
            }
        }
    }
    drop(listener);
    while !served.tasks.borrow().is_empty() {
        served.idle.clear();
        served.idle.wait().await?;
    }
    Ok(())
}

impl<'d, S, E> Served<'d, S>
where
    S: AsyncFn(Conn<'d>) -> Result<(), E> + 'd,
    E: Display + 'static,
{
    /// Spawns the task of a connection. If there is no capacity for the task, the connection is closed.
    fn spawn(this: &Rc<Self>, conn: Conn<'d>) {
        let ends = Ends { served: Rc::clone(this), task: Cell::new(None) };
        let spawned = this.handle.spawn(async move {
            ends.task.set(ends.served.handle.current().ok());
            let ended = (ends.served.service)(conn).await;
            if let Err(error) = ended
                && !Error::is_the_end_in(&error)
            {
                let label = Label { name: name_of::<S>(), spawned: ends.served.spawned };
                ends.served.handle.run_context().report(&label, &error);
            }
        });
        if let Ok(task) = spawned {
            this.tasks.borrow_mut().insert(task.task());
        }
    }
}

/// A guard in the task of a connection, which removes the task from the list when it ends.
struct Ends<'d, S> {
    served: Rc<Served<'d, S>>,
    /// The task, once it has run.
    task: Cell<Option<TaskId>>,
}

impl<S> Drop for Ends<'_, S> {
    fn drop(&mut self) {
        let Served { handle, tasks, idle, .. } = &*self.served;
        if let Some(task) = self.task.get().or_else(|| handle.current().ok()) {
            tasks.borrow_mut().remove(&task);
        }
        if tasks.borrow().is_empty() {
            // Outside of a task the loop is being dropped, and no task waits.
            idle.set().ok();
        }
    }
}

/// A guard that cancels the tasks of the connections.
struct Cancels<'a, 'd, S>(&'a Served<'d, S>);

impl<S> Drop for Cancels<'_, '_, S> {
    fn drop(&mut self) {
        let tasks = core::mem::take(&mut *self.0.tasks.borrow_mut());
        for task in tasks {
            self.0.handle.cancel(task);
        }
    }
}
