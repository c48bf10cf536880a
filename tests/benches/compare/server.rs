//! The servers under comparison, and how they are started.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, kill_process};

use crate::callgrind;
use crate::machine::{self, Guarded};
use crate::programs::{self, Programs};

/// More connections than any row has.
pub const MAX_CONNECTIONS: [&str; 2] = ["--max-connections", "20000"];

/// Longer than any server needs to print its address.
const START_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Who {
    Sinbin,
    /// sinbin with the service as an `async fn` rather than a state machine.
    SinbinAsync,
    /// sinbin without worker threads: large requests are computed in slices on the loop.
    SinbinSlices,
    /// sinbin, with a recording of all input of its service.
    Recorded,
    /// sinbin's service in a sandbox, driven by sinbin's host.
    Driven,
    /// sinbin's service as a command of WASI 0.2, which drives itself, in the same host.
    Portable,
    Bare,
    Mio,
    Tokio,
    Smol,
    Redis,
    Nginx,
    Wget,
    Aiohttp,
}

impl Who {
    pub(crate) const ALL: [Self; 14] = [
        Self::Sinbin,
        Self::SinbinAsync,
        Self::SinbinSlices,
        Self::Recorded,
        Self::Driven,
        Self::Portable,
        Self::Bare,
        Self::Mio,
        Self::Tokio,
        Self::Smol,
        Self::Redis,
        Self::Nginx,
        Self::Wget,
        Self::Aiohttp,
    ];

    /// Returns the heading of the server's column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sinbin => "sinbin",
            Self::SinbinAsync => "sinbin, async fn",
            Self::SinbinSlices => "sinbin, no workers",
            Self::Recorded => "sinbin, recording",
            Self::Driven => "sinbin, wasm",
            Self::Portable => "sinbin, WASI 0.2",
            Self::Bare => "bare",
            Self::Mio => "mio",
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::Redis => "redis-server",
            Self::Nginx => "nginx",
            Self::Wget => "wget2",
            Self::Aiohttp => "aiohttp",
        }
    }

    pub(crate) fn is_sinbin(self) -> bool {
        let is_peer = matches!(self, Self::Bare | Self::Mio | Self::Tokio | Self::Smol);
        !is_peer && !matches!(self, Self::Redis | Self::Nginx | Self::Wget | Self::Aiohttp)
    }
}

/// The service of a server.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    Fib,
    /// Only available in sinbin: the peers have no service other than fib.
    Echo,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fib => "fib",
            Self::Echo => "echo",
        }
    }
}

/// The configuration of a server.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) who: Who,
    pub(crate) service: Service,
    /// The core, or `None` for all of them.
    pub(crate) core: Option<usize>,
    /// The number of workers, or `None` for sinbin's default.
    pub(crate) workers: Option<usize>,
    /// True if callgrind counts the instructions.
    pub(crate) counted: bool,
    /// True if sinbin publishes the tables that `sinbin ps` reads, as it does by default.
    pub(crate) observed: bool,
}

impl Setup {
    /// Returns the default configuration, on all cores.
    pub(crate) fn of(who: Who) -> Self {
        Self { who, service: Service::Fib, core: None, workers: None, counted: false, observed: true }
    }
}

/// A running server, which is killed when this is dropped.
pub(crate) struct Server {
    child: Guarded,
    /// Kept open, so that the server can still write to its stdout.
    _stdout: ChildStdout,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(setup: &Setup, programs: &Programs) -> io::Result<Self> {
        let mut command = command(setup, programs)?;
        let stderr = if setup.counted { Stdio::piped() } else { Stdio::inherit() };
        Self::spawn(command.stderr(stderr))
    }

    /// Starts a program that prints its address.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = Guarded(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let mut stdout = take_stdout(&mut child.0)?;
        let address = read_address(&mut stdout)?;
        Ok(Self { child, _stdout: stdout, address })
    }

    /// Starts a program that listens on `address`, and waits until it does.
    pub(crate) fn spawn_at(command: &mut Command, address: SocketAddr) -> io::Result<Self> {
        let mut child = Guarded(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let stdout = take_stdout(&mut child.0)?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.0.try_wait()? {
                return Err(io::Error::other(format!("the server ended before it listened: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not listen"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { child, _stdout: stdout, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Stops a server as its user does.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child.0), Signal::TERM)?;
        self.child.0.wait().map(|_| ())
    }

    /// Stops a server whose instructions are counted, and returns the count.
    pub(crate) fn instructions(mut self) -> io::Result<f64> {
        kill_process(Pid::from_child(&self.child.0), Signal::TERM)?;
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.0.stderr {
            stderr.read_to_string(&mut text)?;
        }
        callgrind::collected(&text)
    }
}

fn command(setup: &Setup, programs: &Programs) -> io::Result<Command> {
    let start = if setup.counted { callgrind::command } else { machine::command };
    let mut command = start(setup.core, &programs.of(setup.who)?)?;
    match setup.who {
        Who::Sinbin | Who::SinbinAsync | Who::SinbinSlices | Who::Recorded => {
            native_arguments(&mut command, setup);
        }
        Who::Driven | Who::Portable => sandbox_arguments(&mut command, setup),
        Who::Bare | Who::Mio | Who::Tokio | Who::Smol => {
            let name = setup.who.to_possible_value().expect("every variant has a name");
            command.args(["serve-peer", name.get_name()]);
        }
        Who::Redis | Who::Nginx | Who::Wget | Who::Aiohttp => return Err(programs::no_fib(setup.who)),
    }
    Ok(command)
}

fn native_arguments(command: &mut Command, setup: &Setup) {
    let written_as = if setup.who == Who::SinbinAsync { "async-fn" } else { "machine" };
    command.args(["serve", setup.service.name(), "--written-as", written_as]);
    if setup.who == Who::Recorded {
        // A recording requires a new file.
        std::fs::remove_file(programs::recording()).ok();
        command.arg("--record").arg(programs::recording());
    }
    common_arguments(command, setup);
}

fn sandbox_arguments(command: &mut Command, setup: &Setup) {
    command.arg("run").arg(programs::guest(setup.who, setup.service));
    command.env("SINBIN_WASI_CACHE", programs::cache());
    common_arguments(command, setup);
}

fn common_arguments(command: &mut Command, setup: &Setup) {
    command.args(["--listen", "127.0.0.1:0"]).args(MAX_CONNECTIONS);
    command.args((!setup.observed).then_some("--no-observe"));
    // A guest that drives itself has no workers.
    if let Some(workers) = setup.workers.filter(|_| setup.who != Who::Portable) {
        command.args(["--workers", &workers.to_string()]);
    }
    // The load resets its connections, which should not be logged thousands of times.
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

/// Returns the address in the first complete line that has one.
fn find_address(text: &str) -> Option<SocketAddr> {
    let (complete, _) = text.rsplit_once('\n')?;
    complete.lines().find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok())
}

fn wait_readable(stdout: &ChildStdout, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match rustix::event::poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&left))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not print its address")),
        _ => Ok(()),
    }
}
