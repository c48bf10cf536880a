use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::time::Duration;

use sinbin_core::driven::{Command, Compute, Driven, Event, SourceHandle};
use sinbin_core::echo::Echo;
use sinbin_core::task::{AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext, join};
use sinbin_core::{Instant, Interest, IoError, Limits, Rest};

const LISTENER: SourceHandle = SourceHandle(0);
const CLIENT: SourceHandle = SourceHandle(3 << 32 | 1);
const WINDOW: usize = 100;
const HERE: Compute = Compute::Here { slice: 1 };

fn accepted(connection: SourceHandle) -> Event {
    Event::Accepted { listener: LISTENER, connection, len: 0 }
}

fn watch(source: SourceHandle, interest: Interest) -> Command {
    Command::Watch { source, interest }
}

/// Sends the client a word for each result of its task's receives.
async fn tell(conn: Conn<'_>, heard: &RefCell<String>) -> Result<(), Error> {
    loop {
        let mut buffer = [0; 8];
        let word = match conn.recv(&mut buffer).await {
            Ok(0) => "end.".into(),
            Ok(count) => format!("{}.", str::from_utf8(&buffer[..count]).unwrap()),
            Err(error) => format!("{:?}.", error.io().unwrap()),
        };
        heard.borrow_mut().push_str(&word);
        let failed = conn.send_all(word.as_bytes()).await;
        if word == "end." || failed.is_err() {
            return failed;
        }
    }
}

/// Runs a turn for each of these sets of events with a service that runs `tell`. Returns the bytes sent, the last
/// commands, and the words of the task.
fn told(turns: &[(&[Event], &[u8])]) -> (String, Vec<Command>, String) {
    let heard = RefCell::default();
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), |conn| tell(conn, &heard));
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), HERE);
    driven.turn(Instant::ZERO, WINDOW, [Event::Listener(LISTENER), accepted(CLIENT)], Vec::new());
    let (mut said, mut commands) = (Vec::new(), Vec::new());
    for (events, input) in turns {
        let answer = driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), input.to_vec());
        said.extend(answer.output);
        commands = answer.commands;
        assert_eq!(driven.kernel().audit(), Ok(()));
    }
    assert_eq!(driven.counts().ignored, 0);
    (String::from_utf8(said).unwrap(), commands, heard.take())
}

#[test]
fn a_task_is_told_once_that_the_service_stops_and_what_comes_then_is_read() {
    let received = Event::Received { source: CLIENT, len: 3 };
    let idle = Event::Idle(CLIENT);
    assert_eq!(told(&[(&[idle], b"")]).0, "Stopping.");
    assert_eq!(told(&[(&[idle], b""), (&[], b""), (&[received], b"abc")]).0, "Stopping.abc.");
    // Bytes arrived in the same turn, so the connection is not idle.
    assert_eq!(told(&[(&[idle, received], b"abc"), (&[], b"")]).0, "abc.");
    assert_eq!(told(&[(&[idle], b""), (&[Event::Ended(CLIENT)], b"")]).0, "Stopping.end.");
}

/// Bytes received before a failure are read. After the failure, no bytes are sent.
#[test]
fn a_connection_that_broke_takes_nothing_and_is_closed() {
    let (failed, received) = (Event::Failed(CLIENT), Event::Received { source: CLIENT, len: 3 });
    let closed = [Command::Close(CLIENT)];
    let (said, commands, heard) = told(&[(&[failed], b"")]);
    assert_eq!((&*said, &commands[..], &*heard), ("", &closed[..], "Reset."));
    let (said, commands, heard) = told(&[(&[received, failed], b"abc")]);
    assert_eq!((&*said, &commands[..], &*heard), ("", &closed[..], "abc."));
}

#[test]
fn what_is_sent_last_goes_out_before_the_close() {
    let received = Event::Received { source: CLIENT, len: 3 };
    let (said, commands, _) = told(&[(&[received], b"abc"), (&[Event::Ended(CLIENT)], b"")]);
    let last = [Command::Send { source: CLIENT, len: 4 }, Command::Close(CLIENT)];
    assert_eq!((&*said, &commands[..]), ("abc.end.", &last[..]));
}

