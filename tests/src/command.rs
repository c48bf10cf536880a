use std::io::{self, PipeReader, empty, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::panicking;

use escargot::CargoBuild;
use rustix::process::{Pid, Signal, kill_process};

use crate::children::{self, Process, lock};
use crate::mute::{Mute, by_shell};
use crate::tail::Tail;
use crate::wait::poll;

/// The workspace, wherever cargo was called.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// The `sinbin` command of this build, without what the developer's environment says about logs.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn sinbin(args: &[&str]) -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    command(BINARY.get_or_init(|| build("sinbin")), args)
}

/// The `sinbin` command with the poller that other systems than Linux have. It has a target directory of its own, below
/// ours.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub(crate) fn sinbin_polling(args: &[&str]) -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("a test has a path");
        let (target, _) = target_dir(&own).expect("it lies in a target directory");
        let build =
            CargoBuild::new().package("sinbin-cli").bin("sinbin").current_release().manifest_path(MANIFEST);
        let build = build.target_dir(target.join("portable")).env("RUSTFLAGS", "--cfg sinbin_portable");
        match build.run() {
            Ok(built) => built.path().to_owned(),
            Err(error) => panic!("the command `sinbin` cannot be built with the portable poller: {error}"),
        }
    });
    command(binary, args)
}

/// The `sinbin-wasi` command, likewise. What it compiles it keeps below the target directory.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn sinbin_wasi(args: &[&str]) -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| build("sinbin-wasi"));
    let mut command = command(binary, args);
    command.env("SINBIN_WASI_CACHE", binary.with_file_name("sinbin-wasi-cache"));
    // A compiler that was built for tests, on a machine that is busy, is no measure.
    command.env("SINBIN_WASI_COMPILE_TIMEOUT", "5m");
    command
}

fn command(binary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).env_remove("SINBIN_LOG");
    command
}

/// Builds a command.
fn build(name: &str) -> PathBuf {
    match cargo().bin(name).run() {
        Ok(built) => built.path().to_owned(),
        Err(error) => panic!("the command `{name}` cannot be built: {error}"),
    }
}

/// Builds a target of the workspace in the profile of this test and to the same place, so that what cargo has built
/// already is not built again. A package by itself would have its dependencies with fewer features than they have for
/// `cargo test --workspace`, and wasmtime, above all, would be built a second time. The core has examples of names that native has too.
pub(crate) fn cargo() -> CargoBuild {
    let build = CargoBuild::new().arg("--workspace").args(["--exclude", "sinbin-core"]);
    let mut build = build.current_release().manifest_path(MANIFEST);
    let own = std::env::current_exe().expect("a test has a path");
    if let Some((target, triple)) = target_dir(&own) {
        build = build.target_dir(target);
        if let Some(triple) = triple {
            build = build.target(triple);
        }
    }
    build
}

/// The target directory that a test lies in, `TARGET/[TRIPLE/]debug/deps/test`, and the triple; a program of ours lies
/// beside `deps`.
#[must_use]
pub fn target_dir(test: &Path) -> Option<(&Path, Option<&str>)> {
    // cargo marks a directory that it has made itself by the one, and each that it builds in by the other.
    let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
    let target = test.ancestors().find(|dir| marks.iter().any(|mark| dir.join(mark).exists()))?;
    let parts = test.strip_prefix(target).ok()?.iter().filter(|part| *part != "deps");
    let parts: Vec<_> = parts.collect();
    let triple = match parts[..] {
        [triple, _, _] => triple.to_str(),
        _ => None,
    };
    Some((target, triple))
}

/// A child process, and what it says. It is killed when this is dropped; when that is because a test
/// failed, what it said is shown.
pub struct Running {
    process: Arc<Mutex<Process>>,
    stdout: Tail,
    stderr: Tail,
    /// Readers that do not read.
    _unread: Vec<PipeReader>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

/// Runs `sinbin` with `args` to its end.
#[must_use]
pub fn run(args: &[&str]) -> Ended {
    Running::start(sinbin(args)).wait()
}

impl Running {
    /// Starts `command`, with nothing to read.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: Command) -> Self {
        Self::try_start(command).expect("the command can be started")
    }

