//! Connections that a guest requests: permissions, names, and failures.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sinbin::driven::{
    Command, Computed, ConnectError, ConnectId, Event, ServiceLimits, ServiceSettings, Tally, TurnOutput,
    Wants,
};
use sinbin::guests::{Fault, Guest, GuestFactory, GuestServer, GuestSettings, JobRunner};
use sinbin::{Instant, IoError, Rest};

/// The outcome of a request: the address of the peer, or the reason why there is none.
pub(crate) type Outcome = Result<SocketAddr, ConnectError>;

/// A guest that requests connections to all endpoints at once, and ends when it has all answers.
#[derive(Clone)]
struct Dialer {
    endpoints: Vec<String>,
    outcomes: Rc<RefCell<Vec<Option<Outcome>>>>,
    has_asked: bool,
}

impl Guest for Dialer {
    fn turn(&mut self, _: Instant, _: u32, events: &[Event], mut input: &[u8]) -> Result<TurnOutput, Fault> {
        let (mut commands, mut output) = (Vec::new(), Vec::new());
        let mut outcomes = self.outcomes.borrow_mut();
        for event in events {
            let (request, outcome) = match *event {
                Event::Connected { request, source, len } => {
                    commands.push(Command::Close(source));
                    (request, Ok(address(input.split_off(..len as usize).expect("its address"))))
                }
                Event::ConnectFailed { request, reason } => (request, Err(reason)),
                _ => continue,
            };
            let before =
                outcomes[usize::try_from(request.0).expect("a number of the guest")].replace(outcome);
            assert_eq!(before, None, "{request:?} is answered twice");
        }
        if !std::mem::replace(&mut self.has_asked, true) {
            for (number, endpoint) in (0..).zip(&self.endpoints) {
                output.extend_from_slice(endpoint.as_bytes());
                let len = u32::try_from(endpoint.len()).expect("a short text");
                commands.push(Command::Connect { request: ConnectId(number), len });
            }
        }
        let is_over = outcomes.iter().all(Option::is_some);
        let rest = if is_over { Rest::Empty } else { Rest::Until(Instant::NEVER) };
        Ok(TurnOutput { rest, room: 0, commands, output })
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        Ok(Tally::default())
    }
}

fn address(bytes: &[u8]) -> SocketAddr {
    let (ip, port) = bytes.split_first_chunk::<16>().expect("18 bytes");
    let port = u16::from_be_bytes(port.try_into().expect("18 bytes"));
    SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), port)
}

impl GuestFactory for Dialer {
    type Guest = Self;
    type JobRunner = Idle;
    type Error = sinbin::Error;

    fn start(&self, start: &ServiceSettings) -> Result<(Self, ServiceLimits), sinbin::Error> {
        Ok((
            self.clone(),
            ServiceLimits { connections: start.max_connections, block: 4096, wants: Wants::default() },
        ))
    }

    fn job_runner(&self) -> Idle {
        Idle
    }
}

#[derive(Clone)]
struct Idle;

impl JobRunner for Idle {
    fn compute(&self, _: &[u8], _: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        Ok(Computed::Nonsense)
    }
}

/// Requests connections to the endpoints, and returns the outcomes.
pub(crate) fn dial(settings: &GuestSettings, endpoints: &[String]) -> Vec<Outcome> {
    let outcomes = Rc::new(RefCell::new(vec![None; endpoints.len()]));
    let guest = Dialer { endpoints: endpoints.to_vec(), outcomes: Rc::clone(&outcomes), has_asked: false };
    let summary = GuestServer::new(guest, settings).expect("a poller").run().expect("it runs");
    let outcomes: Vec<_> = outcomes.take().into_iter().flatten().collect();
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!((summary.connected, summary.restarts, summary.ignored), (made as u64, 0, 0));
    outcomes
}

pub(crate) fn permitting(allowed: &[&str]) -> GuestSettings {
    let mut settings = GuestSettings::default();
    // A machine may stall, and the report of a resolver that panics may take seconds.
    settings.connect_timeout = Duration::from_secs(300);
    settings.allow_connect = allowed.iter().map(|allowed| allowed.parse().expect("a permission")).collect();
    settings
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The addresses that a resolver returns for names are checked, not the names alone: who owns a name must not lead the
/// guest to the host's own network. Names that are not permitted are not resolved.
#[test]
fn a_name_leads_only_to_where_the_guest_may_go() {
    let (_listener, port) = listener();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let resolver = {
        let asked = Arc::clone(&asked);
        move |host: &str, port: u16| {
            asked.lock().expect("no panic").push(host.to_owned());
            let ips: &[IpAddr] = match host {
                "inside.example" => &[HERE],
                "metadata.example" => &[IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))],
                "mapped.example" => &[IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())],
                "nat64.example" => &[IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x7f00, 1))],
                "nothing.example" => &[],
                "panics.example" => panic!("as it was told"),
                _ => return Err(IoError::Unresolved),
            };
            Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
        }
    };
    let names = ["inside", "metadata", "mapped", "nat64", "nothing", "panics", "unknown"];
    let mut endpoints: Vec<_> = names.iter().map(|name| format!("{name}.example:{port}")).collect();
    endpoints.push(format!("other.test:{port}"));
    endpoints.push(format!("inside.example:{}", port ^ 1));
    let settings = permitting(&[&format!("*.example:{port}")]).resolver(resolver);
    let no = Err(ConnectError::NotPermitted);
    let unknown = Err(ConnectError::Unresolved);
    assert_eq!(dial(&settings, &endpoints), [no, no, no, no, unknown, unknown, unknown, no, no]);
    let mut asked = std::mem::take(&mut *asked.lock().expect("no panic"));
    asked.sort();
    asked.dedup();
    assert!(asked.len() == 7 && asked.iter().all(|name| name.ends_with(".example")), "{asked:?}");
}