/// A task that waits only for the hangup is woken by no other event. A failure counts as a hangup.
#[test]
fn who_waits_for_a_hangup_hears_of_it() {
    for hangs_up in [Event::Hangup(CLIENT), Event::Failed(CLIENT)] {
        let run_context = RunContext::new(&NoWakers);
        let pool = pin!(Pool::growing(1));
        let serve = async |conn: Conn<'_>| conn.hangup().await.unwrap();
        let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), serve);
        let mut driven = Driven::new(service, &Limits::new(2, 1, 256), HERE);
        let mut turn = |events: &[Event], input: &[u8]| {
            driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), input.to_vec()).commands
        };
        let commands = turn(&[Event::Listener(LISTENER), accepted(CLIENT)], b"");
        assert!(commands.contains(&watch(CLIENT, Interest::HANGUP)), "{commands:?}");
        // No task waits for the bytes yet.
        let unread = Command::Unread { source: CLIENT, len: 2 };
        assert_eq!(
            turn(&[Event::Received { source: CLIENT, len: 2 }, Event::Ended(CLIENT)], b"hi"),
            [unread]
        );
        assert_eq!(turn(&[hangs_up], b""), [Command::Close(CLIENT)]);
    }
}

#[test]
fn what_comes_behind_a_hangup_is_received() {
    let hello = Event::Received { source: CLIENT, len: 5 };
    let gone = Event::Hangup(CLIENT);
    assert_eq!(told(&[(&[gone], b""), (&[hello], b"hello"), (&[Event::Ended(CLIENT)], b"")]).0, "hello.end.");
    assert_eq!(told(&[(&[hello, gone], b"hello"), (&[Event::Ended(CLIENT)], b"")]).0, "hello.end.");
}

/// A hangup ends any other wait of the task once and is then not reported again. A wait for the
/// hangup itself, begun after that, ends with the end of the stream, which the driver still owes.
#[test]
fn a_hangup_is_heard_by_who_waits_for_something_else() {
    let looks = Cell::new(0);
    let look = async |conn: Conn<'_>| -> Result<(), Error> {
        conn.readable().await?;
        looks.set(looks.get() + 1);
        conn.hangup().await?;
        looks.set(looks.get() + 1);
        conn.hangup().await
    };
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), look);
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), HERE);
    let mut turn = |events: &[Event]| {
        let answer = driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), Vec::new());
        assert_ne!(answer.rest, Rest::Ready, "the loop waits for the next event");
        (looks.get(), answer.commands)
    };
    assert_eq!(turn(&[Event::Listener(LISTENER), accepted(CLIENT)]).0, 0);
    assert_eq!(turn(&[Event::Hangup(CLIENT)]), (1, vec![]));
    assert_eq!(turn(&[]), (1, vec![]));
    let closed = vec![Command::Close(CLIENT)];
    assert_eq!(turn(&[Event::Ended(CLIENT)]), (2, closed));
}

/// A listener for which no task is free is not watched, and its handle can be used again.
#[test]
fn a_listener_that_finds_no_task_can_be_told_again() {
    let (second, other) = (SourceHandle(2), SourceHandle(3));
    let mut driven = Driven::new(Echo::default(), &Limits::new(3, 1, 256).with_sources(8), HERE);
    let mut turn = |events: &[Event]| {
        let answer = driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), Vec::new());
        (answer.commands, driven.counts().ignored)
    };
    turn(&[Event::Listener(LISTENER), accepted(CLIENT), accepted(second)]);
    assert_eq!(turn(&[Event::Listener(other)]), (vec![], 1));
    let closed = vec![Command::Close(CLIENT), Command::Close(second)];
    assert_eq!(turn(&[Event::Ended(CLIENT), Event::Ended(second)]), (closed, 1));
    assert_eq!(turn(&[Event::Listener(other)]), (vec![watch(other, Interest::RECV)], 1));
}

/// The second connection with a handle is ignored, and the first one is not closed.
#[test]
fn a_name_that_is_given_twice_in_one_turn_is_the_first_ones() {
    let mut driven = Driven::new(Echo::default(), &Limits::new(4, 1, 256), HERE);
    let arrived = [Event::Listener(LISTENER), accepted(CLIENT), accepted(CLIENT)];
    let answer = driven.turn(Instant::ZERO, WINDOW, arrived, Vec::new());
    assert_eq!(answer.commands, [watch(LISTENER, Interest::RECV), watch(CLIENT, Interest::RECV)]);
    assert_eq!((answer.room, driven.counts().ignored), (2, 1));
    let hello = Event::Received { source: CLIENT, len: 5 };
    let answer = driven.turn(Instant::ZERO, WINDOW, [hello], b"hello".to_vec());
    assert_eq!(
        (answer.commands, &answer.output[..]),
        (vec![Command::Send { source: CLIENT, len: 5 }], &b"hello"[..])
    );
    driven.turn(Instant::ZERO, WINDOW, [Event::Ended(CLIENT), Event::Stop], Vec::new());
    assert_eq!(driven.kernel().rest(), Rest::Empty);
}

