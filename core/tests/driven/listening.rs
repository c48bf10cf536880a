//! Listeners that tasks request from the driver.

use std::net::SocketAddr;
use std::pin::{Pin, pin};

use sinbin_core::driven::{
    Command, Compute, ConnectError, ConnectId, Driven, Event, SourceHandle, TurnOutput,
};
use sinbin_core::task::{AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext};
use sinbin_core::{Instant, Limits, Rest};

use crate::{CLIENT, LISTENER, WINDOW, arrived};

const OWN: SourceHandle = SourceHandle(2);
const PEER: SourceHandle = SourceHandle(3);

/// The address 192.0.2.7:80, as the driver encodes it.
const ADDRESS: [u8; 18] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7, 0, 80];

/// Listens, tells the client the address of the listener if it has sent one byte, and then what the first connection sends.
async fn relay(conn: Conn<'_>, asks: bool) -> Result<(), Error> {
    let told = async {
        let at = SocketAddr::from(([192, 0, 2, 7], 0));
        let listener = conn.handle().listen(at)?;
        assert_eq!(listener.address(), at);
        if asks {
            conn.send_all(listener.bound().await?.to_string().as_bytes()).await?;
        }
        let (peer, address) = listener.accept().await?;
        let mut bytes = [0; 8];
        let count = peer.recv(&mut bytes).await?;
        conn.send_all(format!(" {address:?} ").as_bytes()).await?;
        conn.send_all(&bytes[..count]).await
    };
    match told.await {
        Ok(()) => Ok(()),
        Err(error) => conn.send_all(error.to_string().as_bytes()).await,
    }
}

/// Calls `drive` with a function that runs a turn of a loop whose client asks it to listen. Returns the number of events
/// that the loop has ignored.
fn relaying(asks: bool, drive: impl FnOnce(&mut dyn FnMut(&[Event], &[u8]) -> TurnOutput)) -> u64 {
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(8));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), |conn| relay(conn, asks));
    let mut driven = Driven::new(service, &Limits::new(8, 8, 256), Compute::Here { slice: 1 });
    drive(&mut |events, input| {
        let answer = driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), input.to_vec());
        assert_eq!(driven.kernel().audit(), Ok(()));
        answer
    });
    driven.counts().ignored
}

/// Returns the request for a listener.
fn request(answer: &TurnOutput) -> ConnectId {
    let request = answer.commands.iter().find_map(|command| match *command {
        Command::Connect { request, len: 18 } => Some(request),
        _ => None,
    });
    assert!(answer.output.starts_with(b"listen:192.0.2.7:0"), "{answer:?}");
    request.expect("a request")
}

/// Returns true if the driver is to watch the listener.
fn watches(answer: &TurnOutput) -> bool {
    answer.commands.iter().any(|command| matches!(command, Command::Watch { source: OWN, .. }))
}

#[test]
fn a_task_accepts_from_a_listener_of_its_own() {
    for asks in [true, false] {
        let ignored = relaying(asks, |turn| {
            let answer = turn(&arrived(0), b"");
            let bound = Event::Connected { request: request(&answer), source: OWN, len: 18 };
            let answer = turn(&[bound], &ADDRESS);
            assert_eq!(answer.output, if asks { &b"192.0.2.7:80"[..] } else { b"" });
            assert!(watches(&answer), "{answer:?}");
            let room = answer.room;
            // Another client of the given listener does not reach the task.
            let other = Event::Accepted { listener: LISTENER, connection: SourceHandle(9), len: 0 };
            let answer = turn(&[other], b"");
            assert!(answer.output.starts_with(b"listen:"), "{answer:?}");
            let came = Event::Accepted { listener: OWN, connection: PEER, len: 18 };
            turn(&[came], &ADDRESS);
            let answer = turn(&[Event::Received { source: PEER, len: 3 }], b"abc");
            assert_eq!(answer.output, b" Some(192.0.2.7:80) abc");
            for closed in [PEER, OWN, CLIENT] {
                assert!(answer.commands.contains(&Command::Close(closed)), "{closed:?}: {answer:?}");
            }
            assert_eq!(answer.room, room, "the places are free, and the other client has two");
        });
        assert_eq!(ignored, 0);
    }
}

/// Of two connections that arrive at once, the task accepts one and then drops the listener. The other one is closed, and
/// the loop waits for it no longer.
#[test]
fn a_connection_that_no_task_accepts_is_closed_with_its_listener() {
    relaying(false, |turn| {
        let request = request(&turn(&arrived(0), b""));
        turn(&[Event::Connected { request, source: OWN, len: 0 }], b"");
        let other = SourceHandle(4);
        let came = [PEER, other].map(|connection| Event::Accepted { listener: OWN, connection, len: 0 });
        turn(&came, b"");
        let answer = turn(&[Event::Ended(PEER)], b"");
        for closed in [PEER, OWN, other] {
            assert!(answer.commands.contains(&Command::Close(closed)), "{closed:?}: {answer:?}");
        }
        assert_eq!(turn(&[Event::Stop], b"").commands, [Command::Close(LISTENER)]);
    });
}

#[test]
fn each_failure_is_told_by_the_address() {
    let cases = [
        (ConnectError::Refused, "address already in use", "address already in use"),
        (
            ConnectError::NotPermitted,
            "operation not supported by the host",
            "operation not supported by the host",
        ),
        // A task that accepts would try again after the error itself.
        (ConnectError::NoRoom, "the host has no capacity for another source", "the source is closed"),
        (ConnectError::Other, "system error 0", "the source is closed"),
    ];
    for (reason, bound, accepted) in cases {
        for (asks, what) in [(true, bound), (false, accepted)] {
            let ignored = relaying(asks, |turn| {
                let request = request(&turn(&arrived(0), b""));
                let answer = turn(&[Event::ConnectFailed { request, reason }], b"");
                let said = String::from_utf8(answer.output).expect("UTF-8");
                assert!(said.ends_with(what) && (!asks || said.contains("listen on 192.0.2.7:0")), "{said}");
                assert_ne!(answer.rest, Rest::Ready);
            });
            assert_eq!(ignored, 0);
        }
    }
}

/// A request to stop closes the listeners of tasks, whether the driver has answered or not. A late answer is turned away.
#[test]
fn a_stop_closes_the_listeners_of_tasks() {
    relaying(false, |turn| {
        let request = request(&turn(&arrived(0), b""));
        let answer = turn(&[Event::Stop], b"");
        assert!(answer.commands.contains(&Command::Abandon(request)), "{answer:?}");
        assert!(answer.output.ends_with(b"the source is closed"), "{answer:?}");
        let late = turn(&[Event::Connected { request, source: OWN, len: 0 }], b"");
        assert_eq!(late.commands, [Command::Close(OWN)]);
    });
    relaying(true, |turn| {
        let request = request(&turn(&arrived(0), b""));
        turn(&[Event::Connected { request, source: OWN, len: 18 }], &ADDRESS);
        let answer = turn(&[Event::Stop], b"");
        assert!(answer.commands.contains(&Command::Close(OWN)), "{answer:?}");
        assert!(answer.output.ends_with(b"the source is closed"), "{answer:?}");
        // A connection that comes from the closed listener is turned away.
        let late = turn(&[Event::Accepted { listener: OWN, connection: PEER, len: 0 }], b"");
        assert_eq!(late.commands, [Command::Close(PEER)]);
    });
}
