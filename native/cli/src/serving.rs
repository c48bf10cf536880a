//! The options of the commands that serve, natively and in a sandbox.

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sinbin::driven::DEFAULT_MAX_JOBS;
use sinbin::guests::GuestSettings;

use sinbin::{BoundListener, Place, Settings};

use crate::address::place;
#[cfg(feature = "tls")]
use crate::encryption::TlsArgs;
use crate::size::{Size, size_within};
use crate::span::{Span, span};

/// The port of the default of `--listen`.
const DEFAULT_PORT: u16 = 25_000;

/// The options of a loop.
#[derive(Args)]
pub struct ServingArgs {
    /// Address to listen on, or only a port for 127.0.0.1, or unix:PATH for a Unix socket; may be repeated. With port 0 the
    /// system chooses a free port.
    #[arg(long, default_value = "127.0.0.1:25000", value_name = "ADDR:PORT", value_parser = place)]
    pub listen: Vec<Place>,
    /// Maximum number of simultaneous connections; further clients wait in the system's backlog.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Maximum number of simultaneous connections of one peer; further connections are reset at once, and counted
    /// (default: no limit).
    ///
    /// A peer is an IPv4 address, or the first 64 bits of an IPv6 address. Many users can share an IPv4 address, and
    /// all users behind a proxy have the same address: the limit should be generous, or off.
    #[arg(long, value_name = "N")]
    pub max_per_peer: Option<NonZeroU32>,
    /// Accept IPv4 connections on IPv6 listeners as well, such as `[::]:25000`.
    ///
    /// Without it, IPv6 listeners accept no IPv4 connections, whatever the system's default is. A server for both then
    /// needs a --listen for each, with the same port.
    #[arg(long)]
    pub dual_stack: bool,
    /// Maximum size of the bytes that are buffered for slow clients and for jobs, such as 64M or 1G; a number without a
    /// unit is in MiB. In a sandbox, the limit applies to the guest and to the host separately, and is at most 4095 MiB in
    /// either.
    #[arg(long, default_value = "64MiB", value_name = "SIZE", value_parser = size_within(Size(0)..=Size::mebibytes(65535)))]
    pub max_buffered: Size,
    /// Maximum number of simultaneous jobs, waiting or running; a request that needs another job gets an error at once.
    /// The limit keeps a flood of slow requests from occupying all connections, so it should be well below
    /// --max-connections.
    #[arg(long, default_value_t = DEFAULT_MAX_JOBS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_jobs: u32,
    /// Number of threads for jobs (default: the number of cores minus one, at least 1). In a sandbox, each thread has
    /// its own instance of the guest. With 0, jobs run in slices on the loop itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub workers: Option<u16>,
    /// Budget of a slice of a job on the loop, in the job's units (for fib: calls, about a nanosecond each).
    #[arg(long, default_value_t = 50_000, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(1..))]
    pub slice: u32,
    /// Time to poll repeatedly before the loop blocks, in microseconds: answers are faster, but a core is fully busy. 0
    /// for off.
    #[arg(long, default_value_t = 0, value_name = "MICROS", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub busy_poll: u64,
    /// Close a connection whose client takes this long to accept the bytes that it is sent, such as 30s or 5m; "off"
    /// for never. The time starts when the client does not accept all of the bytes at once, and ends when it has. A
    /// service applies the limit to the replies to each read of up to 16 KiB. In a sandbox, the host also applies it to
    /// the bytes that it buffers for a client, whatever the guest does.
    #[arg(long, default_value = "1m", value_name = "SPAN", value_parser = span)]
    pub reply_timeout: Span,
    /// Time that outstanding requests may take after Ctrl-C or SIGTERM; "off" for no limit.
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = span)]
    pub drain_timeout: Span,
    /// Publish nothing for `sinbin ps` and the other commands that look at a running process. Otherwise processes of the
    /// same user can read what the tasks wait for, and the addresses of their peers, but none of the clients' bytes.
    #[arg(long)]
    pub no_observe: bool,
    /// Record the whole input of the service in this file, for `replay`, including what clients send. The file must be
    /// new, or empty.
    ///
    /// Of a WASI 0.2 command in a sandbox, each call and its result are recorded. With --record, `sinbin serve` uses the driver
    /// of guests in place of the native loop: the tasks and sockets are the same, but a bug of the native loop does not
    /// show in the recording. `sinbin serve` can't record a service that is written as an async fn, and --max-buffered
    /// is then at most 4095 MiB.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Maximum size of the recording, such as 64M or 4G; a number without a unit is in MiB. At this size the recording
    /// ends, and the server continues.
    #[arg(long, default_value = "4GiB", value_name = "SIZE", requires = "record", value_parser = size_within(Size::mebibytes(1)..=Size::mebibytes(u32::MAX)))]
    pub record_limit: Size,
    /// The options for clients that speak TLS.
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// A listener of `--listen`.
pub struct Bound {
    /// The place that was asked for.
    pub asked: Place,
    /// The place that is bound.
    pub bound: Place,
    /// The listener, whose clients speak TLS if they are to.
    pub listener: BoundListener,
}

