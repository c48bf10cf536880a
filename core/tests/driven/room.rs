//! The number of further connections that a driven loop reports as its capacity, and connections beyond that number.

use core::pin::{Pin, pin};

use sinbin_core::driven::{Command, Compute, Driven, Event, ServiceSettings, SourceHandle};
use sinbin_core::echo::Echo;
use sinbin_core::task::{AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext};
use sinbin_core::{Instant, Limits};

const LISTENERS: [SourceHandle; 2] = [SourceHandle(7 << 32), SourceHandle(7 << 32 | 1)];

fn client(index: u64) -> SourceHandle {
    SourceHandle(3 << 32 | (8 + index))
}

fn accepted(index: u64) -> Event {
    Event::Accepted { listener: LISTENERS[0], connection: client(index), len: 0 }
}

async fn serve(conn: Conn<'_>) -> Result<(), Error> {
    conn.recv(&mut [0; 10]).await.map(drop)
}

#[test]
fn the_room_is_that_of_connections_however_many_listeners_there_are() {
    let limits = Limits::new(3 + 64, 10, 1024);
    let mut driven = Driven::new(Echo::default(), &limits, Compute::Here { slice: 1 }).with_listeners(64);
    let mut room =
        |events: &[Event]| driven.turn(Instant::ZERO, 1024, events.iter().copied(), Vec::new()).room;
    assert_eq!(room(&[Event::Listener(LISTENERS[0])]), 3);
    assert_eq!(room(&[Event::Listener(LISTENERS[1]), accepted(0)]), 2);
    assert_eq!(room(&[accepted(1), accepted(2)]), 0);
    assert_eq!(room(&[Event::Ended(client(1))]), 1, "one has gone");
}

#[test]
fn where_there_are_fewer_sources_than_tasks_they_are_the_room() {
    let limits = Limits::new(10, 10, 1024).with_sources(3);
    let mut driven = Driven::new(Echo::default(), &limits, Compute::Here { slice: 1 });
    let mut turn = |events: &[Event]| driven.turn(Instant::ZERO, 1024, events.iter().copied(), Vec::new());
    assert_eq!(turn(&[Event::Listener(LISTENERS[0])]).room, 2);
    let answer = turn(&[accepted(0), accepted(1)]);
    assert_eq!((answer.room, answer.commands.len()), (0, 2), "both are watched");
}

#[test]
fn a_start_makes_a_loop_of_that_room_whoever_computes() {
    for computes in [false, true] {
        let start = ServiceSettings {
            max_connections: 3,
            max_buffered: 1 << 20,
            computes,
            slice: 1,
            ..ServiceSettings::default()
        };
        let (mut driven, takes) = start.begin(Echo::default());
        assert_eq!((takes.connections, takes.block), (3, 16 * 1024));
        let answer = driven.turn(Instant::ZERO, 1024, [Event::Listener(LISTENERS[0])], Vec::new());
        assert_eq!(answer.room, 3);
    }
}

#[test]
fn a_connection_that_no_future_has_a_place_for_is_closed() {
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), serve);
    let mut driven = Driven::new(service, &Limits::new(10, 10, 1024), Compute::Here { slice: 1 });
    let events = [Event::Listener(LISTENERS[0]), accepted(0), accepted(1)];
    let commands = driven.turn(Instant::ZERO, 1024, events, Vec::new()).commands;
    assert!(commands.contains(&Command::Close(client(1))), "{commands:?}");
    assert!(!commands.contains(&Command::Close(client(0))), "{commands:?}");
}
