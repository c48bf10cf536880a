//! An echo service as a loop over smoltcp's sockets, without tasks, timeouts and jobs: the share of smoltcp, the driver
//! and the board in the flash of the other programs.

#![no_std]
#![no_main]

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use sinbin_firmware::mps2::clock::{Clock, micros};
use sinbin_firmware::mps2::lan9118::{Frames, Lan9118};
use sinbin_firmware::mps2::uart::Uart;
use smoltcp::iface::{Config, Interface, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address};
use static_cell::{ConstStaticCell, StaticCell};

const SOCKETS: usize = 16;
static FRAMES: ConstStaticCell<Frames> = ConstStaticCell::new(Frames::new());
static BUFFERS: ConstStaticCell<[[[u8; 512]; 2]; SOCKETS]> = ConstStaticCell::new([[[0; 512]; 2]; SOCKETS]);
static STORAGE: StaticCell<[SocketStorage<'static>; SOCKETS]> = StaticCell::new();
const HARDWARE: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 0x01]);

#[entry]
fn main() -> ! {
    Uart.start();
    let peripherals = Peripherals::take().expect("this is the first call");
    let _clock = Clock::start(peripherals.SYST);
    let (mut card, _) = Lan9118::start(HARDWARE, FRAMES.take());
    let mut interface = Interface::new(Config::new(HARDWARE.into()), &mut card, Instant::ZERO);
    interface.update_ip_addrs(|list| {
        let _ = list.push(IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24));
    });
    let _ = interface.routes_mut().add_default_ipv4_route(Ipv4Address::new(10, 0, 2, 2));
    let mut sockets = SocketSet::new(&mut STORAGE.init_with(|| [SocketStorage::EMPTY; SOCKETS])[..]);
    let handles = BUFFERS.take().each_mut().map(|[received, unsent]| {
        let (received, unsent) =
            (tcp::SocketBuffer::new(&mut received[..]), tcp::SocketBuffer::new(&mut unsent[..]));
        let mut socket = tcp::Socket::new(received, unsent);
        socket.set_nagle_enabled(false);
        sockets.add(socket)
    });
    let mut buffer = [0; 128];
    loop {
        let now = Instant::from_micros(i64::try_from(micros()).unwrap_or(0));
        interface.poll(now, &mut card, &mut sockets);
        for handle in handles {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            if !socket.is_open() {
                let _ = socket.listen(7000);
            }
            if socket.can_recv() && socket.can_send() {
                let count = socket.recv_slice(&mut buffer).unwrap_or(0);
                let _ = socket.send_slice(&buffer[..count]);
            }
            if socket.may_send() && !socket.may_recv() {
                socket.close();
            }
        }
        let at = interface.poll_at(now, &sockets);
        if at.is_none_or(|at| at > now) {
            cortex_m::asm::wfi();
        }
    }
}
