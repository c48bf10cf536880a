//! The clients: each sends a message, waits for its echo, and sends the next one.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::cable::Plug;
use crate::meter;

/// The number of clients.
pub const CLIENTS: usize = 8;

/// The port, and the addresses of both ends.
pub const PORT: u16 = 7000;
pub const SERVER: IpAddress = IpAddress::v4(10, 0, 0, 1);
pub const SERVER_HARDWARE: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const ADDRESS: IpAddress = IpAddress::v4(10, 0, 0, 2);

const MESSAGE: &[u8] = b"0123456789abcdef";

/// The memory of the clients' sockets.
pub struct Memory<'m> {
    storage: [SocketStorage<'m>; CLIENTS],
    received: [[u8; 128]; CLIENTS],
    unsent: [[u8; 128]; CLIENTS],
}

impl Memory<'_> {
    /// Creates the memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            storage: [SocketStorage::EMPTY; CLIENTS],
            received: [[0; 128]; CLIENTS],
            unsent: [[0; 128]; CLIENTS],
        }
    }
}

impl Default for Memory<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// All clients, with a stack of their own.
pub struct Clients<'m> {
    interface: Interface,
    plug: Plug<'m>,
    sockets: SocketSet<'m>,
    handles: [Option<SocketHandle>; CLIENTS],
    /// True for each client that has sent its first message.
    began: [bool; CLIENTS],
    name: &'static str,
}

impl<'m> Clients<'m> {
    /// Creates the clients of the server `name`.
    pub fn new(mut plug: Plug<'m>, memory: &'m mut Memory<'m>, name: &'static str) -> Self {
        let mut interface =
            Interface::new(Config::new(EthernetAddress([2, 0, 0, 0, 0, 2]).into()), &mut plug, Instant::ZERO);
        interface.update_ip_addrs(|list| {
            let _ = list.push(IpCidr::new(ADDRESS, 24));
        });
        let Memory { storage, received, unsent } = memory;
        let mut sockets = SocketSet::new(&mut storage[..]);
        let mut handles = [None; CLIENTS];
        for ((number, (received, unsent)), handle) in
            (0..).zip(received.iter_mut().zip(unsent)).zip(&mut handles)
        {
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(&mut received[..]),
                tcp::SocketBuffer::new(&mut unsent[..]),
            );
            socket.set_nagle_enabled(false);
            if socket.connect(interface.context(), (SERVER, PORT), 50_000_u16 + number).is_err() {
                panic!("the address is valid");
            }
            *handle = Some(sockets.add(socket));
        }
        Self { interface, plug, sockets, handles, began: [false; CLIENTS], name }
    }

    /// Lets the clients act.
    pub fn act(&mut self) {
        let now = Instant::from_micros(i64::try_from(meter::micros()).unwrap_or(0));
        self.interface.poll(now, &mut self.plug, &mut self.sockets);
        for (handle, began) in self.handles.into_iter().zip(&mut self.began) {
            let Some(handle) = handle else { continue };
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
            if socket.recv_queue() == MESSAGE.len() {
                let mut echo = [0; MESSAGE.len()];
                assert!(socket.recv_slice(&mut echo) == Ok(MESSAGE.len()) && echo == *MESSAGE, "the echo");
                meter::count(self.name);
                let _ = socket.send_slice(MESSAGE);
            } else if socket.may_send() && !*began {
                *began = true;
                let _ = socket.send_slice(MESSAGE);
            }
        }
        self.interface.poll(now, &mut self.plug, &mut self.sockets);
    }
}
