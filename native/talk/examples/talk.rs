//! Measures how each of the talk's six servers treats a fast client while another client requests slow computations:
//! `talk [SECONDS [N [OPTION…]]]`, or `just talk`. Each server is measured for a few seconds. The slow client asks for
//! `fib(N)`. The options are those of `sinbin perf mixed`. A server is not judged if the machine was too noisy, each time
//! that it was measured.
//!
//! The program starts binaries from its own directory and the directory above. Build the examples and the command
//! first, as `just talk` does.

use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::Value;

const SERVERS: [(&str, &str); 6] = [
    ("talk_1", "one client at a time"),
    ("talk_2", "a thread a client"),
    ("talk_3", "threads, a pool computes"),
    ("talk_4", "coroutines, the loop computes"),
    ("talk_5", "coroutines, the loop waits for a pool"),
    ("talk_6", "coroutines, jobs are waited for"),
];

/// The time that an operation may take beyond its expected duration.
const PATIENCE: Duration = Duration::from_secs(20);

/// The ratio from which a fast client does not count as blocked. A fast client that is blocked takes turns with the
/// slow one: it gets one answer for each slow one. (The share of its rate that it keeps is less meaningful: both
/// clients share the cores with this measurement and with other programs.)
const MORE: f64 = 4.0;

/// The number of times that a server is measured, at most, until the machine is quiet enough to judge.
const ATTEMPTS: u32 = 3;

fn main() -> Result<ExitCode, sinbin::MainError> {
    let argument =
        |position, default: u32| env::args().nth(position).map_or(Ok(default), |text| text.parse());
    let (seconds, slow_n) = (argument(1, 4)?.max(1), argument(2, 30)?);
    let options: Vec<_> = env::args().skip(3).collect();
    let interrupted = interrupted()?;
    let own = env::current_exe()?;
    let examples = own.parent().ok_or("the program has no directory")?;
    let binaries = examples.parent().ok_or("the examples have no parent directory")?;

    println!("A fast client asks for fib(1), alone and beside one that asks for fib({slow_n}).\n");
    println!(
        "{:<6}  {:<37}  {:>8}  {:>8}  {:>5}  {:>9}  {:>10}  {:>6}  lets the fast client down?",
        "server", "", "alone/s", "beside/s", "keeps", "p99 alone", "p99 beside", "slow/s"
    );
    let plan = Plan { examples, binaries, seconds, slow_n, options };
    for (name, what) in SERVERS {
        let measured = plan.measure(name, &interrupted);
        if interrupted.load(Ordering::Acquire) {
            return Ok(ExitCode::from(130));
        }
        let row = measured.map_err(|error| format!("{name}: {error}"))?;
        println!("{name}  {what:<37}  {}", row.line(slow_n));
    }
    println!(
        "\n(One that keeps more than all: where a core is busy anyway, it is spared the waking of an idle one.)"
    );
    Ok(ExitCode::SUCCESS)
}

/// The results of `sinbin perf mixed --json`.
struct Row {
    alone: f64,
    beside: f64,
    p99_alone: f64,
    p99_beside: f64,
    slow: f64,
    /// The reason why the server is not judged.
    too_noisy: Option<String>,
}

impl Row {
    fn parse(text: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(text).ok()?;
        let chosen = usize::try_from(all["chosen"].as_u64()?).ok()?;
        let parts = &all["attempts"][chosen]["parts"];
        let (alone, slow, beside) =
            (&parts[0]["clients"][0], &parts[1]["clients"][0], &parts[1]["clients"][1]);
        let rate = |client: &Value| client["requests_per_second"].as_f64();
        let p99 = |client: &Value| client["times_ns"]["p99"].as_f64().unwrap_or(0.0) / 1e3;
        Some(Self {
            alone: rate(alone)?,
            beside: rate(beside)?,
            p99_alone: p99(alone),
            p99_beside: p99(beside),
            slow: rate(slow)?,
            too_noisy: all["too_noisy"].as_str().map(str::to_owned),
        })
    }

