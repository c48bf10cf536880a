//! The table: serves the site, runs each way as a process of its own, and compares them.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use sinbin::MainError;

use crate::site::{self, Load};
use crate::{WAYS, Way};

/// The time that a process may take beyond its expected duration.
const PATIENCE: Duration = Duration::from_secs(60);

/// The numbers of fetches that wait for the site when the memory of a process is measured. The difference is due to the
/// fetches: both processes know the same URLs.
const FEW: usize = 100;
const MANY: usize = 400;

/// Runs all ways on a site whose pages take `delay`, and prints the table.
pub fn all(delay: Duration) -> Result<ExitCode, MainError> {
    let (address, load) = site::start(delay)?;
    let broken = format!("http://{}/", site::start_broken()?);
    let (ten, linked) = (site::ten_pages(address), [format!("http://{address}/tree/1")]);

    println!("Ten pages, and fifteen linked ones, of {} ms each, on {address}:\n", delay.as_millis());
    println!(
        "{:<10}  {:>7}  {:>7}  {:>4}  {:>5}  {:>12}  an error in the third call: its stack",
        "way", "ten", "linked", "open", "lines", "bytes a task"
    );
    let mut results = Vec::new();
    for way in &WAYS {
        let failed = |error| format!("{}: {error}", way.name);
        let of_ten = crawl(way, &ten).map_err(failed)?;
        let peak = load.take_peak();
        let of_linked = crawl(way, &linked).map_err(failed)?;
        let memory = if peak > 1 { bytes_a_task(way, address, &load).map_err(failed)? } else { None };
        load.take_peak();
        let of_broken = crawl(way, &[&broken]).map_err(failed)?;
        println!(
            "{:<10}  {:>5} s  {:>5} s  {peak:>4}  {:>5}  {:>12}  {}",
            way.name,
            of_ten.seconds,
            of_linked.seconds,
            lines(way.source),
            memory.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            stack(&of_broken.pages),
        );
        results.push((of_ten.pages, of_linked.pages));
    }
    let shared = [include_str!("event_loop.rs"), include_str!("selector.rs")].map(lines);
    println!(
        "\nopen: the most requests that the site had at a time. lines: without comments; the loop of `callbacks` to \
         `delegating` has\n{} more, and the selector {}. bytes a task: memory of the process for each fetch that waits.",
        shared[0], shared[1]
    );
    if results.iter().any(|result| *result != results[0]) {
        println!("The results differ.");
        return Ok(ExitCode::FAILURE);
    }
    println!("All results are equal to the byte:\n\n{}", results[0].1);
    Ok(ExitCode::SUCCESS)
}

/// Returns the number of lines that contain code.
fn lines(source: &str) -> usize {
    let lines = source.lines().map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// Returns the stack of the only error in a report.
fn stack(report: &str) -> &str {
    let error = report.lines().find(|line| line.starts_with("failed"));
    error.and_then(|line| line.rsplit_once('[')).map_or("no error", |(_, stack)| stack.trim_end_matches(']'))
}

/// The output of a crawl.
struct Crawled {
    pages: String,
    /// The time, such as `0.104`.
    seconds: String,
}

/// Runs a crawl in a process of its own.
fn crawl(way: &Way, urls: &[impl AsRef<str>]) -> Result<Crawled, String> {
    let mut command = command(way).map_err(|error| error.to_string())?;
    command.args(urls.iter().map(AsRef::as_ref));
    let Output { stdout, stderr } = Running::start(command, Stdio::piped())?.end()?;
    let seconds = stderr.trim_end().strip_suffix(" s").ok_or_else(|| stderr.clone())?.to_owned();
    Ok(Crawled { pages: stdout, seconds })
}

/// Measures the memory of processes whose fetches all wait. Returns `None` if the system does not report it.
fn bytes_a_task(way: &Way, address: SocketAddr, load: &Load) -> Result<Option<usize>, String> {
    if memory(std::process::id()).is_none() {
        return Ok(None);
    }
    let mut measured = [0; 2];
    for (open, bytes) in [FEW, MANY].into_iter().zip(&mut measured) {
        load.release(false);
        let mut command = command(way).map_err(|error| error.to_string())?;
        command.args(["--concurrency", &open.to_string()]);
        command.args((0..MANY).map(|n| format!("http://{address}/held/{n}")));
        let mut running = Running::start(command, Stdio::null())?;
        running.wait_until(|_| load.open() == open)?;
        let memory = memory(running.0.id());
        load.release(true);
        running.end()?;
        *bytes = memory.ok_or("the memory of the crawl is not known")?;
    }
    Ok(Some(measured[1].saturating_sub(measured[0]) / (MANY - FEW)))
}

/// Returns the private memory of a process in bytes, on Linux.
fn memory(pid: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

fn command(way: &Way) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(way.name);
    Ok(command)
}

struct Output {
    stdout: String,
    stderr: String,
}

/// A child process, which is killed when this handle is dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command, stdout: Stdio) -> Result<Self, String> {
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn();
        child.map(Self).map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))
    }

    /// Waits until `is_done` returns true, at most for as long as [`PATIENCE`].
    fn wait_until(&mut self, mut is_done: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !is_done(self) {
            if Instant::now() > end {
                return Err("the crawl takes too long".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits for the end of the process. Its output fits into the pipes.
    fn end(mut self) -> Result<Output, String> {
        self.wait_until(|running| !matches!(running.0.try_wait(), Ok(None)))?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let read = self.0.stdout.take().map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut stdout));
        let read = read.and(self.0.stderr.take().map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut stderr)));
        read.map_err(|error| error.to_string())?;
        Ok(Output { stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
