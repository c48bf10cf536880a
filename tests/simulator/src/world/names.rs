//! Names that a service resolves itself: lookups are jobs, whose results are addresses of the made-up network. An address
//! tells for which client it was looked up, because the tasks that connect to it serve no client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sinbin_core::exec::Jobs;
use sinbin_core::task::Resolver;
use sinbin_core::{IoError, JobId, Service};

use crate::client_model::ClientModel;
use crate::network::Names;
use crate::world::{Event, World};

/// The prefix of the network's addresses, which is reserved for documentation: 2001:db8::/32. The next 32 bits are the
/// number of the client, from 1 on.
const PREFIX: u128 = 0x2001_0db8 << 96;

/// A lookup: the client for which it is, and the number of addresses that it finds, which is decided when it begins.
#[derive(Clone)]
pub(crate) struct Lookup {
    client: Option<usize>,
    found: Arc<AtomicU16>,
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Returns true if the service resolves names itself.
    pub(crate) fn resolves_names(&self) -> bool {
        self.outgoing.network.is_some_and(|network| network.names == Names::ByService)
    }

    /// Returns the resolver for the next lookup, which the running task requests.
    pub(crate) fn next_lookup(&self) -> Arc<dyn Resolver> {
        let lookup = Lookup { client: self.running_client(), found: Arc::default() };
        *self.outgoing.next_lookup.borrow_mut() = Some(lookup.clone());
        Arc::new(move |_: &str, port: u16| lookup.addresses(port))
    }

    /// Begins a job that may block: a lookup, if the running task has requested one.
    pub(crate) fn submit_lookup(&mut self, id: JobId, job: S::Job) {
        let Some(lookup) = self.outgoing.next_lookup.take() else { return self.submit(id, job) };
        let troubles = self.outgoing.network.map(|network| network.troubles).unwrap_or_default();
        let found = if self.rng.strikes(troubles.unresolved) { 0 } else { *self.rng.pick(&[1, 2, 3, 3]) };
        lookup.found.store(found, Ordering::Relaxed);
        if let Some(client) = lookup.client {
            self.peers[client].asked_at = Some(self.now);
        }
        self.report.jobs += 1;
        self.evidence.job_begins(id);
        self.tell(|| match lookup.client {
            Some(client) => {
                format!("job {id} looks up the upstream of client {client}, and will find {found} addresses")
            }
            None => format!("job {id} looks up a name, and will find {found} addresses"),
        });
        if self.work.submit(id, job, &mut self.rng) {
            let after = self.delay(troubles.slow_names);
            self.schedule(after, Event::Job(id));
        }
    }
}

impl Lookup {
    fn addresses(&self, port: u16) -> Result<Vec<SocketAddr>, IoError> {
        let number = self.client.map_or(0, |client| client as u128 + 1);
        let address = |index| {
            let ip = Ipv6Addr::from_bits(PREFIX | number << 64 | u128::from(index));
            SocketAddr::from((ip, port))
        };
        match self.found.load(Ordering::Relaxed) {
            0 => Err(IoError::Unresolved),
            found => Ok((0..found).map(address).collect()),
        }
    }
}

/// Returns the client for which an address was looked up.
pub(super) fn client_of(address: SocketAddr) -> Option<usize> {
    let IpAddr::V6(ip) = address.ip() else { return None };
    let number = (ip.to_bits() ^ PREFIX) >> 64;
    // An address without the prefix has other bits there.
    let number = u32::try_from(number).ok()?;
    usize::try_from(number).ok()?.checked_sub(1)
}
