//! The host of sinbin on [smoltcp]: TCP services on boards without a heap or an operating system.
//!
//! A board is three things: a network device (smoltcp's [`Device`]), a clock, and a way to sleep until an interrupt
//! ([`Board`]). [`Metal`] is the host on top of them: a fixed set of sockets, jobs in slices between the turns of the
//! tasks, and wakes from interrupts. The loop is [`Engine`], as on every other host, so that a service runs here
//! without a change.
//!
//! ```no_run
//! use core::time::Duration;
//! # use sinbin_core::echo::Echo;
//! # use sinbin_core::serve::Engine;
//! # use sinbin_core::{Fixed, Instant};
//! use sinbin_metal::{Board, Metal, Net, Settings, SocketMemory};
//! use smoltcp::iface::Config;
//! use smoltcp::phy::Device;
//! use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
//!
//! /// Storage for 16 connections and their listener: tasks, sources, jobs, and 4 blocks of 256 bytes.
//! type Tables = Fixed<17, 17, 1, 4, 256>;
//!
//! fn serve(board: impl Board, device: impl Device, memory: &'static mut SocketMemory<16>) {
//!     let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
//!     let address = IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24);
//!     let net = Net::new(device, config, &[address], memory.sockets(), Instant::ZERO);
//!     let metal = Metal::new(Echo::default(), net, board, &Fixed, Settings::default());
//!     let mut engine = Engine::new(metal, &Fixed as &Tables, Duration::from_secs(5));
//!     engine.accept_from(|metal, source| metal.listen_on(source, 7000)).expect("a slot for the listener");
//!     engine.run(|| false).expect("connections wait for the network, which never ends");
//! }
//! ```
//!
//! `metal/firmware` in the repository is a board of that kind, and the page "On the metal" of the book leads from
//! `cargo new` to a service on yours.
//!
//! # What differs from other hosts
//!
//! * The number of connections is the number of sockets. A socket that no connection uses listens. If none does, a
//!   client that connects is refused at once, by a reset.
//! * A connection whose peer vanished is found by keep-alive, after [`Settings::peer_timeout`].
//! * A panic ends the program. No guard catches it, because panics do not unwind here.
//!
//! [smoltcp]: https://docs.rs/smoltcp
//! [`Device`]: smoltcp::phy::Device
//! [`Engine`]: sinbin_core::serve::Engine

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod board;
mod connect;
mod host;
mod memory;
mod net;
mod platform;
mod pooled;
mod settings;
mod sources;
mod tasks;

pub use board::Board;
pub use host::{Metal, Tally};
pub use memory::{SocketMemory, Sockets};
pub use net::Net;
pub use pooled::{Pooled, PooledConn};
pub use settings::Settings;
