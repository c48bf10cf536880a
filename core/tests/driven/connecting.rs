//! Connections that tasks request from the driver.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use sinbin_core::driven::{
    Command, Compute, ConnectError, ConnectId, Driven, Event, SourceHandle, TurnOutput,
};
use sinbin_core::exec::Connects;
use sinbin_core::kernel::Op;
use sinbin_core::task::{AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext};
use sinbin_core::{Cx, Instant, IoError, Limits, NoJob, Serves, Service, SourceId, Step, Task};

use crate::{CLIENT, WINDOW, arrived};

const SERVER: SourceHandle = SourceHandle(5 << 32 | 2);
const HERE: Compute = Compute::Here { slice: 1 };

/// Returns the requests of an answer, with the texts of their endpoints.
fn requests(answer: &TurnOutput) -> Vec<(ConnectId, String)> {
    let mut output = &answer.output[..];
    let mut requests = Vec::new();
    for command in &answer.commands {
        match *command {
            Command::Send { len, .. } => drop(output.split_off(..len as usize)),
            Command::Connect { request, len } => {
                let text = output.split_off(..len as usize).expect("the bytes of the endpoint");
                requests.push((request, String::from_utf8(text.to_vec()).expect("UTF-8")));
            }
            _ => {}
        }
    }
    requests
}

/// Connects to `to`, and sends the client the outcome, and then the bytes that the server sends.
async fn fetch(conn: Conn<'_>, to: &str) -> Result<(), Error> {
    let handle = conn.handle();
    let connected = handle.timeout(Duration::from_secs(3), handle.connect(to)).await;
    let server = match connected {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return conn.send_all(error.to_string().as_bytes()).await,
        Err(_) => return conn.send_all(b"late").await,
    };
    let mut buffer = [0; 8];
    conn.send_all(format!("{:?} ", server.peer()).as_bytes()).await?;
    server.send_all(b"hello").await?;
    let count = server.recv(&mut buffer).await?;
    conn.send_all(&buffer[..count]).await
}

/// Calls `drive` with a function that runs a turn of a loop whose clients fetch from `to`. Returns the number of events
/// that the loop has ignored.
fn fetching(to: &str, drive: impl FnOnce(&mut dyn FnMut(u64, &[Event], &[u8]) -> TurnOutput)) -> u64 {
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(8));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), |conn| fetch(conn, to));
    let mut driven = Driven::new(service, &Limits::new(4, 4, 256), HERE);
    drive(&mut |seconds, events, input| {
        let now = Instant::ZERO + Duration::from_secs(seconds);
        let answer = driven.turn(now, WINDOW, events.iter().copied(), input.to_vec());
        assert_eq!(driven.kernel().audit(), Ok(()));
        answer
    });
    driven.counts().ignored
}

#[test]
fn a_requested_connection_is_used_like_an_accepted_one() {
    fetching("[2001:db8::1]:8", |turn| {
        assert_eq!(requests(&turn(0, &arrived(0), b""))[0].1, "[2001:db8::1]:8");
    });
    let ignored = fetching("example.org:80", |turn| {
        let answer = turn(0, &arrived(0), b"");
        let [(request, text)] = &requests(&answer)[..] else { panic!("{answer:?}") };
        assert_eq!((&**text, answer.room), ("example.org:80", 1));
        let peer = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 7, 0, 80]].concat();
        let connected = Event::Connected { request: *request, source: SERVER, len: 18 };
        let answer = turn(1, &[connected], &peer);
        assert_eq!(answer.output, b"Some(192.0.2.7:80) hello");
        assert!(answer.commands.contains(&Command::Send { source: SERVER, len: 5 }));
        let answer = turn(2, &[Event::Received { source: SERVER, len: 3 }], b"abc");
        assert_eq!(answer.output, b"abc");
        assert!(answer.commands.contains(&Command::Close(SERVER)), "{answer:?}");
        assert_eq!(answer.room, 3, "the places of both connections are free");
    });
    assert_eq!(ignored, 0);
}

