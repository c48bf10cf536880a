use std::ffi::OsString;
use std::io::{self, PipeReader, empty, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::panicking;
use std::time::Duration;

use escargot::CargoBuild;
use rustix::process::{Pid, Signal, kill_process};

use crate::children::{self, Process, lock};
use crate::mute::{Mute, by_shell};
use crate::tail::Tail;
use crate::wait::{PATIENCE_WITH_PROGRAMS, poll};

/// The manifest of the workspace, independent of the directory in which cargo was called.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// Returns the `sinbin` command of this build. The developer's `SINBIN_LOG` is removed from its environment.
///
/// # Panics
///
/// Panics if the command cannot be built.
#[must_use]
pub fn sinbin(args: &[&str]) -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    command(BINARY.get_or_init(|| build("sinbin")), args)
}

/// Returns the `sinbin` command with the portable poller, which is used on systems other than Linux. The command is
/// built in its own target directory, below the regular one.
///
/// # Panics
///
/// Panics if the command cannot be built.
#[must_use]
pub(crate) fn sinbin_polling(args: &[&str]) -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("a test has a path");
        let (target, _) = target_dir(&own).expect("it lies in a target directory");
        let build = new_build().package("sinbin-cli").bin("sinbin").current_release().manifest_path(MANIFEST);
        let build = build.target_dir(target.join("portable")).env("RUSTFLAGS", "--cfg sinbin_portable");
        match build.run() {
            Ok(built) => built.path().to_owned(),
            Err(error) => panic!("the command `sinbin` cannot be built with the portable poller: {error}"),
        }
    });
    command(binary, args)
}

/// Returns the `sinbin-wasi` command. Its cache of compiled code is kept below the target directory.
///
/// # Panics
///
/// Panics if the command cannot be built.
#[must_use]
pub fn sinbin_wasi(args: &[&str]) -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| build("sinbin-wasi"));
    let mut command = command(binary, args);
    command.env("SINBIN_WASI_CACHE", binary.with_file_name("sinbin-wasi-cache"));
    // A compiler that was built for tests is slow on a busy machine, so the default timeout is too short.
    command.env("SINBIN_WASI_COMPILE_TIMEOUT", "5m");
    command
}

fn command(binary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).env_remove("SINBIN_LOG");
    command
}

/// Builds a command of the workspace. Without an example, cargo would leave out the features of dev-dependencies, and
/// build most of the command's dependencies a second time, wasmtime's compiler among them.
fn build(name: &str) -> PathBuf {
    match cargo().bin(name).args(["--example", "smallest_host"]).run() {
        Ok(built) => built.path().to_owned(),
        Err(error) => panic!("the command `{name}` cannot be built: {error}"),
    }
}

/// Returns a build without the variables that cargo sets for the package of this test. The build scripts of some crates
/// depend on them, so that these crates would be built again, and once more by the next build without the variables.
fn new_build() -> CargoBuild {
    let of_package = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")
    };
    let names = std::env::vars_os().map(|(name, _)| name).filter(of_package);
    names.fold(CargoBuild::new(), CargoBuild::env_remove)
}

/// Builds a target of the workspace in the profile and target directory of this test, so that cargo does not rebuild
/// what it has built already. A build of a single package would give its dependencies fewer features than
/// `cargo test --workspace` does, and wasmtime, above all, would be built a second time.
pub(crate) fn cargo() -> CargoBuild {
    let build = new_build().arg("--workspace");
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

/// Returns the target directory that contains a test, `TARGET/[TRIPLE/]debug/deps/test`, and the triple. Programs of
/// this package lie beside `deps`.
#[must_use]
pub fn target_dir(test: &Path) -> Option<(&Path, Option<&str>)> {
    // cargo puts the first file into a directory that it has created, and the second into each in which it builds.
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

/// A child process and its output. The child is killed when this is dropped; if that happens because a test failed, the
/// output is printed.
pub struct Running {
    process: Arc<Mutex<Process>>,
    stdout: Tail,
    stderr: Tail,
    /// Pipe ends that must stay open although no one reads from them.
    _unread: Vec<PipeReader>,
}

/// The exit code and the output of a process.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or `None` if a signal ended the process.
    pub code: Option<i32>,
    /// The complete stdout.
    pub stdout: String,
    /// The complete stderr.
    pub stderr: String,
}

/// Runs `sinbin` with `args` and waits for its end.
#[must_use]
pub fn run(args: &[&str]) -> Ended {
    Running::start(sinbin(args)).wait()
}

impl Running {
    /// Starts `command` with an empty stdin.
    ///
    /// # Panics
    ///
    /// Panics if the command cannot be started.
    #[must_use]
    pub fn start(command: Command) -> Self {
        Self::try_start(command).expect("the command can be started")
    }

    /// Starts `command` as [`start`](Self::start) does, but fails if the command does not exist.
    pub(crate) fn try_start(command: Command) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Self::spawn(command, writer, Tail::of(reader), false)
    }

    /// Starts a command that the user supplied. The processes that the command starts end with it.
    pub(crate) fn try_start_leader(command: Command) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Self::spawn(command, writer, Tail::of(reader), true)
    }

    /// Starts `command` as [`start`](Self::start) does, but with its stdout redirected to `stdout` and not recorded.
    ///
    /// # Panics
    ///
    /// Panics if the command cannot be started.
    #[must_use]
    pub fn start_into(command: Command, stdout: impl Into<Stdio>) -> Self {
        Self::spawn(command, stdout, Tail::of(empty()), false).expect("the command can be started")
    }

    /// Starts `command` as [`start`](Self::start) does, but with no reader for its stdout, its stderr, or both.
    ///
    /// # Panics
    ///
    /// Panics if the command cannot be started.
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

    /// Returns the process's id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&lock(&self.process).child)
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    ///
    /// Panics if the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a child can be signalled");
    }

    /// Returns true if the process has ended.
    ///
    /// # Panics
    ///
    /// Panics if the system cannot report the status.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.status().is_some()
    }

    /// Returns the exit status if the process has ended.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        lock(&self.process).child.try_wait().expect("a child can be waited for")
    }

    /// Returns what the process has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// Returns what the process has written to stderr so far.
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

    /// Waits for the first `count` lines of stdout and returns them.
    pub fn first_lines(&self, count: usize) -> Vec<String> {
        let what = format!("{count} lines on stdout ({:?} on stderr)", self.stderr());
        self.stdout.wait_for(PATIENCE_WITH_PROGRAMS, &what, |said, _| {
            let lines: Vec<_> = said.split_inclusive('\n').take(count).collect();
            let whole = lines.len() == count && lines.iter().all(|line| line.ends_with('\n'));
            whole.then(|| lines.iter().map(|line| line.trim_end().to_owned()).collect())
        })
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    ///
    /// Panics if the process does not end in time.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.wait_for(PATIENCE_WITH_PROGRAMS)
    }

    /// Waits for the process to end as [`wait`](Self::wait) does, for `patience` at most.
    pub(crate) fn wait_for(self, patience: Duration) -> Ended {
        let status = poll("the end of the process", patience, || self.status());
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