#[test]
fn both_directions_end_by_themselves() {
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(1));
    let serve = async |conn: Conn<'_>| {
        conn.send_all(b"bye").await.unwrap();
        conn.shutdown().unwrap();
        let (received, gone) = join(conn.recv_with(<[u8]>::to_vec), conn.hangup()).await;
        assert_eq!((received, gone), (Ok(b"and you".to_vec()), Ok(())));
        assert_eq!(conn.try_recv(&mut [0]).unwrap_err().io(), Some(IoError::WouldBlock));
    };
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), serve);
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), HERE);
    let arrived = [Event::Listener(LISTENER), accepted(CLIENT)];
    let commands = driven.turn(Instant::ZERO, WINDOW, arrived, Vec::new()).commands;
    assert_eq!(commands[..2], [Command::Send { source: CLIENT, len: 3 }, Command::Shutdown(CLIENT)]);
    let received = Event::Received { source: CLIENT, len: 7 };
    assert_eq!(driven.turn(Instant::ZERO, WINDOW, [received], b"and you".to_vec()).output, b"");
    let commands = driven.turn(Instant::ZERO, WINDOW, [Event::Hangup(CLIENT)], Vec::new()).commands;
    assert_eq!(commands, [Command::Close(CLIENT)]);
}

/// Runs turns with a client that is closed after 100 ns of silence. The time counts from the moment at which the task
/// asked for the deadline. Bytes that came before the deadline are answered, even if the driver reports them several
/// turns later.
fn idle_after(turns: &[(u64, &[Event], &[u8])]) -> Vec<String> {
    let service = Echo { idle_timeout: Some(Duration::from_nanos(100)), ..Echo::default() };
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), HERE);
    driven.turn(Instant::ZERO, WINDOW, [Event::Listener(LISTENER), accepted(CLIENT)], Vec::new());
    let turn = |(now, events, input): &(u64, &[Event], &[u8])| {
        let now = Instant::from_nanos(*now);
        let answer = driven.turn(now, WINDOW, events.iter().copied(), input.to_vec());
        assert_eq!(driven.kernel().audit(), Ok(()));
        if answer.commands.contains(&Command::Close(CLIENT)) {
            "closed".to_owned()
        } else if answer.output.is_empty() {
            format!("{:?}", answer.rest)
        } else {
            String::from_utf8(answer.output).unwrap()
        }
    };
    turns.iter().map(turn).collect()
}

fn until(nanos: u64) -> String {
    format!("{:?}", Rest::Until(Instant::from_nanos(nanos)))
}

#[test]
fn a_deadline_is_over_in_the_turn_after_the_one_that_was_told_of_it() {
    assert_eq!(
        idle_after(&[(99, &[], b""), (100, &[], b""), (100, &[], b"")]),
        [&until(100), "Ready", "closed"]
    );
    // Bytes reported in this turn arrived before the deadline.
    let received = Event::Received { source: CLIENT, len: 2 };
    assert_eq!(idle_after(&[(250, &[], b""), (300, &[received], b"hi")]), ["Ready", "hi"]);
}

#[test]
fn while_there_is_more_to_tell_no_deadline_is_over() {
    let received = Event::Received { source: CLIENT, len: 2 };
    let turns: &[(u64, &[Event], &[u8])] =
        &[(250, &[], b""), (300, &[Event::More], b""), (310, &[Event::More], b""), (320, &[received], b"hi")];
    assert_eq!(idle_after(turns), ["Ready", "Ready", "Ready", "hi"]);
    assert_eq!(idle_after(&[(250, &[], b""), (300, &[Event::More], b""), (310, &[], b"")])[2], "closed");
}

#[test]
fn a_span_that_was_asked_for_in_a_long_turn_counts_from_its_end() {
    // The first turn took 70 ns, and the later ones took no time.
    let took = Event::Took(70);
    assert_eq!(
        idle_after(&[(100, &[took], b""), (169, &[], b""), (170, &[], b""), (170, &[], b"")]),
        [&until(170), &until(170), "Ready", "closed"]
    );
    // `Took` delays only the deadlines requested in the preceding turn. The stale timer of the earlier wait comes
    // first.
    let received = Event::Received { source: CLIENT, len: 2 };
    let turns: &[(u64, &[Event], &[u8])] =
        &[(50, &[received], b"hi"), (60, &[], b""), (70, &[took], b""), (150, &[], b""), (151, &[], b"")];
    assert_eq!(idle_after(turns)[1..], [until(100), until(100), "Ready".to_owned(), "closed".to_owned()]);
}
