use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Command;

use super::arguments;
use super::served::Served;
use crate::dialogue::{Dialogue, Host, Listening, Need, Options, Service, Stage};

/// The argument of a command that is replaced with the service's options.
const PLACE: &str = "{options}";

/// A host that the user specifies: a command, an address, or both.
#[derive(Clone, Debug)]
pub struct Given {
    /// The service of the host.
    pub service: Service,
    /// The command and its arguments; empty if the host is already running. The options of a dialogue are appended, or
    /// replace an argument `{options}`.
    pub command: Vec<OsString>,
    /// The address of the host. A command that prints `listening on ADDR` needs none.
    pub address: Option<SocketAddr>,
    /// The capabilities that the host lacks.
    pub lacks: Vec<Need>,
}

impl Host for Given {
    fn name(&self) -> &str {
        "given"
    }

    fn about(&self) -> &str {
        if self.command.is_empty() { "the server at the given address" } else { "the given command" }
    }

    fn lacks(&self, dialogue: &Dialogue) -> Option<String> {
        if dialogue.service != self.service {
            return Some(format!("it serves {}, as --service says", self.service));
        }
        if let Some(need) = dialogue.needs.iter().find(|need| self.lacks.contains(need)) {
            return Some(format!("--lacks {need}"));
        }
        if self.command.is_empty() && !dialogue.options.is_empty() {
            let options: Vec<_> = arguments(&dialogue.options).collect();
            return Some(format!("it runs already, and would have to be started with {}", options.join(" ")));
        }
        None
    }

    fn open(&self, _: Service, options: &Options) -> Result<Box<dyn Stage>, String> {
        let Some((program, args)) = self.command.split_first() else {
            let address = self.address.ok_or("there is neither a command nor an address")?;
            return Ok(Box::new(Listening(address)));
        };
        let mut command = Command::new(program);
        for arg in args {
            if arg == PLACE {
                command.args(arguments(options));
            } else {
                command.arg(arg);
            }
        }
        if !args.iter().any(|arg| arg == PLACE) {
            command.args(arguments(options));
        }
        Ok(Box::new(Served::start_given(command, self.address)?))
    }
}
