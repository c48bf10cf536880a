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

/// The table of errors and files.
struct Table;

impl HasData for Table {
    type Data<'g> = &'g mut ResourceTable;
}

/// Creates the linker of commands.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    add_own(&mut linker)?;
    add_others(&mut linker)?;
    Ok(linker)
}

fn add_own(l: &mut Linker<Guest>) -> Result<()> {
    type Own = HasSelf<Guest>;

    sync::io::poll::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    sync::io::streams::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    clocks::monotonic_clock::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::stdin::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::stdout::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::stderr::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::terminal_input::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::terminal_output::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::terminal_stdin::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::terminal_stdout::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    cli::terminal_stderr::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    let options = network::LinkOptions::default();
    network::add_to_linker::<Guest, Own>(l, &options, |guest| guest)?;
    instance_network::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    sockets::ip_name_lookup::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    sockets::tcp_create_socket::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    sync::sockets::tcp::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    sync::sockets::udp_create_socket::add_to_linker::<Guest, Own>(l, |guest| guest)?;
    sync::sockets::udp::add_to_linker::<Guest, Own>(l, |guest| guest)
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
