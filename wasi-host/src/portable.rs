//! Running ordinary WASI 0.2 commands: guests that know nothing of sinbin, on wasmtime-wasi.
//!
//! A guest gets its arguments, stdout and stderr, the clocks and random numbers; it listens and connects where
//! [`Settings`] say so, and nowhere else. It gets no file, no environment, no UDP and no names of hosts. Its stdin
//! is empty, and ends when it is to stop ([`Stopper`]).
//!
//! Such a guest keeps its own loop: `poll` is a call into wasmtime-wasi, which looks at the whole list each time. Where it does
//! not end by itself when it is asked to, it is ended: see [`Settings::drain_timeout`].

mod limits;
mod network;
mod output;
mod poll;
mod stopper;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Component, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::add_to_linker_async;
use wasmtime_wasi::p2::bindings::{Command, CommandPre};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

pub use network::{Network, Peer};
pub use output::Output;
pub use stopper::{Stopper, stopper};

use limits::Limits;
use output::{Lines, Waiting};
use poll::Polls;
use stopper::Stopping;

/// Bytes that a guest may hand over in one call, beside a list of resources.
const PIECE: usize = 1 << 20;

/// Random bytes that a guest gets in one call.
const MAX_RANDOM: u64 = 1 << 20;

/// The settings that a guest is run with.
pub struct Settings {
    /// The name that the guest is told it is called by.
    pub program: String,
    /// Its arguments, behind the name.
    pub arguments: Vec<String>,
    /// The addresses where it may listen and connect.
    pub network: Network,
    /// The most linear memory it may have, in bytes; it is ended where it wants more.
    pub max_memory: usize,
    /// How many resources it may hold at a time: sockets, streams, pollables. It is ended where it wants more, and where it
    /// polls more of them at once.
    pub max_resources: usize,
    /// The end of its stdin, which is the request to stop.
    pub stopping: Stopping,
    /// The place for its stdout. The guest waits while that has no room.
    pub stdout: Arc<dyn Output>,
    /// Called with each line of its stderr, without the line's end. The rest of a line that is longer than 1 KiB counts as
    /// another line. A line is what the guest wrote, control characters and all.
    pub stderr: fn(&str),
    /// How long it may take to end, once its stdin has; and a second more, so that a guest which knows of the same limit is
    /// not cut short while it keeps to it. Then it is ended wherever it is. `None` is for ever.
    ///
    /// A guest that computes is interrupted when a [`Ticker`](crate::Ticker) ticks.
    pub drain_timeout: Option<Duration>,
}

/// How a guest ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// By itself, with this exit code.
    Exited(i32),
    /// The guest was asked to end, and did not in its time.
    Cut,
}

/// An error in a guest, or before it began.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system gives nothing to wait with.
    #[error("cannot wait for the guest's sockets: {0}")]
    Runtime(std::io::Error),
    /// It wants something that is not there, exports no `wasi:cli/run`, or wants more memory than it may have at once.
    #[error("the guest cannot be started as a WASI 0.2 command: {0:#}")]
    Link(wasmtime::Error),
    /// It trapped, or wanted more memory than it may have. The message has its backtrace.
    #[error("the guest trapped: {}", crate::error::report(.0))]
    Trap(wasmtime::Error),
}

/// What the host keeps for a guest.
struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: Limits,
    polls: Polls,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Finds out whether a command would find what it imports here.
///
/// # Errors
///
/// Names what is missing.
pub fn check(component: &Component) -> Result<(), Error> {
    let command = linker(component.engine())?.instantiate_pre(component).and_then(CommandPre::new);
    command.map(drop).map_err(Error::Link)
}

/// Finds out whether all that a component imports is there; it need not be a command.
pub(crate) fn check_imports(component: &Component) -> Result<(), Error> {
    linker(component.engine())?.instantiate_pre(component).map(drop).map_err(Error::Link)
}

/// Runs a command to its end, on this thread, which must not be one of tokio's.
///
/// # Errors
///
/// When it cannot be linked, and when it traps.
pub fn run(engine: &Engine, component: &Component, settings: Settings) -> Result<Outcome, Error> {
    let linker = linker(engine)?;
    // Sockets and timers are looked at by the thread that waits for them: one of tokio's own would have to wake it.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let end = settings.stopping.end(settings.drain_timeout).map_err(Error::Runtime)?;
        let guest = async {
            let mut store = store(engine, settings)?;
            let command =
                Command::instantiate_async(&mut store, component, &linker).await.map_err(Error::Link)?;
            match command.wasi_cli_run().call_run(&mut store).await {
                Ok(ended) => Ok(Outcome::Exited(ended.is_err().into())),
                Err(error) => match error.downcast_ref::<I32Exit>() {
                    Some(exit) => Ok(Outcome::Exited(exit.0)),
                    None => Err(Error::Trap(error)),
                },
            }
        };
        // Tokio has a task pretend, after 128 operations, that nothing is ready, until it gives way to others. There are none
        // here, and a guest that asks for more sockets than that at once would never hear of the rest.
        let mut guest = pin!(tokio::task::unconstrained(guest));
        let mut end = pin!(end);
        poll_fn(|cx| match guest.as_mut().poll(cx) {
            Poll::Pending => end.as_mut().poll(cx).map(|()| Ok(Outcome::Cut)),
            ended => ended,
        })
        .await
    })
}

fn linker(engine: &Engine) -> Result<Linker<Guest>, Error> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker).and_then(|()| poll::add_to_linker(&mut linker)).map_err(Error::Link)?;
    Ok(linker)
}

fn store(engine: &Engine, settings: Settings) -> Result<Store<Guest>, Error> {
    let Settings { program, arguments, network, max_memory, max_resources, stopping, stdout, stderr, .. } =
        settings;
    let mut wasi = WasiCtx::builder();
    wasi.arg(program)
        .args(&arguments)
        .stdin(stopping.into_stdin().map_err(Error::Runtime)?)
        .stdout(Waiting::new(stdout))
        .stderr(Lines::new(stderr));
    wasi.allow_tcp(true).allow_udp(false).allow_ip_name_lookup(false);
    wasi.socket_addr_check(move |address, purpose| {
        let allowed = network.allows(address, purpose);
        Box::pin(async move { allowed })
    });
    wasi.max_random_size(MAX_RANDOM);
    let mut table = ResourceTable::new();
    table.set_max_capacity(max_resources);
    let guest = Guest { wasi: wasi.build(), table, limits: Limits::new(max_memory), polls: Polls::default() };
    let mut store = Store::new(engine, guest);
    // Bytes that it may hand over in one call: a piece of a stream, or a list of all that it has.
    store.set_hostcall_fuel(max_resources.saturating_mul(size_of::<Resource<()>>()).saturating_add(PIECE));
    store.limiter(|guest| &mut guest.limits);
    // A command computes as long as it likes, but when the clock ticks it gives way, for a look at what else there is.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    Ok(store)
}
