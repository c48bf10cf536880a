//! Tests of the backends on the real system.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant as Clock};

use sinbin_core::{Instant, Interest};

use super::super::wait::System;
use super::super::{BATCH, Notice, Until, Waiting, Wake};
use crate::sockets::Socket;

/// A time that is longer than any test that succeeds.
const LONG: Duration = Duration::from_secs(60);

/// Hours, as they may pass while a process is stopped.
const HOURS: Duration = Duration::from_secs(5 * 60 * 60);

/// A backend on the real system.
trait Backend: System + Sized {
    type Waker: Wake + Send + Sync + 'static;
    type Registry;

    fn new(room: usize) -> io::Result<(Self, Self::Waker, Self::Registry)>;

    /// Changes the interest for which the socket is watched from the first one to the second one.
    fn change(registry: &Self::Registry, socket: &Socket, index: usize, interests: [Interest; 2]);
}

macro_rules! on_each_backend {
    ($($test:ident),+ $(,)?) => {
        #[cfg(target_os = "linux")]
        mod epoll {
            on_each_backend!(@ epoll, $($test),+, no_hangup_is_lost_among_many);
        }
        #[cfg(target_os = "linux")]
        mod kqueue {
            on_each_backend!(@ kqueue, $($test),+, no_hangup_is_lost_among_many);
        }
        mod portable {
            on_each_backend!(@ portable, $($test),+);
        }
    };
    (@ $backend:ident, $($test:ident),+) => {
        use crate::reactor::$backend::{Backend, Registry, Waker};
        use crate::sockets::Socket;
        use sinbin_core::Interest;

        impl super::Backend for Backend {
            type Waker = Waker;
            type Registry = Registry;

            fn new(room: usize) -> std::io::Result<(Self, Waker, Registry)> {
                Self::new(room)
            }

            fn change(registry: &Registry, socket: &Socket, index: usize, interests: [Interest; 2]) {
                let [before, interest] = interests;
                registry.change(socket, index, before, interest).expect("it can be watched");
            }
        }

        $(#[test]
        fn $test() {
            super::$test::<Backend>();
        })+
    };
}

on_each_backend! {
    a_deadline_that_has_passed_is_not_waited_for,
    a_deadline_that_moves_is_kept,
    a_look_reports_all_that_is_ready,
    a_notification_ends_one_wait,
    a_notification_from_elsewhere_ends_a_wait,
    busy_polling_ends,
}

/// A backend that waits. A thread notifies it after a timeout, in case a wait does not end by itself.
struct Watched<B: Backend> {
    waiting: Waiting<B, B::Waker>,
    registry: B::Registry,
    over: Arc<AtomicBool>,
}

impl<B: Backend> Watched<B> {
    fn new(room: usize, busy_poll: Duration) -> Self {
        let (backend, waker, registry) = B::new(room).expect("a backend");
        let waiting = Waiting::new(backend, waker, busy_poll);
        let (over, notice) = (Arc::new(AtomicBool::new(false)), Arc::clone(&waiting.notice));
        let is_over = Arc::clone(&over);
        thread::spawn(move || {
            let began = Clock::now();
            while !is_over.load(Ordering::Relaxed) && began.elapsed() < LONG {
                thread::park_timeout(Duration::from_millis(100));
            }
            notice.notify();
        });
        Self { waiting, registry, over }
    }

    /// Waits, and returns the sources that are ready. Asserts that there was no notification.
    fn wait(&mut self, until: Until, clock: impl Fn() -> Instant) -> Vec<usize> {
        let mut found = Vec::new();
        let notified = self.waiting.wait(until, clock, |index, readiness| {
            assert!(readiness.contains(Interest::RECV));
            found.push(index);
        });
        assert!(!notified.expect("it can wait"), "it did not end by itself");
        found
    }
}

impl<B: Backend> Drop for Watched<B> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Returns a clock that advances by one of `jumps` at each read.
fn jumping(jumps: &[Duration]) -> impl Fn() -> Instant + use<> {
    let jumps = jumps.to_vec();
    let looks = Cell::new(0);
    move || {
        looks.set(looks.get() + 1);
        Instant::ZERO + jumps.iter().take(looks.get()).sum()
    }
}

fn real() -> impl Fn() -> Instant {
    let began = Clock::now();
    move || Instant::ZERO + began.elapsed()
}

/// The deadline has passed before the wait begins, or passes between two reads of the clock.
fn a_deadline_that_has_passed_is_not_waited_for<B: Backend>() {
    for span in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(20)] {
        for calm in 0..4 {
            let mut watched = Watched::<B>::new(BATCH, Duration::ZERO);
            let clock = jumping(&[vec![Duration::ZERO; calm], vec![HOURS]].concat());
            let deadline = Instant::ZERO + span;
            for _ in 0..4 {
                assert!(watched.wait(Until::At(deadline), &clock).is_empty());
            }
        }
    }
    // Nothing is left of a wait of hours, although the wait was requested before they passed.
    let mut watched = Watched::<B>::new(BATCH, Duration::ZERO);
    assert!(watched.wait(Until::At(Instant::ZERO + HOURS / 2), jumping(&[HOURS])).is_empty());
}

