use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Command;

use rustix::process::Signal;

use crate::client::{Client, exchange};
use crate::command::{Ended, Running};
use crate::example::example;
use crate::host::serve;

/// A server, listening: `sinbin serve` or an example.
pub struct Server {
    running: Running,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts `sinbin serve fib` with `args`, or the same on another host (see `host`). Without a `--listen` among them it gets a free port.
    #[must_use]
    pub fn fib(args: &[&str]) -> Self {
        Self::start("fib", args)
    }

    /// The same for any service.
    #[must_use]
    pub fn start(service: &str, args: &[&str]) -> Self {
        let mut all = args.to_vec();
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let listeners = all.iter().filter(|arg| **arg == "--listen").count();
        Self::listening(serve(service, &all), listeners)
    }

    /// Starts an example that takes an address to listen on. It gets a free port.
    #[must_use]
    pub fn example(name: &str) -> Self {
        Self::of(example(name))
    }

    /// The same for any program.
    #[must_use]
    pub fn of(mut program: Command) -> Self {
        program.arg("127.0.0.1:0");
        Self::listening(program, 1)
    }

    /// Starts any program that says where it listens, in one place, without being told.
    #[must_use]
    pub fn announced(program: Command) -> Self {
        Self::listening(program, 1)
    }

    fn listening(command: Command, listeners: usize) -> Self {
        let running = Running::start(command);
        let lines = running.first_lines(listeners);
        let address = |line: &String| announced(line).unwrap_or_else(|error| panic!("{error}"));
        let addresses = lines.iter().map(address).collect();
        Self { running, addresses }
    }

    /// Where it listens; where it first does, if that is in several places.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All places.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A new client.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends `requests` and the end of the stream. Returns all that comes back.
    ///
    /// # Panics
    ///
    /// When the connection fails, or what comes back is no text.
    #[must_use]
    pub fn ask(&self, requests: impl AsRef<[u8]>) -> String {
        String::from_utf8(exchange(self.address(), requests.as_ref())).expect("text")
    }

    /// Asks it to stop by SIGTERM, and waits for its end.
    #[must_use]
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.running.wait()
    }
}

impl Deref for Server {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// The address in the line that a server says first.
pub(crate) fn announced(line: &str) -> Result<SocketAddr, String> {
    let address = line.strip_prefix("listening on ");
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| format!("no line \"listening on ADDR\": {line:?}"))
}
