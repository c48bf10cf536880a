//! Prints the RAM that the service `fib` takes, by its owner.

#![no_std]
#![no_main]

use core::fmt::Write as _;

use cortex_m_rt::entry;
use sinbin_core::fib_service::Fib;
use sinbin_core::serve::Engine;
use sinbin_firmware::fault;
use sinbin_firmware::mps2::Mps2;
use sinbin_firmware::mps2::lan9118::{Frames, Lan9118};
use sinbin_firmware::mps2::uart::Uart;
use sinbin_firmware::serving::{Host, SOCKETS};
use sinbin_metal::SocketMemory;
use smoltcp::iface::{Interface, SocketSet, SocketStorage};

#[entry]
fn main() -> ! {
    Uart.start();
    let engine = size_of::<Engine<Host<Fib>>>();
    let smoltcp = size_of::<Interface>() + size_of::<SocketSet<'_>>();
    let board = size_of::<Mps2>() + size_of::<Lan9118>();
    let memory = size_of::<SocketMemory<SOCKETS>>();
    let sockets = size_of::<[SocketStorage<'_>; SOCKETS]>();
    let buffers = SOCKETS * 2 * 512;
    let own = engine - smoltcp - board + memory - sockets - buffers;
    let _ = writeln!(
        Uart,
        "{SOCKETS} sockets: sinbin {own}, smoltcp {}, buffers {buffers}, driver {}",
        smoltcp + sockets,
        board + size_of::<Frames>()
    );
    fault::end(false);
}
