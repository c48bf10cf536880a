//! `sinbin drain`: makes a server answer what it has received, and end.

use std::error::Error;
use std::process::ExitCode;

use super::args::DrainArgs;

#[cfg(target_os = "linux")]
pub(crate) fn run(args: &DrainArgs) -> Result<ExitCode, Box<dyn Error>> {
    linux::run(args)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(args: &DrainArgs) -> Result<ExitCode, Box<dyn Error>> {
    super::loops(&[args.pid])?;
    Err("servers can be drained by this command on Linux only; elsewhere, send SIGTERM".into())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::fs;
    use std::process::ExitCode;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fd::OwnedFd;
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use sinbin::observe::{Counter, LoopState, ObserveError, Observed, Phase};
    use sinbin_cli::{complain, output};

    use crate::observe::args::DrainArgs;
    use crate::observe::{command, describe, loops, tasks};
    use crate::serve::CUT;

    pub(super) fn run(args: &DrainArgs) -> Result<ExitCode, Box<dyn Error>> {
        let begun = Instant::now();
        let limit = args.timeout.0.map(|span| begun + span);
        let process = open(args.pid)?;
        let loops = loops(&[args.pid])?;
        // The process id may have passed to another process before the loops were found, but not since the first line.
        if has_ended(&process, Some(Duration::ZERO))? {
            return Err(ObserveError::NoProcess(args.pid).into());
        }
        let states = states(&loops)?;
        if states.iter().any(|state| state.draining) {
            // A second signal would end the process at once.
            output::line_or_end(format_args!("process {} drains already: waiting for its end", args.pid));
        } else {
            check_handler(args.pid)?;
            send(&process, args.pid)?;
        }
        let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
        if !has_ended(&process, left)? {
            complain(unfinished(&loops, args.pid, begun.elapsed()));
            return Ok(ExitCode::FAILURE);
        }
        tell(&loops, args.pid, begun.elapsed())
    }

    fn open(pid: u32) -> Result<OwnedFd, Box<dyn Error>> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(ObserveError::NoProcess(pid))?;
        pidfd_open(id, PidfdFlags::empty()).map_err(|error| match error {
            Errno::SRCH => ObserveError::NoProcess(pid).into(),
            _ => format!("cannot refer to process {pid}: {error}").into(),
        })
    }

    fn states(loops: &[Observed]) -> Result<Vec<LoopState>, ObserveError> {
        loops.iter().map(Observed::state).collect()
    }

    /// Waits for the end of the process; without a limit if `span` is `None`.
    fn has_ended(process: &OwnedFd, span: Option<Duration>) -> Result<bool, Box<dyn Error>> {
        let end = span.map(|span| Instant::now() + span);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose()?;
            match poll(&mut [PollFd::new(process, PollFlags::IN)], timeout.as_ref()) {
                Ok(count) => return Ok(count > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fails if SIGTERM would kill the process, or have no effect.
    fn check_handler(pid: u32) -> Result<(), String> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|error| format!("cannot find out whether process {pid} handles SIGTERM: {error}"))?;
        if handles(&status, Signal::TERM) {
            return Ok(());
        }
        Err(format!(
            "process {pid} does not handle SIGTERM, so this would kill it or have no effect: its program has to stop \
             the loop on a signal, as `sinbin serve` does (`Stopper::stop`)"
        ))
    }

    /// Returns true if the status of a process says that it has a handler for the signal.
    fn handles(status: &str, signal: Signal) -> bool {
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        caught >> (signal.as_raw() - 1) & 1 == 1
    }

    fn send(process: &OwnedFd, pid: u32) -> Result<(), Box<dyn Error>> {
        pidfd_send_signal(process, Signal::TERM).map_err(|error| match error {
            Errno::SRCH => ObserveError::NoProcess(pid).into(),
            Errno::PERM => ObserveError::NotPermitted { pid, error: error.into() }.into(),
            _ => format!("cannot send SIGTERM to process {pid}: {error}").into(),
        })
    }

    /// Returns what a process that has not ended in time does.
    fn unfinished(loops: &[Observed], pid: u32, after: Duration) -> String {
        let mut text = format!("process {pid} has not ended after {}", describe::span(after));
        for observed in loops {
            let Ok(state) = observed.state() else { continue };
            let open = state.counter(Counter::Open);
            text += &match (state.phase, state.draining) {
                (Phase::Ended, _) => format!("; loop {} has ended", state.number),
                (_, false) => format!("; loop {} has not begun to drain", state.number),
                (_, true) => {
                    let what = observed.snapshot().map(|snapshot| match &snapshot.poll {
                        Some(poll) => format!("its WASI command {}", command::does(&snapshot.state, poll)),
                        None => format!("these tasks: {}", tasks::summary(&snapshot.tasks)),
                    });
                    let what = what.unwrap_or_default();
                    format!("; loop {} drains, with {open} connections and {what}", state.number)
                }
            };
        }
        format!("{text}; see `sinbin ps {pid}`")
    }

    /// Tells how the process has ended, by what its loops have noted last.
    fn tell(loops: &[Observed], pid: u32, after: Duration) -> Result<ExitCode, Box<dyn Error>> {
        let states = states(loops)?;
        let span = describe::span(after);
        if states.iter().any(|state| state.phase != Phase::Ended) {
            return Err(
                format!("process {pid} has ended after {span}, but not by a drain: it was killed").into()
            );
        }
        let cut: u64 = states.iter().map(|state| state.cut).sum();
        if cut > 0 {
            complain(format_args!(
                "process {pid} has ended after {span}: the time to drain expired, and {cut} connections were cut off"
            ));
            return Ok(ExitCode::from(CUT));
        }
        output::line_or_end(format_args!("process {pid} has drained and ended after {span}"));
        Ok(ExitCode::SUCCESS)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_handler_is_seen_in_the_status() {
            let status =
                |mask: &str| format!("Name:\tx\nSigIgn:\t0000000000004000\nSigCgt:\t{mask}\nCapInh:\t0\n");
            assert!(handles(&status("0000000000004000"), Signal::TERM));
            assert!(handles(&status("ffffffffffffffff"), Signal::TERM));
            assert!(!handles(&status("0000000000008000"), Signal::TERM));
            assert!(!handles(&status("junk"), Signal::TERM));
            assert!(!handles("", Signal::TERM));
        }
    }
}
