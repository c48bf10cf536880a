use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command::Running;
use crate::dialogue::{Dialogue, Outcome, Stage, converse};
use crate::server::announced;
use crate::wait::PATIENCE;

/// Between two looks at a process that starts.
const PAUSE: Duration = Duration::from_millis(5);

/// A process that serves.
pub(super) struct Served {
    running: Running,
    address: SocketAddr,
}

impl Served {
    /// Starts a command, and waits until it says where it listens; or until somebody listens at `address`, if there is one.
    pub(super) fn start(command: Command, address: Option<SocketAddr>) -> Result<Self, String> {
        let program = command.get_program().display().to_string();
        let running = Running::try_start(command);
        let mut running = running.map_err(|error| format!("cannot start {program}: {error}"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let has_ended = running.has_ended();
            if let Some(address) = listens(&running, address)? {
                return Ok(Self { running, address });
            }
            if has_ended {
                return Err(format!(
                    "{program} ended, and never listened: {}",
                    running.wait().stderr.trim_end()
                ));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{program} does not listen after {PATIENCE:?}: {}",
                    running.stderr().trim_end()
                ));
            }
            sleep(PAUSE);
        }
    }
}

impl Stage for Served {
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome {
        converse(dialogue, self.address)
    }

    fn says(&self) -> String {
        self.running.stderr()
    }
}

/// Where it listens, once it does.
fn listens(running: &Running, address: Option<SocketAddr>) -> Result<Option<SocketAddr>, String> {
    match address {
        Some(address) => Ok(TcpStream::connect_timeout(&address, PATIENCE).is_ok().then_some(address)),
        None => match running.stdout().split_once('\n') {
            Some((line, _)) => announced(line).map(Some),
            None => Ok(None),
        },
    }
}
