//! Connections that tasks open.

use core::net::SocketAddr;

use sinbin_core::kernel::Storage;
use sinbin_core::{IoError, SourceId};
use smoltcp::phy::Device;
use smoltcp::socket::tcp;
use smoltcp::wire::IpEndpoint;

use crate::memory::Use;
use crate::sources::Sources;

/// Returns the address as smoltcp's, or `None` for IPv6 without the feature `ipv6`.
pub(crate) fn endpoint(address: SocketAddr) -> Option<IpEndpoint> {
    match address {
        SocketAddr::V4(address) => Some(address.into()),
        #[cfg(feature = "ipv6")]
        SocketAddr::V6(address) => Some(address.into()),
        #[cfg(not(feature = "ipv6"))]
        SocketAddr::V6(_) => None,
    }
}

/// The first port of the range for connections that are opened here.
const FIRST_PORT: u16 = 49_152;

impl<D: Device, S: Storage> Sources<D, S> {
    /// Starts to connect to `address` as `new`, with a socket that no connection uses.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::NoRoom`] if all sockets are in use, and with [`IoError::Unsupported`] if no address of the
    /// interface can reach the other one.
    pub(crate) fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        let address = endpoint(address).ok_or(IoError::Unsupported)?;
        let slot = self.idle_slot().ok_or(IoError::NoRoom)?;
        let Some(handle) = self.net.slots()[slot].handle else { return Err(IoError::NoRoom) };
        let port = self.free_port();
        let timeout = self.settings.handshake_timeout;
        let socket = self.net.sockets.set.get_mut::<tcp::Socket<'_>>(handle);
        socket.abort();
        let began = socket.connect(self.net.interface.context(), address, port);
        if began.is_err() {
            self.free(slot);
            return Err(IoError::Unsupported);
        }
        self.adopt(slot, new);
        let socket = self.net.socket_mut(handle);
        socket.set_timeout(Some(timeout.into()));
        socket.set_keep_alive(None);
        Ok(())
    }

    /// Returns the result of connecting.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] while the attempt is in progress, and with [`IoError::ConnectionRefused`] if
    /// the peer refused it or did not answer.
    pub(crate) fn connected(&mut self, id: SourceId) -> Result<(), IoError> {
        let (socket, _) = self.conn(id)?;
        match socket.state() {
            tcp::State::SynSent | tcp::State::SynReceived => Err(IoError::WouldBlock),
            tcp::State::Closed => Err(IoError::ConnectionRefused),
            _ => {
                self.watch_peer_of(id);
                Ok(())
            }
        }
    }

    /// Returns a slot whose socket is free, or only waits for a connection.
    fn idle_slot(&self) -> Option<usize> {
        self.net.slots().iter().rposition(|slot| match (slot.used, slot.handle) {
            (Use::Free, Some(_)) => true,
            (Use::Listening(_), Some(handle)) => self.net.socket(handle).is_listening(),
            _ => false,
        })
    }

    /// Returns the next port that no connection uses.
    fn free_port(&mut self) -> u16 {
        loop {
            let port = FIRST_PORT + self.ports % (u16::MAX - FIRST_PORT);
            self.ports = self.ports.wrapping_add(1);
            let mut handles = self.net.slots().iter().filter_map(|slot| slot.handle);
            let is_used = handles.any(|handle| {
                self.net.socket(handle).local_endpoint().is_some_and(|local| local.port == port)
            });
            // There are more ports than sockets.
            if !is_used {
                return port;
            }
        }
    }
}
