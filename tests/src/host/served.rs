use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::command::Running;
use crate::dialogue::{Dialogue, Outcome, Stage, converse, converse_encrypted};
use crate::server::announced;
use crate::wait::{PATIENCE, PATIENCE_WITH_PROGRAMS};

/// The interval between two polls of a process that starts.
const PAUSE: Duration = Duration::from_millis(5);

/// A process that serves.
pub(super) struct Served {
    running: Running,
    address: SocketAddr,
    /// The configuration of the clients, if they speak TLS.
    encryption: Option<Arc<ClientConfig>>,
}

impl Served {
    /// Starts a command of this repository, and waits until it prints its address.
    pub(super) fn start(command: Command) -> Result<Self, String> {
        let program = command.get_program().display().to_string();
        Self::listening(&program, Running::try_start(command), None)
    }

    /// Starts a command as [`start`](Self::start) does, whose clients speak TLS.
    pub(super) fn start_encrypted(command: Command, config: Arc<ClientConfig>) -> Result<Self, String> {
        Ok(Self { encryption: Some(config), ..Self::start(command)? })
    }

    /// Starts a command that the user supplied. The processes that it starts end with it. With an `address` the command
    /// need not print one: it counts as listening when a connection to `address` succeeds.
    pub(super) fn start_given(command: Command, address: Option<SocketAddr>) -> Result<Self, String> {
        let program = command.get_program().display().to_string();
        Self::listening(&program, Running::try_start_leader(command), address)
    }

    fn listening(
        program: &str,
        running: io::Result<Running>,
        address: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let running = running.map_err(|error| format!("cannot start {program}: {error}"))?;
        let deadline = Instant::now() + PATIENCE_WITH_PROGRAMS;
        loop {
            let status = running.status();
            if let Some(address) = listens(&running, address)? {
                return Ok(Self { running, address, encryption: None });
            }
            if let Some(status) = status {
                let said = said(&running.wait().stderr);
                return Err(format!("{program} ended before it listened, with {status}{said}"));
            }
            if Instant::now() > deadline {
                let said = said(&running.stderr());
                return Err(format!("{program} does not listen after {PATIENCE_WITH_PROGRAMS:?}{said}"));
            }
            sleep(PAUSE);
        }
    }
}

/// Describes what a process that does not listen wrote to stderr.
fn said(stderr: &str) -> String {
    match stderr.trim_end() {
        "" => ", and said nothing".to_owned(),
        stderr => format!("; it said: {stderr}"),
    }
}

impl Stage for Served {
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome {
        match &self.encryption {
            None => converse(dialogue, self.address),
            Some(config) => converse_encrypted(dialogue, self.address, config),
        }
    }

    fn says(&self) -> String {
        self.running.stderr()
    }
}

/// Returns the address when the process listens.
fn listens(running: &Running, address: Option<SocketAddr>) -> Result<Option<SocketAddr>, String> {
    match address {
        Some(address) => Ok(TcpStream::connect_timeout(&address, PATIENCE).is_ok().then_some(address)),
        None => match running.stdout().split_once('\n') {
            Some((line, _)) => announced(line).map(Some),
            None => Ok(None),
        },
    }
}