    /// The same for a command that may not be there.
    pub(crate) fn try_start(command: Command) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Self::spawn(command, writer, Tail::of(reader), false)
    }

    /// The same for a command of somebody else's, which may start others: they end with it.
    pub(crate) fn try_start_leader(command: Command) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Self::spawn(command, writer, Tail::of(reader), true)
    }

    /// The same, but stdout goes to `stdout`; nothing of it is kept here.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start_into(command: Command, stdout: impl Into<Stdio>) -> Self {
        Self::spawn(command, stdout, Tail::of(empty()), false).expect("the command can be started")
    }

    /// Starts a command as [`start`](Self::start) does, but nobody hears its stdout, its stderr, or both.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start_mute(command: Command, stdout: Option<Mute>, stderr: Option<Mute>) -> Self {
        let ((out, unread), tail) = match stdout {
            None => {
                let (reader, writer) = pipe().expect("a pipe");
                ((writer.into(), None), Tail::of(reader))
            }
            Some(mute) => (mute.open().expect("an output"), Tail::of(empty())),
        };
        let command = if stdout == Some(Mute::Closed) { by_shell("exec >&-", &command) } else { command };
        let mut running =
            Self::spawn_muted(command, out, tail, false, stderr).expect("the command can be started");
        running._unread.extend(unread);
        running
    }

    fn spawn(command: Command, out: impl Into<Stdio>, stdout: Tail, leads: bool) -> io::Result<Self> {
        Self::spawn_muted(command, out.into(), stdout, leads, Mute::of_environment())
    }

    fn spawn_muted(
        command: Command,
        out: Stdio,
        stdout: Tail,
        leads: bool,
        mute: Option<Mute>,
    ) -> io::Result<Self> {
        let (err, unread) = mute.map_or_else(|| Ok((Stdio::piped(), None)), Mute::open)?;
        let mut command = if mute == Some(Mute::Closed) { by_shell("exec 2>&-", &command) } else { command };
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let process = children::spawn(&mut command, leads)?;
        let stderr = lock(&process).child.stderr.take();
        let stderr = stderr.map_or_else(|| Tail::of(empty()), Tail::of);
        Ok(Self { process, stdout, stderr, _unread: unread.into_iter().collect() })
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&lock(&self.process).child)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a child can be signalled");
    }

    /// Whether it has ended.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.status().is_some()
    }

    /// How it ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        lock(&self.process).child.try_wait().expect("a child can be waited for")
    }

    /// What it wrote to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until stdout contains `text`.
    pub fn says(&self, text: &str) {
        let what = format!("{text:?} on stdout");
        self.stdout.wait(&what, |said, _| said.contains(text).then_some(()));
    }

    /// Waits until stderr contains `text`.
    pub fn logs(&self, text: &str) {
        let what = format!("{text:?} on stderr");
        self.stderr.wait(&what, |said, _| said.contains(text).then_some(()));
    }

    /// The first `count` lines of stdout.
    pub(crate) fn first_lines(&self, count: usize) -> Vec<String> {
        let what = format!("{count} lines on stdout ({:?} on stderr)", self.stderr());
        self.stdout.wait(&what, |said, _| {
            let lines: Vec<_> = said.split_inclusive('\n').take(count).collect();
            let whole = lines.len() == count && lines.iter().all(|line| line.ends_with('\n'));
            whole.then(|| lines.iter().map(|line| line.trim_end().to_owned()).collect())
        })
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    #[must_use]
    pub fn wait(self) -> Ended {
        let status = poll("the end of the process", || self.status());
        Ended { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        children::end(&self.process);
        if panicking() {
            let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
            eprintln!("--- stdout of the process\n{stdout}--- stderr of the process\n{stderr}---");
        }
    }
}
