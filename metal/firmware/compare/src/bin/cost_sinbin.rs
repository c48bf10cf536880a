//! The echo service as a state machine on sinbin's host for boards.

#![no_std]
#![no_main]

use core::cell::RefCell;
use core::time::Duration;

use cortex_m_rt::entry;
use sinbin_compare::cable::{Plug, Queue};
use sinbin_compare::clients::{CLIENTS, Clients, Memory, PORT, SERVER, SERVER_HARDWARE};
use sinbin_compare::meter;
use sinbin_core::echo::Echo;
use sinbin_core::serve::Engine;
use sinbin_core::{Fixed, Instant};
use sinbin_metal::{Board, Metal, Net, Settings, SocketMemory};
use smoltcp::iface::Config;
use smoltcp::wire::IpCidr;
use static_cell::ConstStaticCell;

type Tables = Fixed<{ CLIENTS + 1 }, { CLIENTS + 1 }, 1, 2, 128>;

static QUEUES: [ConstStaticCell<RefCell<Queue>>; 2] =
    [const { ConstStaticCell::new(RefCell::new(Queue::new())) }; 2];
static SERVERS: ConstStaticCell<SocketMemory<CLIENTS, 128, 128>> = ConstStaticCell::new(SocketMemory::new());
static CLIENT: ConstStaticCell<Memory<'static>> = ConstStaticCell::new(Memory::new());

/// A board that lets the clients act whenever it has nothing to do.
struct Bench<'c>(Clients<'c>);

impl Board for Bench<'_> {
    fn now(&self) -> Instant {
        Instant::from_nanos(meter::micros() * 1000)
    }

    fn sleep(&mut self, _: Instant, _: &dyn Fn() -> bool) {
        meter::elsewhere(|| self.0.act());
    }
}

#[entry]
fn main() -> ! {
    meter::start();
    let [to_server, to_clients] = QUEUES.each_ref().map(|queue| &*queue.take());
    let clients = Clients::new(Plug { receives: to_clients, sends: to_server }, CLIENT.take(), "sinbin");
    let plug = Plug { receives: to_server, sends: to_clients };
    let config = Config::new(SERVER_HARDWARE.into());
    let net = Net::new(plug, config, &[IpCidr::new(SERVER, 24)], SERVERS.take().sockets(), Instant::ZERO);
    let metal = Metal::new(Echo::default(), net, Bench(clients), &Fixed, Settings::default());
    let mut engine = Engine::new(metal, &Fixed as &Tables, Duration::from_secs(5));
    if engine.accept_from(|metal, source| metal.listen_on(source, PORT)).is_err() {
        panic!("a slot for the listener");
    }
    let _ = engine.run(|| false);
    panic!("the loop goes on")
}