    fn line(&self, slow_n: u32) -> String {
        let keeps = self.beside / self.alone.max(1.0);
        let verdict = if let Some(too_noisy) = &self.too_noisy {
            too_noisy.clone()
        } else if self.beside == 0.0 {
            "yes: it is not served at all".into()
        } else if keeps < 1.0 && self.beside < self.slow * MORE {
            format!("yes: it waits for fib({slow_n})")
        } else {
            "no".into()
        };
        let (p99_alone, p99_beside) = (span(self.p99_alone), span(self.p99_beside));
        format!(
            "{:>8.0}  {:>8.0}  {:>4.0}%  {p99_alone:>9}  {p99_beside:>10}  {:>6.0}  {verdict}",
            self.alone,
            self.beside,
            keeps * 100.0,
            self.slow
        )
    }
}

fn span(micros: f64) -> String {
    match micros {
        0.0 => "never".into(),
        0.0..1000.0 => format!("{micros:.0} µs"),
        _ => format!("{:.1} ms", micros / 1e3),
    }
}

/// The way to measure each server.
struct Plan<'a> {
    examples: &'a Path,
    binaries: &'a Path,
    seconds: u32,
    slow_n: u32,
    options: Vec<String>,
}

impl Plan<'_> {
    fn measure(&self, server: &str, interrupted: &AtomicBool) -> Result<Row, Box<dyn Error>> {
        let mut server = Command::new(program(self.examples, server));
        let mut server = Running::start(server.arg("127.0.0.1:0").stderr(Stdio::null()))?;
        let line = server.first_line(PATIENCE, interrupted)?;
        let address =
            line.trim_end().strip_prefix("listening on ").ok_or("it does not say where it listens")?;
        let mut perf = Command::new(program(self.binaries, "sinbin"));
        perf.args(["perf", "mixed", "--json", "--connect", address, "--attempts", &ATTEMPTS.to_string()]);
        perf.args(["--seconds", &self.seconds.to_string(), "--slow-n", &self.slow_n.to_string()]);
        let mut perf = Running::start(perf.args(&self.options))?;
        // Each attempt has its own patience, for connecting and for the last replies.
        let time = (PATIENCE + Duration::from_secs(self.seconds.into())) * ATTEMPTS;
        let line = perf.first_line(time, interrupted)?;
        Ok(Row::parse(&line).ok_or("the measurement failed")?)
    }
}

fn program(directory: &Path, name: &str) -> PathBuf {
    directory.join(name).with_extension(env::consts::EXE_EXTENSION)
}

/// A child process, which is killed when this handle is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        child.map(Self).map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))
    }

    /// Returns the first line of the output, if the process writes it in time and before a signal.
    fn first_line(&mut self, time: Duration, interrupted: &AtomicBool) -> Result<String, Box<dyn Error>> {
        let mut stdout = BufReader::new(self.0.stdout.take().ok_or("it was read before")?);
        let (sender, said) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            sender.send(stdout.read_line(&mut line).map(|_| line)).ok();
            // The pipe stays open for processes that write more lines.
            io::copy(&mut stdout, &mut io::sink()).ok();
        });
        let end = Instant::now() + time;
        loop {
            match said.recv_timeout(Duration::from_millis(50)) {
                Ok(said) => return Ok(said?),
                Err(RecvTimeoutError::Disconnected) => return Err("it could not be read".into()),
                Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Acquire) => {
                    return Err("interrupted".into());
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => {
                    return Err("it takes too long".into());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Returns a flag that is set on Ctrl-C, SIGHUP or SIGTERM, so that the children do not outlive this program.
#[cfg(unix)]
fn interrupted() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let interrupted = Arc::default();
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

#[cfg(not(unix))]
fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let interrupted: Arc<AtomicBool> = Arc::default();
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Release)).map_err(io::Error::other)?;
    Ok(interrupted)
}
