//! The network: smoltcp's interface, the device, and the sockets.

use sinbin_core::Instant;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle};
use smoltcp::phy::Device;
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::IpCidr;

use crate::memory::{Slot, Sockets};

/// The network of a board: a device with its addresses, and the sockets.
pub struct Net<D: Device> {
    pub(crate) device: D,
    pub(crate) interface: Interface,
    pub(crate) sockets: Sockets,
}

impl<D: Device> Net<D> {
    /// Creates the network of `device`. `config` has its hardware address, and a random seed, which should differ for
    /// each start of the board. Addresses above smoltcp's limit (`SMOLTCP_IFACE_MAX_ADDR_COUNT`, 2 by default) are left
    /// out. Add routes by [`interface`](Self::interface).
    ///
    /// # Panics
    ///
    /// Panics if the hardware address does not match the device, or if an address is not unicast.
    pub fn new(mut device: D, config: Config, addresses: &[IpCidr], sockets: Sockets, now: Instant) -> Self {
        let mut interface = Interface::new(config, &mut device, to_smoltcp(now));
        interface.update_ip_addrs(|list| {
            for address in addresses {
                let _ = list.push(*address);
            }
        });
        Self { device, interface, sockets }
    }

    /// Returns smoltcp's interface, to change its addresses and routes.
    pub fn interface(&mut self) -> &mut Interface {
        &mut self.interface
    }

    /// Returns the device.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        self.sockets.slots
    }

    /// Receives up to `burst` frames. Returns true if there were any.
    pub(crate) fn receive(&mut self, now: Instant, burst: u32) -> bool {
        let (now, set) = (to_smoltcp(now), &mut self.sockets.set);
        self.interface.poll_maintenance(now);
        for count in 0..burst {
            if self.interface.poll_ingress_single(now, &mut self.device, set) == PollIngressSingleResult::None
            {
                return count > 0;
            }
        }
        true
    }

    /// Sends a segment of each socket that has one to send.
    pub(crate) fn send(&mut self, now: Instant) {
        self.interface.poll_egress(to_smoltcp(now), &mut self.device, &mut self.sockets.set);
    }

    /// Returns the moment at which a socket has something to send if no frame arrives before.
    pub(crate) fn next_send(&mut self, now: Instant) -> Instant {
        let at = self.interface.poll_at(to_smoltcp(now), &self.sockets.set);
        at.map_or(Instant::NEVER, of_smoltcp)
    }

    pub(crate) fn socket(&self, handle: SocketHandle) -> &tcp::Socket<'static> {
        self.sockets.set.get(handle)
    }

    pub(crate) fn socket_mut(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.set.get_mut(handle)
    }
}

/// Returns the moment by smoltcp's clock, which counts microseconds.
fn to_smoltcp(at: Instant) -> time::Instant {
    let micros = i64::try_from(at.as_nanos() / 1000).unwrap_or(i64::MAX);
    time::Instant::from_micros_const(micros)
}

/// Returns the moment by the loop's clock.
fn of_smoltcp(at: time::Instant) -> Instant {
    let micros = u64::try_from(at.total_micros()).unwrap_or(0);
    Instant::from_nanos(micros.saturating_mul(1000))
}
