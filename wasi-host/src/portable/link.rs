//! The linker of commands: the interfaces of this host, and those of wasmtime-wasi for files, the environment, random
//! numbers and the time of day.

use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Error, Result};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host, HostNetwork, Network};
use wasmtime_wasi::p2::bindings::sockets::{instance_network, network};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets, sync};
use wasmtime_wasi::random::WasiRandom;

use super::Guest;
use super::recording::{Player, Recorded};

/// The table of errors and files.
struct Table;

impl HasData for Table {
    type Data<'g> = &'g mut ResourceTable;
}

/// A host that answers the calls that this crate implements.
trait OwnHost:
    sync::io::poll::HostPollable
    + sync::io::poll::Host
    + sync::io::streams::HostInputStream
    + sync::io::streams::HostOutputStream
    + sync::io::streams::Host
    + clocks::monotonic_clock::Host
    + cli::stdin::Host
    + cli::stdout::Host
    + cli::stderr::Host
    + cli::terminal_input::Host
    + cli::terminal_output::Host
    + cli::terminal_stdin::Host
    + cli::terminal_stdout::Host
    + cli::terminal_stderr::Host
    + Host
    + instance_network::Host
    + sockets::ip_name_lookup::Host
    + sockets::tcp_create_socket::Host
    + sync::sockets::tcp::Host
    + sync::sockets::udp_create_socket::Host
    + sync::sockets::udp::Host
    + Send
    + 'static
{
}

impl OwnHost for Guest {}
impl OwnHost for Recorded {}
impl OwnHost for Player {}

/// A host that answers all calls.
trait WholeHost:
    OwnHost
    + io::error::Host
    + clocks::wall_clock::Host
    + filesystem::preopens::Host
    + sync::filesystem::types::Host
    + random::random::Host
    + random::insecure::Host
    + random::insecure_seed::Host
    + cli::exit::Host
    + cli::environment::Host
{
}

impl WholeHost for Recorded {}
impl WholeHost for Player {}

/// Creates the linker of commands.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    add_to(&mut linker)?;
    Ok(linker)
}

/// Adds all interfaces of WASI 0.2.
pub(super) fn add_to(linker: &mut Linker<Guest>) -> Result<()> {
    add_own(linker)?;
    add_others(linker)
}

/// Creates the linker of commands that are recorded.
pub(super) fn recorded_linker(engine: &Engine) -> Result<Linker<Recorded>> {
    whole_linker(engine)
}

/// Creates the linker of commands that are replayed.
pub(super) fn replayed_linker(engine: &Engine) -> Result<Linker<Player>> {
    whole_linker(engine)
}

fn whole_linker<T: WholeHost>(engine: &Engine) -> Result<Linker<T>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    add_own(l)?;
    io::error::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    clocks::wall_clock::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    filesystem::preopens::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sync::filesystem::types::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    random::random::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    random::insecure::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    random::insecure_seed::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::exit::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::environment::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    Ok(linker)
}

fn add_own<T: OwnHost>(l: &mut Linker<T>) -> Result<()> {
    sync::io::poll::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sync::io::streams::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    clocks::monotonic_clock::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::stdin::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::stdout::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::stderr::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::terminal_input::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::terminal_output::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::terminal_stdin::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::terminal_stdout::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    cli::terminal_stderr::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    let options = network::LinkOptions::default();
    network::add_to_linker::<T, HasSelf<T>>(l, &options, |host| host)?;
    instance_network::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sockets::ip_name_lookup::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sockets::tcp_create_socket::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sync::sockets::tcp::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sync::sockets::udp_create_socket::add_to_linker::<T, HasSelf<T>>(l, |host| host)?;
    sync::sockets::udp::add_to_linker::<T, HasSelf<T>>(l, |host| host)
}

fn add_others(l: &mut Linker<Guest>) -> Result<()> {
    io::error::add_to_linker::<Guest, Table>(l, |guest| &mut guest.table)?;
    clocks::wall_clock::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks)?;
    filesystem::preopens::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    sync::filesystem::types::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    random::random::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())?;
    random::insecure::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())?;
    cli::exit::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::environment::add_to_linker::<Guest, WasiCli>(l, Guest::cli)
}

impl Host for Guest {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl HostNetwork for Guest {
    fn drop(&mut self, _: Resource<Network>) -> Result<()> {
        Ok(())
    }
}

impl instance_network::Host for Guest {
    /// Returns the network. All checks are those of each socket's addresses, so its handle carries nothing.
    fn instance_network(&mut self) -> Result<Resource<Network>> {
        Ok(Resource::new_own(0))
    }
}
