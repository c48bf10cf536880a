//! The programs under comparison, built as a user gets them, and their paths.

use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use escargot::CargoBuild;

use crate::server::{Service, Who};

/// The root of the workspace, independent of the directory in which cargo was called.
pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The directory for the benchmark's own files.
pub(crate) const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// sinbin's commands; empty if they are not needed.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) sinbin: PathBuf,
    pub(crate) sandbox: Sandbox,
    pub(crate) services: Services,
}

/// The services of the gallery, and the program with their twins.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) twins: PathBuf,
    pub(crate) resp: PathBuf,
    pub(crate) static_files: PathBuf,
    pub(crate) fetcher: PathBuf,
    pub(crate) forwarder: PathBuf,
}

/// The programs that run guests, and that measure instances.
#[derive(Default)]
pub(crate) struct Sandbox {
    pub(crate) command: PathBuf,
    pub(crate) instances: PathBuf,
}

impl Programs {
    /// Returns the path of the server's program. The peers are in the present program.
    pub(crate) fn of(&self, who: Who) -> io::Result<PathBuf> {
        match who {
            Who::Sinbin | Who::SinbinAsync | Who::SinbinSlices | Who::Recorded => Ok(self.sinbin.clone()),
            Who::Driven | Who::Portable => Ok(self.sandbox.command.clone()),
            Who::Bare | Who::Mio | Who::Tokio | Who::Smol => env::current_exe(),
            Who::Redis | Who::Nginx | Who::Wget | Who::Aiohttp => Err(no_fib(who)),
        }
    }
}

/// Returns the error for a program that is no crawler.
pub(crate) fn no_crawler(who: Who) -> io::Error {
    io::Error::other(format!("{} is no crawler", who.name()))
}

/// Returns the error for a server that knows other protocols only.
pub(crate) fn no_fib(who: Who) -> io::Error {
    io::Error::other(format!("{} does not serve fib", who.name()))
}

impl Services {
    /// Builds the services and their twins.
    pub(crate) fn build() -> io::Result<Self> {
        let example = |name: &str| {
            let example = package("sinbin").example(name).features("hyper tls");
            build(example, &format!("the example `{name}`"))
        };
        Ok(Self {
            twins: build(package("sinbin-twins").bin("sinbin-twins"), "the twins of the services")?,
            resp: example("resp")?,
            static_files: example("static_files")?,
            fetcher: example("fetcher")?,
            forwarder: example("forwarder")?,
        })
    }
}

impl Sandbox {
    /// Builds the host and its guests.
    pub(crate) fn build() -> io::Result<Self> {
        let sandbox = Self {
            command: build(package("sinbin-wasi-cli").bin("sinbin-wasi"), "the command `sinbin-wasi`")?,
            instances: build(
                package("sinbin-wasi").example("instances"),
                "sinbin-wasi's example `instances`",
            )?,
        };
        eprintln!("building the guests");
        let script = Path::new(WORKSPACE).join("wasi-host/guest/build");
        run(&mut Command::new(script))?;
        Ok(sandbox)
    }

    /// Compiles the guest of a service with `sinbin-wasi compile`, and returns the path of the result.
    pub(crate) fn compile(&self, service: Service) -> io::Result<PathBuf> {
        let compiled = Path::new(SCRATCH).join("guest.cwasm");
        run(Command::new(&self.command)
            .arg("compile")
            .arg(guest(Who::Driven, service))
            .arg("-o")
            .arg(&compiled))?;
        Ok(compiled)
    }
}

/// Returns the path of the guest of a service.
pub(crate) fn guest(who: Who, service: Service) -> PathBuf {
    let suffix = if who == Who::Portable { "-portable" } else { "" };
    wasm(&format!("{}{suffix}", service.name()))
}

/// Returns the path of a guest by its name.
pub(crate) fn wasm(name: &str) -> PathBuf {
    Path::new(WORKSPACE).join(format!("target/wasi/{name}.wasm"))
}

/// Returns the path of recordings.
pub(crate) fn recording() -> PathBuf {
    Path::new(SCRATCH).join("recording")
}

/// Returns the directory for compiled guests, which is separate from the user's cache.
pub(crate) fn cache() -> PathBuf {
    Path::new(SCRATCH).join("guests")
}

/// Returns those of these programs of others that are not installed.
pub(crate) fn missing(programs: &[&str]) -> Vec<String> {
    let is_missing = |program: &&&str| {
        let started =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        started.is_err()
    };
    programs.iter().filter(is_missing).map(|program| (*program).to_owned()).collect()
}

/// Returns an address that was free a moment ago, for a server that cannot choose a port itself.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn package(name: &str) -> CargoBuild {
    CargoBuild::new().package(name)
}

/// Builds sinbin's command.
pub(crate) fn build_sinbin() -> io::Result<PathBuf> {
    build(package("sinbin-cli").bin("sinbin"), "the command `sinbin`")
}

/// Builds a program whose instructions are counted.
pub(crate) fn build_example(name: &str) -> io::Result<PathBuf> {
    let example = CargoBuild::new().package("sinbin-core").example(name);
    build(example, &format!("sinbin-core's example `{name}`"))
}

fn build(what: CargoBuild, name: &str) -> io::Result<PathBuf> {
    eprintln!("building {name}");
    let built = what.release().manifest_path(Path::new(WORKSPACE).join("Cargo.toml")).run();
    built
        .map(|run| run.path().to_owned())
        .map_err(|error| io::Error::other(format!("{name} cannot be built: {error}")))
}

/// Runs a program, and returns its stdout. If the program fails, its stderr becomes the error.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output();
    let failed = |what: &str| io::Error::other(format!("{}: {what}", command.get_program().display()));
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
