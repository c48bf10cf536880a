//! Tools that count another process's system calls: `perf`, which costs next to nothing, or else `strace`.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{self, Guarded};

const EVENT: &str = "raw_syscalls:sys_enter";

/// Longer than a tool needs to attach.
const ATTACH_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
pub(super) enum Counter {
    Perf,
    Strace,
}

/// A tool that is attached to a process.
pub(super) struct Counting {
    counter: Counter,
    child: Guarded,
}

impl Counter {
    /// Returns the first tool that works here, or the reasons why none does.
    pub(super) fn choose() -> Result<Self, String> {
        let perf = Command::new("perf").args(["stat", "-x,", "-e", EVENT, "--", "true"]).output();
        let perf = match perf {
            Ok(output) if Self::Perf.parse(&String::from_utf8_lossy(&output.stderr)).is_some() => {
                return Ok(Self::Perf);
            }
            Ok(_) => "perf is not allowed to count them".to_owned(),
            Err(error) => format!("perf: {error}"),
        };
        match Command::new("strace").args(["-c", "-f", "--", "true"]).output() {
            Ok(output) if output.status.success() => Ok(Self::Strace),
            Ok(_) => Err(format!("{perf}; strace is not allowed to trace")),
            Err(error) => Err(format!("{perf}; strace: {error}")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    /// Describes the tool for readers of the count.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace (which slows the server down, which can change the count)",
        }
    }

    /// Starts to count the calls of all threads of a process.
    pub(super) fn attach(self, pid: u32) -> io::Result<Counting> {
        let mut command = machine::command(None, Path::new(self.name()))?;
        let pid_text = pid.to_string();
        match self {
            Self::Perf => command.args(["stat", "-x,", "-e", EVENT, "-p", &pid_text]),
            Self::Strace => command.args(["-c", "-f", "-p", &pid_text]),
        };
        let child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut counting = Counting { counter: self, child: Guarded(child) };
        counting.wait_until_attached(pid)?;
        Ok(counting)
    }

    /// Parses the count from the tool's final output.
    fn parse(self, text: &str) -> Option<f64> {
        let (line, column) = match self {
            Self::Perf => (text.lines().find(|line| line.contains(EVENT))?.replace(',', " "), 0),
            Self::Strace => (text.lines().rfind(|line| line.ends_with(" total"))?.to_owned(), 3),
        };
        line.split_whitespace().nth(column)?.parse().ok()
    }
}

impl Counting {
    fn wait_until_attached(&mut self, target: u32) -> io::Result<()> {
        let deadline = Instant::now() + ATTACH_LIMIT;
        while !self.is_attached(target) {
            if self.child.0.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(io::Error::other(format!("{} cannot attach", self.counter.name())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        // perf opens its counters before it starts them, and strace seizes one thread after another.
        thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    fn is_attached(&self, target: u32) -> bool {
        match self.counter {
            Counter::Perf => has_counters(self.child.0.id()),
            Counter::Strace => is_traced(target),
        }
    }

    /// Stops the tool as Ctrl-C would, and returns the count that it then prints.
    pub(super) fn finish(mut self) -> io::Result<f64> {
        kill_process(Pid::from_child(&self.child.0), Signal::INT)?;
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.0.stderr {
            stderr.read_to_string(&mut text)?;
        }
        self.counter.parse(&text).ok_or_else(|| io::Error::other(format!("no count in {text:?}")))
    }
}

fn has_counters(pid: u32) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    links.any(|link| link.to_string_lossy().contains("perf_event"))
}

fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().filter_map(|line| line.strip_prefix("TracerPid:")).any(|tracer| tracer.trim() != "0")
}
