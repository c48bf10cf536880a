//! The environment of all tables: a log to inspect, clients, and values that panic.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use sinbin::Summary;
use tracing_subscriber::fmt::MakeWriter;

pub const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The text of every planted panic.
pub const PLANTED: &str = "planted on purpose";

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ALONE: Mutex<()> = Mutex::new(());
static ARMED: AtomicBool = AtomicBool::new(false);

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        Log
    }
}

/// Gives the calling test exclusive use of the log.
pub fn alone() -> MutexGuard<'static, ()> {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        let builder = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        builder.with_writer(Log).with_ansi(false).init();
    });
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    log();
    guard
}

/// Returns the errors that were logged since the last call.
pub fn log() -> String {
    let bytes = std::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().filter(|line| line.contains("ERROR")).map(|line| format!("{line}\n")).collect()
}

/// Makes the next call of [`strike`] panic.
pub fn arm() {
    ARMED.store(true, Ordering::SeqCst);
}

pub fn strike() {
    assert!(!ARMED.swap(false, Ordering::SeqCst), "{PLANTED}");
}

pub fn is_armed() -> bool {
    ARMED.load(Ordering::SeqCst)
}

/// A value that panics when it is dropped or displayed.
#[derive(Debug)]
pub struct Grumbles;

impl Drop for Grumbles {
    fn drop(&mut self) {
        panic!("{PLANTED}");
    }
}

impl fmt::Display for Grumbles {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("{PLANTED}");
    }
}

/// Panics with a payload that is not a string.
pub fn strike_without_text() {
    panic_any(7);
}

/// Panics with a payload whose destructor panics with such a payload in turn.
pub fn strike_with_a_grumble() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }
    panic_any(Payload);
}

pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = sinbin::bind(LOCAL).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Sends `word`, and returns the whole reply.
pub fn ask(address: SocketAddr, word: &str) -> String {
    let mut client = TcpStream::connect(address).expect("the server listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.write_all(word.as_bytes()).expect("the server receives");
    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection is not closed"),
        // A reset ends the reply as well.
        _ => String::from_utf8_lossy(&said).into_owned(),
    }
}

/// Sends requests before and after a planted panic, and on a connection that exists all the time. All of them are
/// answered; only the connection in which the panic occurs ends.
pub fn visit(address: SocketAddr, place: &dyn fmt::Debug) {
    let mut patient = TcpStream::connect(address).expect("the server listens");
    patient.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert_eq!(ask(address, "good"), "good", "{place:?}: before");
    arm();
    ask(address, "bad!");
    // The connection may be closed before the panic occurs.
    wait_until(|| !is_armed(), &format!("{place:?}: the code is called"));
    assert_eq!(ask(address, "good"), "good", "{place:?}: after");
    let mut said = [0; 4];
    patient.write_all(b"good").and_then(|()| patient.read_exact(&mut said)).expect("it is still served");
    assert_eq!(&said, b"good", "{place:?}: the existing connection");
}

/// Asserts that the report names the panic and its task. The report of a worker may come a little later.
pub fn expect_report(place: &dyn fmt::Debug, texts: &[&str]) {
    let mut all = String::new();
    let is_there = || {
        all.push_str(&log());
        texts.iter().all(|text| all.contains(text))
    };
    wait_until(is_there, &format!("{place:?}: the report contains {texts:?}"));
}

/// The longest time of any operation, which only guards against hangs.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("timeout: {what}");
}

pub fn expect_end(place: &dyn fmt::Debug, ended: thread::Result<Result<Summary, String>>) {
    match ended {
        Ok(Ok(summary)) => assert_eq!(summary.cut, 0, "{place:?}"),
        Ok(Err(error)) => panic!("{place:?}: {error}"),
        Err(_) => panic!("{place:?}: the panic escaped the loop"),
    }
}
