//! The servers under comparison: who they are, how they are built and started.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use escargot::CargoBuild;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::machine::{self, Guarded};

/// Longer than any server needs to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The workspace, wherever cargo was called.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Who {
    Sinbin,
    /// sinbin without worker threads: large requests are computed in slices on the loop.
    SinbinSlices,
    Bare,
    Mio,
    Tokio,
    Smol,
}

impl Who {
    pub(crate) const ALL: [Self; 6] =
        [Self::Sinbin, Self::SinbinSlices, Self::Bare, Self::Mio, Self::Tokio, Self::Smol];

    /// As it stands at the head of a column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sinbin => "sinbin",
            Self::SinbinSlices => "sinbin, no workers",
            Self::Bare => "bare",
            Self::Mio => "mio",
            Self::Tokio => "tokio",
            Self::Smol => "smol",
        }
    }

    pub(crate) fn is_sinbin(self) -> bool {
        matches!(self, Self::Sinbin | Self::SinbinSlices)
    }
}

/// Builds sinbin's command as a user gets it.
pub(crate) fn build_sinbin() -> io::Result<PathBuf> {
    build(CargoBuild::new().package("sinbin").bin("sinbin"), "the command `sinbin`")
}

/// Builds the program whose task switches are counted.
pub(crate) fn build_switch() -> io::Result<PathBuf> {
    build(CargoBuild::new().package("sinbin-core").example("switch"), "sinbin-core's example `switch`")
}

fn build(what: CargoBuild, name: &str) -> io::Result<PathBuf> {
    eprintln!("building {name}");
    let built = what.release().manifest_path(MANIFEST).run();
    built
        .map(|run| run.path().to_owned())
        .map_err(|error| io::Error::other(format!("{name} cannot be built: {error}")))
}

/// A running server. It ends when this is dropped.
pub(crate) struct Server {
    child: Guarded,
    /// Kept open, so that the server can go on talking.
    _stdout: ChildStdout,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server on one core, or on all; `sinbin` is where its command lies.
    pub(crate) fn start(
        who: Who,
        sinbin: &Path,
        core: Option<usize>,
        workers: Option<usize>,
    ) -> io::Result<Self> {
        let mut command =
            if who.is_sinbin() { sinbin_command(sinbin, core, workers)? } else { peer_command(who, core)? };
        let mut child = Guarded(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let mut stdout = take_stdout(&mut child.0)?;
        let address = read_address(&mut stdout)?;
        Ok(Self { child, _stdout: stdout, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }
}

fn sinbin_command(sinbin: &Path, core: Option<usize>, workers: Option<usize>) -> io::Result<Command> {
    let mut command = machine::command(core, sinbin)?;
    command.args(["serve", "fib", "--listen", "127.0.0.1:0", "--max-connections", "20000"]);
    if let Some(workers) = workers {
        command.args(["--workers", &workers.to_string()]);
    }
    // The load ends its connections by a reset, which need not be logged thousands of times.
    command.env("RUST_LOG", "error");
    Ok(command)
}

fn peer_command(who: Who, core: Option<usize>) -> io::Result<Command> {
    let mut command = machine::command(core, &std::env::current_exe()?)?;
    let name = who.to_possible_value().expect("no variant is skipped");
    command.args(["serve-peer", name.get_name()]);
    Ok(command)
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
