//! The servers under comparison: who they are, how they are built and started.

use std::env;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use escargot::CargoBuild;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, kill_process};

use crate::callgrind;
use crate::machine::{self, Guarded};

/// Longer than any server needs to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The workspace, wherever cargo was called.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Who {
    Sinbin,
    /// sinbin with the service as an `async fn`, which else is a state machine.
    SinbinAsync,
    /// sinbin without worker threads: large requests are computed in slices on the loop.
    SinbinSlices,
    Bare,
    Mio,
    Tokio,
    Smol,
}

impl Who {
    pub(crate) const ALL: [Self; 7] =
        [Self::Sinbin, Self::SinbinAsync, Self::SinbinSlices, Self::Bare, Self::Mio, Self::Tokio, Self::Smol];

    /// As it stands at the head of a column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sinbin => "sinbin",
            Self::SinbinAsync => "sinbin, async fn",
            Self::SinbinSlices => "sinbin, no workers",
            Self::Bare => "bare",
            Self::Mio => "mio",
            Self::Tokio => "tokio",
            Self::Smol => "smol",
        }
    }

    pub(crate) fn is_sinbin(self) -> bool {
        matches!(self, Self::Sinbin | Self::SinbinAsync | Self::SinbinSlices)
    }
}

/// Builds sinbin's command as a user gets it.
pub(crate) fn build_sinbin() -> io::Result<PathBuf> {
    build(CargoBuild::new().package("sinbin").bin("sinbin"), "the command `sinbin`")
}

/// Builds a program whose instructions are counted.
pub(crate) fn build_example(name: &str) -> io::Result<PathBuf> {
    let example = CargoBuild::new().package("sinbin-core").example(name);
    build(example, &format!("sinbin-core's example `{name}`"))
}

fn build(what: CargoBuild, name: &str) -> io::Result<PathBuf> {
    eprintln!("building {name}");
    let built = what.release().manifest_path(MANIFEST).run();
    built
        .map(|run| run.path().to_owned())
        .map_err(|error| io::Error::other(format!("{name} cannot be built: {error}")))
}

/// What is served.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    Fib,
    /// sinbin's only: the peers have no other service than fib.
    Echo,
}

/// Which server to start, and how.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) who: Who,
    pub(crate) service: Service,
    /// `None`: on all of them.
    pub(crate) core: Option<usize>,
    /// `None`: as many as sinbin has by itself.
    pub(crate) workers: Option<usize>,
    /// Whether callgrind counts its instructions.
    pub(crate) counted: bool,
}

impl Setup {
    /// As a user gets it, on all cores.
    pub(crate) fn of(who: Who) -> Self {
        Self { who, service: Service::Fib, core: None, workers: None, counted: false }
    }
}

/// A running server. It ends when this is dropped.
pub(crate) struct Server {
    child: Guarded,
    /// Kept open, so that the server can go on talking.
    _stdout: ChildStdout,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server; `sinbin` is where its command lies.
    pub(crate) fn start(setup: &Setup, sinbin: &Path) -> io::Result<Self> {
        let mut command = command(setup, sinbin)?;
        let stderr = if setup.counted { Stdio::piped() } else { Stdio::inherit() };
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = Guarded(command.spawn()?);
        let mut stdout = take_stdout(&mut child.0)?;
        let address = read_address(&mut stdout)?;
        Ok(Self { child, _stdout: stdout, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends a server whose instructions are counted, and returns the count.
    pub(crate) fn instructions(mut self) -> io::Result<f64> {
        kill_process(Pid::from_child(&self.child.0), Signal::TERM)?;
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.0.stderr {
            stderr.read_to_string(&mut text)?;
        }
        callgrind::collected(&text)
    }
}

fn command(setup: &Setup, sinbin: &Path) -> io::Result<Command> {
    let myself = env::current_exe()?;
    let program = if setup.who.is_sinbin() { sinbin } else { &myself };
    let start = if setup.counted { callgrind::command } else { machine::command };
    let mut command = start(setup.core, program)?;
    if setup.who.is_sinbin() {
        sinbin_arguments(&mut command, setup);
    } else {
        let name = setup.who.to_possible_value().expect("no variant is skipped");
        command.args(["serve-peer", name.get_name()]);
    }
    Ok(command)
}

fn sinbin_arguments(command: &mut Command, setup: &Setup) {
    let service = match setup.service {
        Service::Fib => "fib",
        Service::Echo => "echo",
    };
    let written_as = if setup.who == Who::SinbinAsync { "async-fn" } else { "machine" };
    command.args(["serve", service, "--written-as", written_as]);
    command.args(["--listen", "127.0.0.1:0", "--max-connections", "20000"]);
    if let Some(workers) = setup.workers {
        command.args(["--workers", &workers.to_string()]);
    }
    // The load ends its connections by a reset, which need not be logged thousands of times.
    command.env("SINBIN_LOG", "error");
}

fn take_stdout(child: &mut Child) -> io::Result<ChildStdout> {
    child.stdout.take().ok_or_else(|| io::Error::other("the server has no stdout"))
}

/// Reads up to the line `listening on ADDRESS`.
fn read_address(stdout: &mut ChildStdout) -> io::Result<SocketAddr> {
    let deadline = Instant::now() + START_LIMIT;
    let mut text = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        wait_readable(stdout, deadline)?;
        let count = stdout.read(&mut chunk)?;
        if count == 0 {
            return Err(io::Error::other("the server ended before it listened"));
        }
        text.extend_from_slice(&chunk[..count]);
        if let Some(address) = find_address(&String::from_utf8_lossy(&text)) {
            return Ok(address);
        }
    }
}

/// The address in the first complete line that has one.
fn find_address(text: &str) -> Option<SocketAddr> {
    let (complete, _) = text.rsplit_once('\n')?;
    complete.lines().find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok())
}

fn wait_readable(stdout: &ChildStdout, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match rustix::event::poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&left))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not say where it listens")),
        _ => Ok(()),
    }
}