impl ServingArgs {
    /// Returns true if `--listen` is given, with another value than its default.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        self.listen.as_slice() != [Place::Address(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)))]
    }

    /// Returns true if the clients are to speak TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.tls_cert.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// Listens at the places of `--listen`. Before that, reads the certificates that are needed there.
    ///
    /// # Errors
    ///
    /// Fails if the server can't listen at a place, or if a file can't be used.
    pub fn listeners(&self) -> Result<Vec<Bound>, Box<dyn Error>> {
        #[cfg(feature = "tls")]
        let acceptor = self.tls.acceptor()?;
        let settings = Settings::default().dual_stack(self.dual_stack);
        let mut listeners = Vec::<Bound>::new();
        for place in &self.listen {
            let listener = match place {
                Place::Path(path) => settings.bind_path(path)?,
                Place::Address(address) => {
                    let ours = listeners.iter().filter_map(|other| other.listener.address());
                    settings.bind(*address).map_err(|error| error.beside(ours))?.into()
                }
            };
            let bound = listener.address().map_or_else(|| place.clone(), Place::Address);
            #[cfg(feature = "tls")]
            let listener = match &acceptor {
                Some(acceptor) => listener.with_tls(acceptor),
                None => listener,
            };
            listeners.push(Bound { asked: place.clone(), bound, listener });
        }
        Ok(listeners)
    }

    /// Returns the value of `--max-buffered` in bytes, or `usize::MAX` if it is too large.
    #[must_use]
    pub fn max_buffered(&self) -> usize {
        self.max_buffered.bytes()
    }

    /// Returns the value of `--busy-poll`.
    #[must_use]
    pub fn busy_poll(&self) -> Duration {
        Duration::from_micros(self.busy_poll)
    }

    /// Returns the value of `--drain-timeout`, or `Duration::MAX` if it is "off".
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout.0.unwrap_or(Duration::MAX)
    }

    /// Returns the settings of a driver of guests, whose service gets `arguments`.
    #[must_use]
    pub fn guest_settings(&self, arguments: Vec<String>) -> GuestSettings {
        let mut settings = GuestSettings::default();
        settings.arguments = arguments;
        settings.max_connections = self.max_connections as usize;
        settings.max_buffered = self.max_buffered();
        settings.max_jobs = self.max_jobs as usize;
        settings.max_per_peer = self.max_per_peer;
        settings.dual_stack = self.dual_stack;
        settings.slice = self.slice;
        settings.busy_poll = self.busy_poll();
        settings.reply_timeout = self.reply_timeout.0;
        settings.drain_timeout = self.drain_timeout();
        settings.observe = !self.no_observe;
        if let Some(workers) = self.workers {
            settings.workers = usize::from(workers);
        }
        settings
    }

    /// Returns the value of `--record-limit` in bytes.
    #[must_use]
    pub fn record_limit(&self) -> u64 {
        self.record_limit.0
    }
}
