//! The server: the loop that all hosts share, configured by the options.

use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use sinbin_core::driven::BLOCK;
use sinbin_core::job::Slicer;
use sinbin_core::peers::Peers;
use sinbin_core::serve::{Admission, Engine, Stopped};
use sinbin_core::{Limits, Service, Task};

use crate::host::{Portable, Tally};
use crate::listener::Listener;
use crate::options::Options;
use crate::poller::Poller;
use crate::say;
use crate::sockets::Sockets;
use crate::stdin::Stdin;

/// The way in which a server ended.
pub(crate) enum Ended {
    /// All received requests were answered.
    Well,
    /// The number of connections that did not end within the drain timeout.
    Cut(usize),
}

/// Serves until no listener and no connection is left. With `--until-stdin-ends`, the end of stdin requests a stop.
pub(crate) fn serve<S>(service: S, options: &Options) -> Result<Ended, String>
where
    S: Service<Conn: Task<Portable<S>>>,
{
    let mut engine = engine(service, options);
    for address in &options.listen {
        listen(&mut engine, *address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    }
    let ended = engine.run(|| false);
    if ended.is_ok() {
        say(&engine.platform.counts.to_string());
    }
    // The remaining connections still have bytes to send, so dropping them would block. The host closes them with the
    // guest.
    mem::forget(engine);
    match ended {
        Ok(0) => Ok(Ended::Well),
        Ok(cut) => Ok(Ended::Cut(cut)),
        Err(Stopped::Stalled) => Err("all tasks wait, and nothing can wake them".to_owned()),
        Err(Stopped::Platform(never)) => match never {},
    }
}

fn engine<S>(service: S, options: &Options) -> Engine<Portable<S>>
where
    S: Service<Conn: Task<Portable<S>>>,
{
    let tasks = options.max_connections + options.listen.len();
    let limits = Limits::new(tasks, options.max_buffered / BLOCK, BLOCK).with_jobs(options.max_jobs);
    let platform = Portable {
        service,
        sockets: Sockets::default(),
        slicer: Slicer::new(&limits),
        slice: options.slice,
        counts: Tally::default(),
        room: Admission::new(options.max_connections),
        peers: Peers::new(options.max_per_peer),
        leaving: Vec::new(),
        poller: Poller::default(),
        stdin: options.until_stdin_ends.then(Stdin::open),
        is_to_stop: false,
    };
    Engine::new(platform, &limits, options.drain_timeout.unwrap_or(Duration::MAX))
}

fn listen<S>(engine: &mut Engine<Portable<S>>, address: SocketAddr) -> Result<(), String>
where
    S: Service<Conn: Task<Portable<S>>>,
{
    let listener = Listener::bind(address).map_err(|error| error.name().to_owned())?;
    let bound = listener.address().map_err(|error| error.name().to_owned())?;
    let kept = engine.accept_from(|platform, source| platform.sockets.insert_listener(source, listener));
    kept.map_err(|_| "there are too many listeners")?;
    say(&format!("listening on {bound}"));
    Ok(())
}