/// Connects to a server, and sends it more than a window at once.
async fn push(conn: Conn<'_>) -> Result<(), Error> {
    let server = conn.handle().connect("192.0.2.7:80").await?;
    server.send_all(&[b'x'; 2 * WINDOW + 1]).await?;
    conn.send_all(b"sent").await
}

/// A wait for the connection and a later wait to send on it are waits for the same condition, and the driver hears of the
/// second one too.
#[test]
fn more_than_a_window_is_sent_on_a_new_connection() {
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(8));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), push);
    let mut driven = Driven::new(service, &Limits::new(4, 4, 256), HERE);
    let mut turn = |events: &[Event], input: &[u8]| {
        driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), input.to_vec())
    };
    let request = requests(&turn(&arrived(0), b""))[0].0;
    let sent = |answer: &TurnOutput| {
        let of = |command: &Command| match *command {
            Command::Send { source, len } => Some((source, len as usize)),
            _ => None,
        };
        answer.commands.iter().find_map(of)
    };
    let connected = turn(&[Event::Connected { request, source: SERVER, len: 0 }], b"");
    assert_eq!(sent(&connected), Some((SERVER, WINDOW)));
    turn(&[Event::Stuck(SERVER)], b"");
    assert_eq!(sent(&turn(&[Event::Writable(SERVER)], b"")), Some((SERVER, WINDOW)));
    let answer = turn(&[Event::Writable(SERVER)], b"");
    assert_eq!(sent(&answer), Some((SERVER, 1)));
    assert!(answer.output.ends_with(b"sent"), "{answer:?}");
}

#[test]
fn each_failure_is_an_error_that_names_the_endpoint() {
    let mut texts = Vec::new();
    for reason in ConnectError::ALL {
        let ignored = fetching("example.org:80", |turn| {
            let request = requests(&turn(0, &arrived(0), b""))[0].0;
            let answer = turn(1, &[Event::ConnectFailed { request, reason }], b"");
            texts.push(String::from_utf8(answer.output).unwrap());
            assert!(!answer.commands.contains(&Command::Abandon(request)), "it is answered already");
            assert_eq!(answer.room, 3);
        });
        assert_eq!(ignored, 0);
    }
    assert!(texts.iter().all(|text| text.contains("example.org:80")), "{texts:?}");
    assert!(texts[0].contains("not supported") && texts[3].contains("refused"), "{texts:?}");
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 9, "no two errors are equal");
}

/// The loop refuses names that no server of names accepts, without asking the driver.
#[test]
fn a_name_that_is_too_long_is_not_asked_for() {
    let long = format!("{}:80", "a.".repeat(200));
    fetching(&long, |turn| {
        let answer = turn(0, &arrived(0), b"");
        assert!(requests(&answer).is_empty() && !answer.output.is_empty(), "{answer:?}");
    });
}

#[test]
fn a_request_that_nobody_waits_for_is_abandoned_and_its_late_connection_closed() {
    let ignored = fetching("example.org:80", |turn| {
        let request = requests(&turn(0, &arrived(0), b""))[0].0;
        turn(3, &[], b"");
        let answer = turn(3, &[], b"");
        assert_eq!(answer.output, b"late");
        assert!(answer.commands.contains(&Command::Abandon(request)), "{answer:?}");
        // A driver that answers all the same violates the contract.
        let late = Event::Connected { request, source: SERVER, len: 0 };
        assert!(turn(4, &[late], b"").commands.contains(&Command::Close(SERVER)));
        turn(4, &[Event::ConnectFailed { request, reason: ConnectError::Refused }], b"");
    });
    assert_eq!(ignored, 2);
}

