//! The processes beside a server that look at it: `sinbin watch` and `sinbin monitor`.
//!
//! Processes instead of threads, because a second thread would make every receive and send of the server more expensive,
//! and because a process beside the server still works when the server hangs.

use std::io;
use std::process::{self, Child, Command, Stdio};

use crate::cli::ObservingArgs;

/// The processes beside a server. They end when the server does.
pub(crate) struct Beside(Vec<Child>);

impl Beside {
    /// Starts what the arguments ask for. Call this when the server listens.
    ///
    /// # Errors
    ///
    /// Fails if a process cannot be started.
    pub(crate) fn start(args: &ObservingArgs) -> io::Result<Self> {
        let mut beside = Self(Vec::new());
        let pid = process::id().to_string();
        if let Some(span) = &args.stall_after {
            beside.run(&["watch", &pid, "--stall-after", &span.to_string()])?;
        }
        if let Some(address) = args.metrics {
            beside.run(&["monitor", &pid, "--until-gone", "--listen", &address.to_string()])?;
        }
        Ok(beside)
    }

    fn run(&mut self, arguments: &[&str]) -> io::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        self.0.push(command.args(arguments).stdin(Stdio::null()).spawn()?);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