/// The deadline moves earlier, later, and earlier again while the loop runs.
fn a_deadline_that_moves_is_kept<B: Backend>() {
    let mut watched = Watched::<B>::new(BATCH, Duration::ZERO);
    let clock = real();
    let sleep_until = |watched: &mut Watched<B>, deadline| {
        while clock() < deadline {
            assert!(watched.wait(Until::At(deadline), &clock).is_empty());
        }
    };
    for millis in [30, 12, 1, 0, 25, 3, 40] {
        // An alarm that is set for a later time, and one that is set for an earlier time.
        for first in [5 * millis, millis / 2] {
            let deadline = clock() + Duration::from_millis(first);
            watched.wait(Until::At(deadline), &clock);
            sleep_until(&mut watched, clock() + Duration::from_millis(millis));
        }
    }
    // The longest deadlines are not errors. A notification ends these waits.
    for deadline in [clock() + Duration::from_secs(1 << 40), Instant::NEVER] {
        watched.waiting.notice.notify();
        assert!(watched.waiting.wait(Until::At(deadline), &clock, |_, _| {}).expect("it can wait"));
    }
}

fn a_look_reports_all_that_is_ready<B: Backend>() {
    const COUNT: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    for room in [1, 2, 3, COUNT - 1, COUNT, COUNT + 1, 2 * COUNT] {
        let mut watched = Watched::<B>::new(room, Duration::ZERO);
        let mut sockets = Vec::new();
        for index in 0..COUNT {
            let mut client = TcpStream::connect(address).expect("a connection");
            let (served, _) = listener.accept().expect("a connection");
            client.write_all(b"x").expect("it can be written to");
            let socket = Socket::Stream(served);
            B::change(&watched.registry, &socket, index, [Interest::NONE, Interest::RECV]);
            sockets.push((socket, client));
        }
        for until in [Until::Now, Until::At(Instant::ZERO), Until::Ever] {
            let mut found = watched.wait(until, real());
            found.sort_unstable();
            assert_eq!(found, Vec::from_iter(0..COUNT), "room for {room}, {until:?}");
        }
        for (index, (socket, _)) in sockets.iter().enumerate() {
            B::change(&watched.registry, socket, index, [Interest::RECV, Interest::NONE]);
        }
    }
}

/// A poll that finds more events than its capacity also reports hangups, which some systems report only once. (The
/// portable backend does not report a hangup of a source that is watched only for hangups.)
fn no_hangup_is_lost_among_many<B: Backend>() {
    const COUNT: usize = 20;
    for room in [1, 2, COUNT - 1, COUNT, 2 * COUNT] {
        let mut watched = Watched::<B>::new(room, Duration::ZERO);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let pairs: Vec<_> = (0..COUNT).map(|_| connected(&listener)).collect();
        for (index, (_, socket)) in pairs.iter().enumerate() {
            let interest = if index % 2 == 0 { Interest::HANGUP } else { Interest::RECV };
            B::change(&watched.registry, socket, index, [Interest::NONE, interest]);
        }
        for (client, _) in &pairs {
            socket2::SockRef::from(client).set_linger(Some(Duration::ZERO)).expect("an option");
        }
        let sockets: Vec<_> = pairs.into_iter().map(|(client, socket)| (drop(client), socket).1).collect();
        let mut hung_up = [false; COUNT];
        let told = |index: usize, readiness: sinbin_core::Readiness| {
            hung_up[index] |= readiness.contains(Interest::HANGUP);
        };
        watched.waiting.wait(Until::Now, real(), told).expect("a look");
        assert_eq!(hung_up, [true; COUNT], "room for {room}");
        drop(sockets);
    }
}

fn connected(listener: &TcpListener) -> (TcpStream, Socket) {
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    (client, Socket::Stream(listener.accept().expect("its other end").0))
}

/// A notification ends one wait, and no later one.
fn a_notification_ends_one_wait<B: Backend>() {
    let mut watched = Watched::<B>::new(BATCH, Duration::ZERO);
    let clock = real();
    for _ in 0..10 {
        for _ in 0..3 {
            watched.waiting.notice.notify();
        }
        assert!(watched.waiting.wait(Until::Ever, &clock, |_, _| {}).expect("it can wait"));
        let deadline = clock() + Duration::from_millis(20);
        let mut wakes = 0;
        while clock() < deadline {
            assert!(watched.wait(Until::At(deadline), &clock).is_empty());
            wakes += 1;
        }
        // The system may wake the loop once at the deadline, and once shortly before it.
        assert!(wakes <= 2, "{wakes} wakes without a reason");
    }
}

fn a_notification_from_elsewhere_ends_a_wait<B: Backend>() {
    let mut watched = Watched::<B>::new(BATCH, Duration::ZERO);
    let came = Arc::new(AtomicBool::new(false));
    for _ in 0..1000 {
        let (notice, is_there) = (Arc::clone(&watched.waiting.notice), Arc::clone(&came));
        let sender = thread::spawn(move || {
            is_there.store(true, Ordering::Relaxed);
            notice.notify();
        });
        while !watched.waiting.wait(Until::Ever, real(), |_, _| {}).expect("it can wait") {}
        assert!(came.swap(false, Ordering::Relaxed), "writes before the notification are visible");
        sender.join().expect("it notifies");
    }
}

/// Busy polling ends at a deadline, at a notification, and when a source is ready, however long its span is.
fn busy_polling_ends<B: Backend>() {
    let mut watched = Watched::<B>::new(BATCH, 2 * LONG);
    let clock = real();
    for millis in [0, 1, 15, 30] {
        let deadline = clock() + Duration::from_millis(millis);
        assert!(watched.wait(Until::At(deadline), &clock).is_empty());
        assert!(clock() >= deadline);
    }
    let notice: Arc<Notice<_>> = Arc::clone(&watched.waiting.notice);
    for until in [Until::Ever, Until::At(clock() + LONG)] {
        let notice = Arc::clone(&notice);
        let sender = thread::spawn(move || notice.notify());
        assert!(watched.waiting.wait(until, &clock, |_, _| {}).expect("it can wait"));
        sender.join().expect("it notifies");
    }
}
