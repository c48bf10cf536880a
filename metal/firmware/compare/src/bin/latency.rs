//! The latency of a short request beside jobs, in instructions of the server: one client asks for fib(25) again and again,
//! which is computed in slices, and another one asks for fib(1) meanwhile.

#![no_std]
#![no_main]

use core::cell::RefCell;
use core::fmt::Write as _;
use core::time::Duration;

use cortex_m_rt::entry;
use sinbin_compare::cable::{Plug, Queue};
use sinbin_compare::clients::{PORT, SERVER, SERVER_HARDWARE};
use sinbin_compare::meter;
use sinbin_core::fib_service::Fib;
use sinbin_core::serve::Engine;
use sinbin_core::{Fixed, Instant};
use sinbin_firmware::fault;
use sinbin_firmware::mps2::uart::Uart;
use sinbin_metal::{Board, Metal, Net, Settings, SocketMemory};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use static_cell::ConstStaticCell;

/// The requests of the fast client.
const REQUESTS: u32 = 200;

/// The requests of the slow client and of the fast one.
const ASKED: [&[u8]; 2] = [b"25\n", b"1\n"];
const ANSWERS: [&[u8]; 2] = [b"75025\n", b"1\n"];

type Tables = Fixed<3, 3, 2, 2, 128>;

static QUEUES: [ConstStaticCell<RefCell<Queue>>; 2] =
    [const { ConstStaticCell::new(RefCell::new(Queue::new())) }; 2];
static SERVERS: ConstStaticCell<SocketMemory<2, 128, 128>> = ConstStaticCell::new(SocketMemory::new());
static STORAGE: ConstStaticCell<[SocketStorage<'static>; 2]> =
    ConstStaticCell::new([SocketStorage::EMPTY; 2]);
static BUFFERS: ConstStaticCell<[[[u8; 64]; 2]; 2]> = ConstStaticCell::new([[[0; 64]; 2]; 2]);

/// A client.
struct Client {
    handle: SocketHandle,
    /// The time of the server when the request was sent; `None` before the first one.
    asked: Option<u32>,
    answers: u32,
}

/// The board, and the clients at the other end of the cable. They act each time that the loop polls the network.
struct Bench {
    interface: Interface,
    plug: Plug<'static>,
    sockets: SocketSet<'static>,
    clients: [Client; 2],
    /// The longest time from a request of the fast client to its answer, in instructions of the server.
    longest: u32,
}

impl Bench {
    fn new(mut plug: Plug<'static>) -> Self {
        let hardware = EthernetAddress([2, 0, 0, 0, 0, 2]);
        let mut interface = Interface::new(Config::new(hardware.into()), &mut plug, time::Instant::ZERO);
        interface.update_ip_addrs(|list| {
            let _ = list.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24));
        });
        let mut sockets = SocketSet::new(&mut STORAGE.take()[..]);
        let mut port = 50_000;
        let clients = BUFFERS.take().each_mut().map(|[received, unsent]| {
            let (received, unsent) =
                (tcp::SocketBuffer::new(&mut received[..]), tcp::SocketBuffer::new(&mut unsent[..]));
            let mut socket = tcp::Socket::new(received, unsent);
            socket.set_nagle_enabled(false);
            port += 1;
            assert!(
                socket.connect(interface.context(), (SERVER, PORT), port).is_ok(),
                "the address is valid"
            );
            Client { handle: sockets.add(socket), asked: None, answers: 0 }
        });
        Self { interface, plug, sockets, clients, longest: 0 }
    }

    fn act(&mut self) {
        let server = meter::server_cycles();
        let now = time::Instant::from_micros(i64::try_from(meter::micros()).unwrap_or(0));
        self.interface.poll(now, &mut self.plug, &mut self.sockets);
        for (number, client) in self.clients.iter_mut().enumerate() {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(client.handle);
            if client.asked.is_some() {
                if socket.recv_queue() < ANSWERS[number].len() {
                    continue;
                }
                let mut answer = [0; 8];
                let count = socket.recv_slice(&mut answer).unwrap_or(0);
                assert!(answer[..count] == *ANSWERS[number], "the answer");
                client.answers += 1;
            } else if !socket.may_send() {
                continue;
            }
            if number == 1
                && let Some(asked) = client.asked
            {
                self.longest = self.longest.max(server - asked);
            }
            client.asked = Some(server);
            let _ = socket.send_slice(ASKED[number]);
        }
        self.interface.poll(now, &mut self.plug, &mut self.sockets);
        if self.clients[1].answers == REQUESTS {
            let longest = self.longest * meter::INSTRUCTIONS;
            let jobs = self.clients[0].answers;
            let _ =
                writeln!(Uart, "beside {jobs} jobs: {REQUESTS} answers, each within {longest} instructions");
            fault::end(false);
        }
    }
}

impl Board for Bench {
    fn now(&self) -> Instant {
        Instant::from_nanos(meter::micros() * 1000)
    }

    fn sleep(&mut self, _: Instant, _: &dyn Fn() -> bool) {}

    fn alive(&mut self) {
        meter::elsewhere(|| self.act());
    }
}

#[entry]
fn main() -> ! {
    meter::start();
    let [to_server, to_clients] = QUEUES.each_ref().map(|queue| &*queue.take());
    let bench = Bench::new(Plug { receives: to_clients, sends: to_server });
    let plug = Plug { receives: to_server, sends: to_clients };
    let config = Config::new(SERVER_HARDWARE.into());
    let net = Net::new(plug, config, &[IpCidr::new(SERVER, 24)], SERVERS.take().sockets(), Instant::ZERO);
    let metal = Metal::new(Fib::default(), net, bench, &Fixed, Settings::default());
    let mut engine = Engine::new(metal, &Fixed as &Tables, Duration::from_secs(5));
    if engine.accept_from(|metal, source| metal.listen_on(source, PORT)).is_err() {
        panic!("a slot for the listener");
    }
    let _ = engine.run(|| false);
    panic!("the loop goes on")
}
