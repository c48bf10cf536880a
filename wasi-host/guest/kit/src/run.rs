//! A common interface of the loops of all services.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use sinbin_core::driven::{self, Computed, Driven, DrivenHost, ServiceSettings};
use sinbin_core::job::WireJob;
use sinbin_core::task::{Async, AsyncService, Conn, Handle, Pool, RunContext};
use sinbin_core::{Instant, Service, Task as CoreTask, TaskId};

use crate::bindings::exports::sinbin::service::guest::{
    Answer, Event, Limits as Takes, Progress, Settings, Tally,
};
use crate::bindings::sinbin::service::types::Wants;
use crate::surroundings::Surrounded;
use crate::tables::Published;
use crate::wakers::{self, TaskWakers};
use crate::{convert, panics};

/// A started service.
pub trait Run {
    /// Runs a turn.
    fn turn(&mut self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer;

    /// Returns the counts since the start.
    fn counts(&self) -> Tally;

    /// Wakes a task between two turns. Returns true if the task exists.
    fn wake(&mut self, task: TaskId) -> bool;
}

impl<S> Run for Driven<S, Published>
where
    S: Service<Conn: CoreTask<DrivenHost<S, Published>>, Job: WireJob>,
{
    fn turn(&mut self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        let events = events.into_iter().map(convert::event);
        convert::answer(Driven::turn(self, Instant::from_nanos(now), window as usize, events, input))
    }

    fn counts(&self) -> Tally {
        let driven::Tally { jobs, cancelled, ignored } = Driven::counts(self);
        Tally { jobs, cancelled, ignored }
    }

    fn wake(&mut self, task: TaskId) -> bool {
        Driven::wake(self, task)
    }
}

/// Starts a service that is a state machine.
#[must_use]
pub fn machine<S>(service: S, settings: &Settings, max_jobs: u32) -> (Box<dyn Run>, Takes)
where
    S: Service<Conn: CoreTask<DrivenHost<S, Published>>, Job: WireJob> + 'static,
{
    let (run, takes) = start(settings, max_jobs).begin_in(Published::new, service);
    (Box::new(run), convert::takes(takes, Wants::empty()))
}

/// A job that other instances of a guest can compute.
pub trait GuestJob: WireJob<Output: Send + 'static> + Send + 'static {}

impl<J: WireJob<Output: Send + 'static> + Send + 'static> GuestJob for J {}

/// Starts a service that is an `async fn`. Other instances compute its jobs of type `J`.
///
/// # Errors
///
/// Fails if there are arguments, since such a service takes none.
pub fn tasks<J, M, F>(serve: M, settings: &Settings, max_jobs: u32) -> Result<(Box<dyn Run>, Takes), String>
where
    J: GuestJob,
    M: Fn(Conn<'static>) -> F + 'static,
    F: Future + 'static,
{
    refuse_arguments(settings)?;
    tasks_on::<J, _, _>(|_| Ok(serve), NO_MAIN, settings, max_jobs)
}

/// Starts a service that is an `async fn`, with the state that its connections share: `state` creates it from the handle
/// on the loop.
///
/// # Errors
///
/// Fails if the service is given arguments, because it accepts none.
pub fn tasks_with<J, T, E>(
    state: impl FnOnce(Handle<'static>) -> T,
    serve: impl AsyncFn(&T, Conn<'static>) -> Result<(), E> + 'static,
    settings: &Settings,
    max_jobs: u32,
) -> Result<(Box<dyn Run>, Takes), String>
where
    J: GuestJob,
    T: 'static,
    E: 'static,
{
    refuse_arguments(settings)?;
    tasks_of_arguments::<J, _, _>(|handle, _| Ok(state(handle)), serve, settings, max_jobs)
}

/// Starts a service that is an `async fn`, with the state that its connections share: `state` creates it from the handle
/// on the loop and the service's arguments.
///
/// # Errors
///
/// Fails if `state` does: the error is a message for the user.
pub fn tasks_of_arguments<J, T, E>(
    state: impl FnOnce(Handle<'static>, &[String]) -> Result<T, String>,
    serve: impl AsyncFn(&T, Conn<'static>) -> Result<(), E> + 'static,
    settings: &Settings,
    max_jobs: u32,
) -> Result<(Box<dyn Run>, Takes), String>
where
    J: GuestJob,
    T: 'static,
    E: 'static,
{
    let start = |handle| {
        let service = Rc::new((state(handle, &settings.arguments)?, serve));
        Ok(move |conn| {
            let service = Rc::clone(&service);
            async move {
                let (state, serve) = &*service;
                serve(state, conn).await
            }
        })
    };
    tasks_on::<J, _, _>(start, NO_MAIN, settings, max_jobs)
}

fn refuse_arguments(settings: &Settings) -> Result<(), String> {
    let Some(argument) = settings.arguments.first() else { return Ok(()) };
    let mut error = String::from("this service takes no arguments, but got ");
    error.push_str(argument);
    Err(error)
}

/// The main task of a service that has none.
const NO_MAIN: Option<fn(Handle<'static>) -> Async<'static>> = None;

/// Starts a service that is an `async fn`, and beside it the task that `main` creates.
pub(crate) fn tasks_on<J, M, F>(
    serve: impl FnOnce(Handle<'static>) -> Result<M, String>,
    main: Option<impl FnOnce(Handle<'static>) -> Async<'static>>,
    settings: &Settings,
    max_jobs: u32,
) -> Result<(Box<dyn Run>, Takes), String>
where
    J: GuestJob,
    M: Fn(Conn<'static>) -> F + 'static,
    F: Future + 'static,
{
    // The run context and the pool live as long as the instance, so leaking them is harmless.
    let handle = Handle::new(Box::leak(Box::new(RunContext::new(&TaskWakers))));
    wakers::set_loop(handle);
    let start = start(settings, max_jobs);
    let pool = Box::leak(Box::new(Pool::growing(start.takes().connections)));
    let service =
        AsyncService::new(handle, core::pin::Pin::static_ref(pool), serve(handle)?).with_jobs::<J>();
    let (mut run, takes) = start.begin_in(Published::new, service);
    if main.is_some_and(|main| run.start(main(handle)).is_err()) {
        return Err(String::from("the main task has no capacity"));
    }
    let wants = Wants::WALL_CLOCK | Wants::ENTROPY;
    Ok((Box::new(Surrounded::new(run)), convert::takes(takes, wants)))
}

/// Computes a slice of a job.
#[must_use]
pub fn compute<J: WireJob>(job: &[u8], budget: u32) -> Progress {
    panics::install();
    match driven::compute::<J>(job, budget) {
        Computed::More(job) => Progress::More(job),
        Computed::Done(output) => Progress::Done(output),
        Computed::Nonsense => Progress::Nonsense,
    }
}

/// Returns the core's settings for a loop. They contain no arguments, since the service has already parsed them.
fn start(settings: &Settings, max_jobs: u32) -> ServiceSettings {
    ServiceSettings {
        arguments: Vec::new(),
        max_connections: settings.max_connections,
        max_buffered: settings.max_buffered,
        computes: settings.computes,
        slice: settings.slice,
        max_jobs,
    }
}
