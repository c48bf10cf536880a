//! The native stack of a loop's thread, as a debugger reads it, where the system permits that.

use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use sinbin::observe::LoopState;

/// The state of a thread, as far as the system tells it.
pub(crate) struct Stack {
    /// The frames, innermost first, or the reason why they are not known.
    pub(crate) frames: Result<Vec<String>, String>,
    /// The system call that the thread is in.
    pub(crate) system_call: Option<String>,
}

/// Returns the stack of a loop's thread. The thread stands still for some milliseconds while a debugger reads it.
pub(crate) fn stack(state: &LoopState) -> Stack {
    let system_call = fs::read_to_string(format!("/proc/{}/task/{}/syscall", state.pid, state.thread)).ok();
    let number = system_call.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
    let system_call = number.map(name_of_call);
    Stack { frames: frames(state), system_call }
}

fn frames(state: &LoopState) -> Result<Vec<String>, String> {
    let thread = state.thread.to_string();
    let elfutils: &[&str] = &["-1", "-p", &thread];
    let gdb: &[&str] = &["-p", &thread, "-batch", "-nx", "-ex", "bt 64"];
    let mut denied = None;
    for (program, arguments) in [("eu-stack", elfutils), ("gdb", gdb)] {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        match command.output() {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let frames: Vec<_> =
                    text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect();
                if !frames.is_empty() {
                    return Ok(frames);
                }
                let error = String::from_utf8_lossy(&output.stderr);
                let last = error.lines().last().unwrap_or("it printed no frame").to_owned();
                denied = Some(format!("{program}: {last}; {}", permission()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => denied = Some(format!("{program}: {error}")),
        }
    }
    Err(denied.unwrap_or_else(|| "it takes a debugger: install elfutils (eu-stack) or gdb".to_owned()))
}

/// Returns what the system requires of those who read the stacks of others.
fn permission() -> String {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "" | "0" => "the system lets a user read the stacks of that user's own processes".to_owned(),
        scope => format!(
            "kernel.yama.ptrace_scope is {scope}: it takes root, or `sysctl kernel.yama.ptrace_scope=0`"
        ),
    }
}

/// Returns the name of a system call that a loop often is in, or its number.
#[cfg(target_os = "linux")]
fn name_of_call(number: i64) -> String {
    let names = [
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_futex, "futex (a lock of threads)"),
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_recvfrom, "recv"),
        (libc::SYS_sendto, "send"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_wait4, "wait4"),
    ];
    let name = names.iter().find(|(known, _)| *known == number);
    name.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned())
}

/// Returns the number of a system call: only those of Linux have names here.
#[cfg(not(target_os = "linux"))]
fn name_of_call(number: i64) -> String {
    format!("number {number}")
}
