//! A loop that serves connections on the board.

use core::fmt::Write as _;
use core::time::Duration;

use cortex_m::Peripherals;
use sinbin_core::serve::Engine;
use sinbin_core::{Fixed, Instant, Service, Task};
use sinbin_metal::{Metal, Net, Settings, SocketMemory};
use smoltcp::iface::Config;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address};
use static_cell::ConstStaticCell;

use crate::console::Console as _;
use crate::mps2::Mps2;
use crate::mps2::clock::Clock;
use crate::mps2::lan9118::{Frames, Lan9118};
use crate::mps2::uart::Uart;
use crate::options::Options;
use crate::stack;

/// The number of sockets, and so of connections: 16, or the variable `SINBIN_SOCKETS` of the build.
pub const SOCKETS: usize = include!(concat!(env!("OUT_DIR"), "/sockets.rs"));

/// The number of tasks and sources: one for each connection, and one for the listener.
const TASKS: usize = SOCKETS + 1;

/// The number of jobs at a time. A request beyond them is refused as busy.
const JOBS: usize = SOCKETS;

/// The loop's tables: tasks, sources, jobs, and 4 blocks of 128 bytes for bytes that wait.
pub type Tables = Fixed<TASKS, TASKS, JOBS, 4, 128>;

/// The host of the service `V`.
pub type Host<V> = Metal<V, Lan9118, Mps2, Tables>;

/// The port of the service.
const PORT: u16 = 7000;

/// The addresses of the board in the network of QEMU.
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const HARDWARE: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 0x01]);

static SOCKET_MEMORY: ConstStaticCell<SocketMemory<SOCKETS>> = ConstStaticCell::new(SocketMemory::new());

static FRAMES: ConstStaticCell<Frames> = ConstStaticCell::new(Frames::new());

/// Starts the board and serves forever.
///
/// # Panics
///
/// Panics if the board does not come up.
pub fn serve<V: Service<Conn: Task<Host<V>>>>(service: V, options: &Options) -> ! {
    Uart.start();
    let mut peripherals = Peripherals::take().expect("this is the first call");
    stack::guard(&mut peripherals.MPU);
    let clock = Clock::start(peripherals.SYST);
    let (card, frames) = Lan9118::start(HARDWARE, FRAMES.take());
    let board = Mps2::new(clock, frames, report_if_asked);
    let config = Config::new(HARDWARE.into());
    let address = IpCidr::new(IpAddress::Ipv4(ADDRESS), 24);
    let mut net = Net::new(card, config, &[address], SOCKET_MEMORY.take().sockets(), Instant::ZERO);
    // The table of routes is empty.
    let _ = net.interface().routes_mut().add_default_ipv4_route(GATEWAY);
    let settings = Settings { max_connections: options.max_connections, burst: 160, ..Settings::default() };
    let metal = Metal::new(service, net, board, &Fixed, settings);
    let mut engine = Engine::new(metal, &Fixed as &Tables, Duration::from_secs(5));
    if engine.accept_from(|metal, source| metal.listen_on(source, PORT)).is_err() {
        panic!("no slot for the listener");
    }
    let _ = Uart.write_str("listening on 127.0.0.1:");
    Uart.write_number(u32::from(options.port));
    let _ = Uart.write_str("\n");
    let _ = engine.run(|| false);
    panic!("the loop has ended")
}

/// Reports the use of the stack when a byte comes by the serial port. A watchdog would be fed here.
fn report_if_asked(_: &Mps2) {
    if Uart.read().is_some() {
        let (size, used) = stack::used();
        let _ = Uart.write_str("stack: ");
        Uart.write_number(u32::try_from(used).unwrap_or(u32::MAX));
        let _ = Uart.write_str(" of ");
        Uart.write_number(u32::try_from(size).unwrap_or(u32::MAX));
        let _ = Uart.write_str(" bytes were used\n");
    }
}
