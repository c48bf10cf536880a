//! The cores of servers and load, the limit of open files, and the launch of programs that end with this one.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::{env, fs};

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// The cores that this process may use, and their purposes.
pub(crate) struct Machine {
    all: CpuSet,
    /// The core for servers.
    pub(crate) server_core: usize,
    /// The core for the load: another one, if there is one.
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

    /// Pins the calling thread to a core, or, with `None`, releases it to all cores.
    pub(crate) fn pin(&self, core: Option<usize>) -> io::Result<()> {
        match core {
            Some(core) => pin_to(core),
            None => Ok(rustix::thread::sched_setaffinity(None, &self.all)?),
        }
    }

    /// Describes the machine in one line.
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

/// Raises the limit of open files to the maximum, for this process and the processes that it starts. Returns the limit.
pub(crate) fn raise_open_files() -> io::Result<usize> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX))
}

/// A child process that does not outlive its owner.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // The child may have ended by itself. Other errors cannot be reported here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the command that starts `program` through [`launch`]; arguments can be appended.
pub(crate) fn command(core: Option<usize>, program: &Path) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("launch");
    if let Some(core) = core {
        command.args(["--core", &core.to_string()]);
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Replaces this process with `program`, pinned to the core, and killed when the process that started it dies for any
/// reason. Both settings survive `exec`. Returns only if that fails.
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
