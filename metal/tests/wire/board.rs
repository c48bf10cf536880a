//! The board at one end of the cable, in virtual time. Time passes when the board sleeps, and a little whenever it works.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use sinbin_core::serve::{Engine, Platform as _};
use sinbin_core::task::{Bell, Signal, Signals, Wakers as _};
use sinbin_core::{Fixed, Instant, Service, Task, TaskId};
use sinbin_metal::{Board, Metal, Net, Settings, SocketMemory};
use smoltcp::iface::Config;
use smoltcp::time;
use smoltcp::wire::{EthernetAddress, IpCidr};

use crate::clients::{BOARD, Clients, PORT, Script};
use crate::wire::{End, Faults, Plug, Wire};

/// The number of sockets of the board.
pub const SOCKETS: usize = 6;

/// The loop's tables.
pub type Tables = Fixed<{ SOCKETS + 1 }, { SOCKETS + 1 }, 3, 2, 128>;

/// The host of the service `V`.
pub type Host<V> = Metal<V, Plug, World, Tables>;

/// The hardware address of the board.
pub const HARDWARE: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

/// The time that a turn takes.
const TURN: Duration = Duration::from_micros(20);

/// The time by which everything has to be done.
const LIMIT: Duration = Duration::from_secs(3000);

/// The board, which moves the clients as well.
pub struct World {
    now: Cell<Instant>,
    wire: Rc<RefCell<Wire>>,
    clients: Rc<RefCell<Clients>>,
    /// Called with the wire and the time whenever the board works.
    nature: fn(&mut Wire, time::Instant),
    /// Ends the wait of the loop when the clients have ended, and each second from then on.
    done: Waker,
    next_look: Cell<Instant>,
}

/// The service's connections, and the counts of a run.
pub struct Run {
    pub clients: Rc<RefCell<Clients>>,
    pub wire: Rc<RefCell<Wire>>,
    pub connections: u32,
    /// The time that the run took.
    pub took: Duration,
}

fn smoltcp(at: Instant) -> time::Instant {
    time::Instant::from_micros(i64::try_from(at.as_nanos() / 1000).expect("a moment of the test"))
}

fn sinbin(at: time::Instant) -> Instant {
    Instant::from_nanos(u64::try_from(at.total_micros()).expect("a moment of the test") * 1000)
}

impl World {
    fn move_to(&self, at: Instant) {
        self.now.set(self.now.get().max(at));
        assert!(self.now.get().since(Instant::ZERO) < LIMIT, "the clients never end: {:?}", {
            let clients = self.clients.borrow();
            clients.clients.iter().map(|client| format!("{client:?}")).collect::<Vec<_>>()
        });
        let now = smoltcp(self.now.get());
        (self.nature)(&mut self.wire.borrow_mut(), now);
        let mut clients = self.clients.borrow_mut();
        clients.act(now);
        if clients.are_done() && self.now.get() >= self.next_look.get() {
            self.next_look.set(self.now.get() + Duration::from_secs(1));
            self.done.wake_by_ref();
        }
    }
}

impl Board for World {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn sleep(&mut self, until: Instant, has_wakes: &dyn Fn() -> bool) {
        while self.now() < until && !has_wakes() {
            let now = smoltcp(self.now());
            let arrivals = {
                let wire = self.wire.borrow();
                [wire.next_arrival(End::Board), wire.next_arrival(End::Clients)]
            };
            if arrivals[0].is_some_and(|at| at <= now) {
                return;
            }
            let client = self.clients.borrow_mut().next(now);
            let next = arrivals.into_iter().flatten().chain(client).map(sinbin).min();
            self.move_to(next.unwrap_or(Instant::NEVER).min(until).min(self.now() + Duration::from_secs(1)));
        }
    }

    fn alive(&mut self) {
        self.move_to(self.now() + TURN);
    }
}

/// Serves the clients with `service` until all of them have ended and no connection is left.
pub fn serve<V>(service: V, settings: Settings, seed: u64, faults: Faults, scripts: Vec<Script>) -> Run
where
    V: Service<Conn: Task<Host<V>>>,
{
    serve_amid(service, settings, seed, faults, scripts, |_, _| {})
}

/// Serves as [`serve`] does, amid the frames that `nature` puts on the cable.
pub fn serve_amid<V>(
    service: V,
    settings: Settings,
    seed: u64,
    faults: Faults,
    scripts: Vec<Script>,
    nature: fn(&mut Wire, time::Instant),
) -> Run
where
    V: Service<Conn: Task<Host<V>>>,
{
    let wire = Wire::new(seed, faults);
    let clients = Rc::new(RefCell::new(Clients::new(&wire, scripts, seed)));
    let bell: &Bell = Box::leak(Box::new(Bell::new(|| {})));
    let signals = Signals::new(bell, Box::leak(Box::new([Signal::new(bell)])));
    let board = World {
        now: Cell::new(Instant::ZERO),
        wire: Rc::clone(&wire),
        clients: Rc::clone(&clients),
        nature,
        done: signals.waker(TaskId::from_bits(0)),
        next_look: Cell::new(Instant::ZERO),
    };
    let memory = Box::leak(Box::new(SocketMemory::<SOCKETS, 512, 512>::new()));
    let mut config = Config::new(HARDWARE.into());
    config.random_seed = !seed;
    let plug = Plug { wire: Rc::clone(&wire), end: End::Board };
    let net = Net::new(plug, config, &[IpCidr::new(BOARD, 24)], memory.sockets(), Instant::ZERO);
    let metal: Host<V> = Metal::new(service, net, board, &Fixed, settings).with_signals(signals);
    let mut engine = Engine::new(metal, &Fixed as &Tables, Duration::from_secs(5));
    engine.accept_from(|metal, source| metal.listen_on(source, PORT)).expect("a slot for the listener");
    loop {
        assert!(engine.step(|| false).expect("the network is always there"), "the loop goes on");
        assert_eq!(engine.executor.kernel.audit(), Ok(()));
        if clients.borrow().are_done() && engine.platform.connections() == 0 && engine.platform.leaving() == 0
        {
            break;
        }
    }
    let (connections, took) = (engine.platform.tally().connections, engine.platform.board().now());
    engine.platform.stop();
    assert_eq!(engine.run(|| false), Ok(0), "nothing is cut off");
    Run { clients, wire, connections, took: took.since(Instant::ZERO) }
}
