//! The programs under comparison, built as a user gets them, and where they lie.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use escargot::CargoBuild;

use crate::server::{Service, Who};

/// The workspace, wherever cargo was called.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The bench's own files.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// sinbin's commands; empty when they are not needed.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) sinbin: PathBuf,
    pub(crate) sandbox: Sandbox,
}

/// What runs guests, and what measures instances of them.
#[derive(Default)]
pub(crate) struct Sandbox {
    pub(crate) command: PathBuf,
    pub(crate) instances: PathBuf,
}

impl Programs {
    /// Where the server's program lies; the peers are in this one.
    pub(crate) fn of(&self, who: Who) -> io::Result<PathBuf> {
        match who {
            Who::Sinbin | Who::SinbinAsync | Who::SinbinSlices | Who::Recorded => Ok(self.sinbin.clone()),
            Who::Driven | Who::Portable => Ok(self.sandbox.command.clone()),
            Who::Bare | Who::Mio | Who::Tokio | Who::Smol => env::current_exe(),
        }
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

    /// Compiles the guest of a service, as `sinbin-wasi compile` does, and returns where the result lies.
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

/// The guest of a service.
pub(crate) fn guest(who: Who, service: Service) -> PathBuf {
    let suffix = if who == Who::Portable { "-portable" } else { "" };
    Path::new(WORKSPACE).join(format!("target/wasi/{}{suffix}.wasm", service.name()))
}

/// Where a recording goes.
pub(crate) fn recording() -> PathBuf {
    Path::new(SCRATCH).join("recording")
}

/// Where compiled guests are kept: not among the user's.
pub(crate) fn cache() -> PathBuf {
    Path::new(SCRATCH).join("guests")
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

/// Runs a program that has nothing to say but what went wrong; returns its output.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output();
    let failed = |what: &str| io::Error::other(format!("{}: {what}", command.get_program().display()));
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
