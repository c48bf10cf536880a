//! The host's side of the guest contract: the real driver on loopback, with a guest that answers anything.

mod guest;
mod witness;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sinbin::driven::{Computed, ServiceLimits, ServiceSettings, Wants};
use sinbin::guests::{Fault, GuestFactory, GuestServer, GuestSettings, JobRunner, LIMIT};
use sinbin::{IoError, Stopper};
use sinbin_testkit::tape::Tape;
use socket2::{Domain, Socket, Type};

use guest::Unruly;

/// The most concurrent clients.
const CLIENTS: usize = 4;

/// The endpoints that the guest may connect to.
const PERMISSIONS: [&str; 2] = ["127.0.0.1:*", "name:*"];

/// Resolves a name to this host and to an address that is not permitted.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, IoError> {
    match host {
        "name" => Ok(vec![([10, 0, 0, 1], port).into(), ([127, 0, 0, 1], port).into()]),
        _ => Err(IoError::Unresolved),
    }
}

/// Checks the driver with arbitrary answers of the guest and arbitrary actions of its clients. The driver does not
/// panic, sends the guest only events that the contract allows (see `Witness`), and ends when it is stopped.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn contract(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let mut settings = GuestSettings::default();
    settings.max_connections = 1 + tape.below(4);
    settings.max_buffered = tape.one_of(&[1 << 20, 0, 300, 5_000]);
    settings.workers = tape.below(2);
    settings.drain_timeout = tape.one_of(&[Duration::ZERO, Duration::from_millis(2)]);
    settings.max_connecting = tape.below(4);
    settings.max_outgoing = tape.below(4);
    settings.connect_timeout = tape.one_of(&[Duration::from_secs(1), Duration::ZERO]);
    settings.allow_listen = vec!["127.0.0.1:*".parse().expect("a permission")];
    settings.allow_connect = PERMISSIONS.iter().filter_map(|text| text.parse().ok()).collect();
    let settings = &mut settings.resolver(resolve);
    // A guest that fails is replaced at once.
    settings.max_restarts = usize::MAX;
    let block = tape.one_of(&[16 * 1024, 1, 64, u32::try_from(LIMIT).unwrap_or(1)]);
    let scene =
        Rc::new(RefCell::new(Scene { tape, clients: Vec::new(), address: None, stopper: None, block }));
    // Without a free descriptor or port the check is skipped.
    let Ok(mut server) = GuestServer::new(Unruly::new(&scene), settings) else { return };
    let Ok(address) = server.listen(SocketAddr::from(([127, 0, 0, 1], 0))) else { return };
    scene.borrow_mut().address = Some(address);
    scene.borrow_mut().stopper = Some(server.stopper());
    let summary = server.run().expect("the poller does not fail");
    let counts = summary.served.counts;
    assert!(counts.failed <= counts.connections, "a connection fails once");
    assert!(summary.served.cut as u64 <= counts.connections, "a connection is cut once");
}

/// The state that guests and clients share. All of them run on one thread.
struct Scene<'t> {
    tape: Tape<'t>,
    clients: Vec<TcpStream>,
    address: Option<SocketAddr>,
    stopper: Option<Stopper>,
    block: u32,
}

impl Scene<'_> {
    /// Performs a random action of a client.
    fn act(&mut self) {
        let action = self.tape.below(8);
        if action < 2 {
            return self.connect();
        }
        if self.clients.is_empty() {
            return;
        }
        let index = self.tape.below(CLIENTS) % self.clients.len();
        let client = &mut self.clients[index];
        // Calls on a connection that the server has closed or that is full fail, which is expected.
        match action {
            2..=4 => {
                let len = self.tape.below(32);
                let _ = client.write(self.tape.piece(len));
            }
            5 => drop(client.shutdown(Shutdown::Write)),
            6 => drop(client.read(&mut [0; 64 * 1024])),
            _ => drop(self.clients.remove(index)),
        }
    }

    /// Connects a client with small buffers, so that its connection is soon stuck.
    fn connect(&mut self) {
        let Some(address) = self.address.filter(|_| self.clients.len() < CLIENTS) else { return };
        let connected = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| {
            socket.set_recv_buffer_size(1024)?;
            // The client resets its connection at the end, so that the system keeps no state of it.
            socket.set_linger(self.tape.once_in(4).then_some(Duration::ZERO))?;
            socket.connect(&address.into())?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        });
        self.clients.extend(connected);
    }

    /// Drops all clients, and stops the driver.
    fn end(&mut self) {
        self.clients.clear();
        self.stop();
    }

    fn stop(&self) {
        self.stopper.iter().for_each(Stopper::stop);
    }
}

impl<'t> GuestFactory for Unruly<'t> {
    type Guest = Self;
    type JobRunner = Unskilled;
    type Error = sinbin::Error;

    fn start(&self, start: &ServiceSettings) -> Result<(Self, ServiceLimits), sinbin::Error> {
        let wants = Wants { wall_clock: true, entropy: true };
        let takes = ServiceLimits { connections: start.max_connections, block: self.block(), wants };
        Ok((self.again(), takes))
    }

    fn job_runner(&self) -> Unskilled {
        Unskilled
    }
}

/// Computes a result from the first byte of a job.
#[derive(Clone)]
pub struct Unskilled;

impl JobRunner for Unskilled {
    fn compute(&self, job: &[u8], _: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        match job.split_first() {
            None => Ok(Computed::Done(Vec::new())),
            Some((0..=99, rest)) => Ok(Computed::More(rest.to_vec())),
            Some((100..=199, rest)) => Ok(Computed::Done(rest.to_vec())),
            Some((200, _)) => Ok(Computed::Done(vec![0; LIMIT + 1])),
            Some((201, _)) => Ok(Computed::More(vec![0; LIMIT + 1])),
            Some((202..=229, _)) => Ok(Computed::Nonsense),
            Some(_) => Err(Fault("it can't".into())),
        }
    }
}
