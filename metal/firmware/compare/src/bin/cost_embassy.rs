//! The echo service as an `async fn` on embassy-executor, which waits for smoltcp's sockets by their wakers, as
//! embassy-net does.

#![no_std]
#![no_main]

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

use cortex_m_rt::entry;
use embassy_executor::raw::Executor;
use sinbin_compare::cable::{Plug, Queue};
use sinbin_compare::clients::{CLIENTS, Clients, Memory, PORT, SERVER, SERVER_HARDWARE};
use sinbin_compare::meter;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::IpCidr;
use static_cell::{ConstStaticCell, StaticCell};

static QUEUES: [ConstStaticCell<RefCell<Queue>>; 2] =
    [const { ConstStaticCell::new(RefCell::new(Queue::new())) }; 2];
static BUFFERS: ConstStaticCell<[[[u8; 128]; 2]; CLIENTS]> = ConstStaticCell::new([[[0; 128]; 2]; CLIENTS]);
static STORAGE: ConstStaticCell<[SocketStorage<'static>; CLIENTS]> =
    ConstStaticCell::new([SocketStorage::EMPTY; CLIENTS]);
static CLIENT: ConstStaticCell<Memory<'static>> = ConstStaticCell::new(Memory::new());
static NET: StaticCell<RefCell<Net>> = StaticCell::new();
static EXECUTOR: StaticCell<Executor> = StaticCell::new();

/// Stands for the thread that polls the executor: a task that is woken ends its `wfe`.
const THREAD: *mut () = core::ptr::without_provenance_mut(usize::MAX);

struct Net {
    interface: Interface,
    plug: Plug<'static>,
    sockets: SocketSet<'static>,
}

impl Net {
    fn poll(&mut self) {
        let now = Instant::from_micros(i64::try_from(meter::micros()).unwrap_or(0));
        let Self { interface, plug, sockets } = self;
        interface.poll(now, plug, sockets);
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

/// Receives some bytes; 0 is the end.
async fn recv(net: &RefCell<Net>, handle: SocketHandle, buffer: &mut [u8]) -> usize {
    poll_fn(|context| {
        let mut net = net.borrow_mut();
        let socket = net.socket(handle);
        match socket.recv_slice(buffer) {
            Ok(0) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            received => Poll::Ready(received.unwrap_or(0)),
        }
    })
    .await
}

/// Sends all of `bytes`. Returns false if the connection has ended.
async fn send_all(net: &RefCell<Net>, handle: SocketHandle, bytes: &[u8]) -> bool {
    let mut sent = 0;
    while sent < bytes.len() {
        let result = poll_fn(|context| {
            let mut net = net.borrow_mut();
            let socket = net.socket(handle);
            match socket.send_slice(&bytes[sent..]) {
                Ok(0) => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                sent => Poll::Ready(sent),
            }
        });
        match result.await {
            Ok(count) => sent += count,
            Err(_) => return false,
        }
    }
    true
}

/// Waits until a client is connected.
async fn accept(net: &RefCell<Net>, handle: SocketHandle) {
    let _ = net.borrow_mut().socket(handle).listen(PORT);
    poll_fn(|context| {
        let mut net = net.borrow_mut();
        let socket = net.socket(handle);
        if matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived | tcp::State::SynSent) {
            socket.register_send_waker(context.waker());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

#[embassy_executor::task(pool_size = CLIENTS)]
async fn echo(net: &'static RefCell<Net>, handle: SocketHandle) {
    let mut buffer = [0; 128];
    loop {
        accept(net, handle).await;
        loop {
            let count = recv(net, handle, &mut buffer).await;
            if count == 0 || !send_all(net, handle, &buffer[..count]).await {
                break;
            }
        }
        net.borrow_mut().socket(handle).abort();
    }
}

#[entry]
fn main() -> ! {
    meter::start();
    let [to_server, to_clients] = QUEUES.each_ref().map(|queue| &*queue.take());
    let mut clients =
        Clients::new(Plug { receives: to_clients, sends: to_server }, CLIENT.take(), "embassy-executor");
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
    let net: &'static RefCell<Net> = NET.init(RefCell::new(Net { interface, plug, sockets }));
    let executor: &'static Executor = EXECUTOR.init(Executor::new(THREAD));
    for handle in handles {
        if let Ok(task) = echo(net, handle) {
            executor.spawner().spawn(task);
        }
    }
    loop {
        net.borrow_mut().poll();
        // SAFETY: this is the only place that polls the executor, and not from within a task.
        unsafe { executor.poll() };
        net.borrow_mut().poll();
        meter::elsewhere(|| clients.act());
    }
}
