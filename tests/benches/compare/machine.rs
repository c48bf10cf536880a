//! Which core runs what, how many files may be open, and starting programs so that they end with this one.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::{env, fs};

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// The cores this process may use, and what they are for.
pub(crate) struct Machine {
    all: CpuSet,
    /// Servers run here.
    pub(crate) server_core: usize,
    /// The load runs here: another core, if there is one.
    pub(crate) load_core: usize,
}

impl Machine {
    pub(crate) fn look() -> io::Result<Self> {
        let all = rustix::thread::sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let server_core = cores.next().ok_or_else(|| io::Error::other("no core to run on"))?;
        let load_core = cores.next().unwrap_or(server_core);
        Ok(Self { all, server_core, load_core })
    }

    /// Keeps the calling thread on one core; `None` gives it all of them back.
    pub(crate) fn pin(&self, core: Option<usize>) -> io::Result<()> {
        match core {
            Some(core) => pin_to(core),
            None => Ok(rustix::thread::sched_setaffinity(None, &self.all)?),
        }
    }

    /// One line that says where the figures come from.
    pub(crate) fn describe(&self) -> String {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cpu = cpu.map_or("unknown CPU", |(_, name)| name);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        format!("{}, cores: {}, Linux {}", cpu, self.all.count(), kernel.trim())
    }
}

fn pin_to(core: usize) -> io::Result<()> {
    let mut one = CpuSet::new();
    one.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &one)?)
}

/// Raises the limit of open files, for this process and all it starts, as far as it goes; returns how far.
pub(crate) fn raise_open_files() -> io::Result<usize> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX))
}

/// A child process that does not outlive its owner.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell about anything else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command that starts `program` through [`launch`]; arguments can be added.
pub(crate) fn command(core: Option<usize>, program: &Path) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("launch");
    if let Some(core) = core {
        command.args(["--core", &core.to_string()]);
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Turns this process into `program`: on the core, and killed when the one that started it dies, however that
/// happens. Both are inherited through `exec`. Returns only what went wrong.
pub(crate) fn launch(core: Option<usize>, program: &Path, args: &[OsString]) -> io::Error {
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    if let Some(Err(error)) = core.map(pin_to) {
        return error;
    }
    let error = Command::new(program).args(args).exec();
    io::Error::new(error.kind(), format!("cannot run {}: {error}", program.display()))
}
