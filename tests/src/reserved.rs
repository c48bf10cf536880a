use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1 on which no process listens, until a server of the test does. Meanwhile the system gives the port
/// to no other process, so that connections are refused, and a server of the test can have it.
pub struct ReservedPort {
    address: SocketAddr,
    /// A socket that is bound, and does not listen.
    _socket: Socket,
}

impl ReservedPort {
    /// Reserves a free port.
    ///
    /// # Panics
    ///
    /// Panics if no port is free.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each call reserves another port")]
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Servers set the option as well, so that both can be bound to the port.
        socket.set_reuse_address(true).expect("an option");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self { address: address.expect("an address of IPv4"), _socket: socket }
    }

    /// Returns the address with this port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