#[test]
fn answers_that_name_nothing_or_come_twice_are_ignored() {
    let ignored = fetching("example.org:80", |turn| {
        let request = requests(&turn(0, &arrived(0), b""))[0].0;
        let junk = ConnectId(77 << 32 | 99);
        let failed = Event::ConnectFailed { request: junk, reason: ConnectError::Other };
        let short = Event::Connected { request, source: SERVER, len: 5 };
        // The client has the handle already.
        let taken = Event::Connected { request, source: CLIENT, len: 0 };
        assert!(turn(0, &[failed, short, taken], b"").output.is_empty());
        let connected = Event::Connected { request, source: SERVER, len: 0 };
        let again = Event::Connected { request, source: SourceHandle(9), len: 0 };
        let answer = turn(0, &[connected, again], b"");
        assert_eq!(answer.output, b"None hello");
        assert!(answer.commands.contains(&Command::Close(SourceHandle(9))), "{answer:?}");
        assert!(!answer.commands.contains(&Command::Close(CLIENT)), "{answer:?}");
    });
    assert_eq!(ignored, 4);
}

/// The time of day and a seed are for the code around the loop, which ignores them, with their bytes.
#[test]
fn surroundings_are_not_for_the_loop() {
    let ignored = fetching("example.org:80", |turn| {
        let request = requests(&turn(0, &arrived(0), b""))[0].0;
        let events = [
            Event::Entropy { len: 4 },
            Event::WallClock(u64::MAX),
            Event::Connected { request, source: SERVER, len: 0 },
            Event::Received { source: SERVER, len: 3 },
        ];
        assert_eq!(turn(1, &events, b"seedabc").output, b"None helloabc");
        turn(1, &[Event::Entropy { len: 4 }], b"bad");
    });
    assert_eq!(ignored, 1, "the bytes of a seed are missing");
}

/// A service whose tasks are state machines: each connects to a server, and sends it a byte.
struct Knocking<'a> {
    server: SocketAddr,
    name: Option<&'a str>,
    failures: &'a RefCell<Vec<IoError>>,
}

struct Knock(SourceId, Option<SourceId>);

impl Service for Knocking<'_> {
    type Conn = Knock;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> Knock {
        Knock(source, None)
    }
}

impl<'a, H: Serves<Knocking<'a>> + Connects> Task<H> for Knock {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        let server = match self.1 {
            Some(server) => server,
            None => {
                let service = cx.host.service();
                let (address, name) = (service.server, service.name);
                let asked = match name {
                    Some(name) => cx.connect_name(name, address.port()),
                    None => cx.connect(address),
                };
                *self.1.insert(asked.expect("there is room"))
            }
        };
        if let Err(error) = cx.connected(server) {
            if error != IoError::WouldBlock {
                cx.host.service().failures.borrow_mut().push(error);
            }
            return cx.failed(Op::Connect, server, error, Instant::NEVER);
        }
        cx.send(server, b"!").expect("the window is open");
        Step::Done
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        self.1.into_iter().chain([self.0]).for_each(|source| cx.close(source));
    }
}

#[test]
fn state_machines_connect_too() {
    let failures = RefCell::default();
    for (name, text) in [(None, "192.0.2.1:7"), (Some("example.org"), "example.org:7")] {
        let service = Knocking { server: "192.0.2.1:7".parse().unwrap(), name, failures: &failures };
        let mut driven = Driven::new(service, &Limits::new(4, 4, 256), HERE);
        let answer = driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
        let [(request, asked)] = &requests(&answer)[..] else { panic!("{answer:?}") };
        assert_eq!(asked, text);
        let event = match name {
            None => Event::Connected { request: *request, source: SERVER, len: 0 },
            Some(_) => Event::ConnectFailed { request: *request, reason: ConnectError::Unreachable },
        };
        let answer = driven.turn(Instant::ZERO, WINDOW, [event], Vec::new());
        assert_eq!(answer.output, if name.is_none() { &b"!"[..] } else { b"" });
        assert!(answer.commands.contains(&Command::Close(CLIENT)), "{answer:?}");
        assert_eq!(driven.counts().ignored, 0);
    }
    assert_eq!(failures.take(), [IoError::Unreachable]);
}
