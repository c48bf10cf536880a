//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Parser, ValueEnum};
use sinbin_tests::dialogue::Service;

/// Play scripted conversations with every host, and check that all answer alike, to the byte.
///
/// Hosts that are needed and missing are built first. Your own host is a command that prints `listening on ADDR`, or an
/// address: dialogues --service fib -- my-server --listen 127.0.0.1:0
#[derive(Parser)]
#[command(name = "dialogues", version, after_help = EXIT_CODES)]
#[command(group = ArgGroup::new("own").args(["address", "command"]).multiple(true))]
pub(crate) struct Cli {
    /// The name of a host; may be given more than once. The default is all hosts, or only your own if you name one.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Only dialogues whose name contains this text, such as fib/ or fib/pipelined.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// Only dialogues with this service, which is also the service of your own host.
    #[arg(long, value_enum)]
    pub(crate) service: Option<ServiceArg>,
    /// The address at which your own host listens. Without a command the host must be running already.
    #[arg(long, value_name = "ADDR:PORT", requires = "service")]
    pub(crate) address: Option<SocketAddr>,
    /// A capability that your own host lacks; may be given more than once.
    #[arg(long, value_enum, value_name = "NEED", requires = "own")]
    pub(crate) lacks: Vec<NeedArg>,
    /// List the hosts and dialogues, and do nothing else.
    #[arg(long)]
    pub(crate) list: bool,
    /// The directory of the dialogues.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/dialogues"))]
    pub(crate) dialogues: PathBuf,
    /// The command of your own host. The options of a dialogue are appended as --name value, or replace an argument
    /// {options}. The host ends with this command, and so do the processes that the host starts.
    #[arg(last = true, requires = "service", value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const EXIT_CODES: &str = "Exit codes: 0 all dialogues passed, with equal answers; 1 a dialogue failed or its \
answers differ, see the table; 2 wrong arguments, or an invalid dialogue; 130 ended by Ctrl-C, and 143 by SIGTERM, with \
the hosts that it had started.";

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ServiceArg {
    /// The service of the talk, which answers with Fibonacci numbers.
    Fib,
    /// A service that returns the bytes that it receives.
    Echo,
    /// A service that returns the bytes that it receives in upper case.
    Upper,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum NeedArg {
    /// Closing a connection without a reset while the client still sends.
    Linger,
}

impl From<ServiceArg> for Service {
    fn from(service: ServiceArg) -> Self {
        match service {
            ServiceArg::Fib => Self::Fib,
            ServiceArg::Echo => Self::Echo,
            ServiceArg::Upper => Self::Upper,
        }
    }
}
