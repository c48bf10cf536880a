//! The echo service as a loop over smoltcp's sockets, without tasks.

#![no_std]
#![no_main]

use core::cell::RefCell;

use cortex_m_rt::entry;
use sinbin_compare::cable::{Plug, Queue};
use sinbin_compare::clients::{CLIENTS, Clients, Memory, PORT, SERVER, SERVER_HARDWARE};
use sinbin_compare::meter;
use smoltcp::iface::{Config, Interface, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::IpCidr;
use static_cell::ConstStaticCell;

static QUEUES: [ConstStaticCell<RefCell<Queue>>; 2] =
    [const { ConstStaticCell::new(RefCell::new(Queue::new())) }; 2];
static BUFFERS: ConstStaticCell<[[[u8; 128]; 2]; CLIENTS]> = ConstStaticCell::new([[[0; 128]; 2]; CLIENTS]);
static STORAGE: ConstStaticCell<[SocketStorage<'static>; CLIENTS]> =
    ConstStaticCell::new([SocketStorage::EMPTY; CLIENTS]);
static CLIENT: ConstStaticCell<Memory<'static>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    meter::start();
    let [to_server, to_clients] = QUEUES.each_ref().map(|queue| &*queue.take());
    let mut clients =
        Clients::new(Plug { receives: to_clients, sends: to_server }, CLIENT.take(), "bare smoltcp");
    let mut plug = Plug { receives: to_server, sends: to_clients };
    let mut interface = Interface::new(Config::new(SERVER_HARDWARE.into()), &mut plug, Instant::ZERO);
    interface.update_ip_addrs(|list| {
        let _ = list.push(IpCidr::new(SERVER, 24));
    });
    let mut sockets = SocketSet::new(&mut STORAGE.take()[..]);
    let handles = BUFFERS.take().each_mut().map(|[received, unsent]| {
        let (received, unsent) =
            (tcp::SocketBuffer::new(&mut received[..]), tcp::SocketBuffer::new(&mut unsent[..]));
        let mut socket = tcp::Socket::new(received, unsent);
        socket.set_nagle_enabled(false);
        sockets.add(socket)
    });
    let mut buffer = [0; 128];
    loop {
        let now = Instant::from_micros(i64::try_from(meter::micros()).unwrap_or(0));
        interface.poll(now, &mut plug, &mut sockets);
        for handle in handles {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            if !socket.is_open() {
                let _ = socket.listen(PORT);
            }
            if socket.can_recv() && socket.can_send() {
                let count = socket.recv_slice(&mut buffer).unwrap_or(0);
                let _ = socket.send_slice(&buffer[..count]);
            }
        }
        interface.poll(now, &mut plug, &mut sockets);
        meter::elsewhere(|| clients.act());
    }
}