/// With a permission for the address beside that for the name, the same names lead there.
#[test]
fn a_range_permits_the_private_addresses_of_a_name() {
    let (_listener, port) = listener();
    let resolver = |_: &str, port: u16| {
        // The first address is not permitted, and is left out.
        let private = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        Ok([private, IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())].map(|ip| (ip, port).into()).to_vec())
    };
    let settings = permitting(&["db.example:*", "127.0.0.0/8:*"]).resolver(resolver);
    let here = SocketAddr::new(HERE, port);
    let endpoints = [
        format!("db.example:{port}"),
        format!("DB.Example.:{port}"),
        here.to_string(),
        format!("localhost:{port}"),
    ];
    assert_eq!(dial(&settings, &endpoints), [Ok(here); 4]);
}

#[test]
fn the_addresses_of_a_name_are_tried_in_turn() {
    let (_listener, port) = listener();
    // A socket that is bound and does not listen, so that no other process gets the port meanwhile.
    let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    closed.bind(&SocketAddr::new(HERE, 0).into()).expect("a port");
    let closed_port = closed.local_addr().ok().and_then(|address| address.as_socket());
    let closed_port = closed_port.expect("an address").port();
    let resolver = move |host: &str, port: u16| match host {
        "second" => Ok(vec![(HERE, closed_port).into(), (HERE, port).into()]),
        _ => Ok(vec![(HERE, closed_port).into(), (HERE, closed_port).into()]),
    };
    let settings = permitting(&["second:*", "none:*", "127.0.0.1:*"]).resolver(resolver);
    let endpoints = [format!("second:{port}"), format!("none:{port}"), format!("127.0.0.1:{closed_port}")];
    let refused = Err(ConnectError::Refused);
    assert_eq!(dial(&settings, &endpoints), [Ok((HERE, port).into()), refused, refused]);
}

/// A resolver that hangs, like any other reason for a late connection, ends with the time limit. It does not keep other
/// names from being resolved.
#[test]
fn a_request_that_takes_too_long_fails() {
    let (_listener, port) = listener();
    let (end, hang) = channel::<()>();
    let hang = Mutex::new(hang);
    let resolver = move |host: &str, port: u16| {
        if host == "slow" {
            // Ends when the test drops the other side.
            hang.lock().expect("no panic").recv().ok();
        }
        Ok(vec![(HERE, port).into()])
    };
    let mut settings = permitting(&["*:*", "127.0.0.1:*"]).resolver(resolver);
    settings.connect_timeout = Duration::from_millis(300);
    let endpoints = [format!("slow:{port}"), format!("fast:{port}")];
    let outcomes = dial(&settings, &endpoints);
    drop(end);
    assert_eq!(outcomes[0], Err(ConnectError::TimedOut));
    // On a very slow machine, this one may be late too.
    assert!(outcomes[1].is_ok() || outcomes[1] == Err(ConnectError::TimedOut));
}

#[test]
fn each_limit_is_an_error_at_once() {
    let (_listener, port) = listener();
    let endpoints: Vec<_> = (0..10).map(|_| format!("127.0.0.1:{port}")).collect();
    for (connections, outgoing, connecting, expected) in
        [(100, 100, 4, 4), (100, 3, 100, 3), (2, 100, 100, 2), (100, 0, 100, 0), (100, 100, 0, 0)]
    {
        let mut settings = permitting(&["127.0.0.1:*"]);
        settings.max_connections = connections;
        (settings.max_outgoing, settings.max_connecting) = (outgoing, connecting);
        let outcomes = dial(&settings, &endpoints);
        let (made, failed) = outcomes.split_at(expected);
        assert!(made.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(failed.iter().all(|outcome| *outcome == Err(ConnectError::NoRoom)), "{outcomes:?}");
    }
}

#[test]
fn other_texts_are_invalid() {
    let settings = permitting(&["*:*", "0.0.0.0/0:*", "[::/0]:*"]);
    let texts = [
        "",
        ":80",
        "name",
        "name:",
        "name:0",
        "127.0.0.1:0",
        "name:99999",
        "unix:/run/a",
        "a b:80",
        "a\0:80",
        "é:80",
        "127.1:80",
        "2130706433:80",
        "[fe80::1%lo]:80",
        "http://name:80",
        "[name]:80:80",
    ];
    let outcomes = dial(&settings, &texts.map(str::to_owned));
    for (text, outcome) in texts.iter().zip(outcomes) {
        assert_eq!(outcome, Err(ConnectError::Invalid), "{text:?}");
    }
}
