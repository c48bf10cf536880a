use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sinbin_core::kernel::Op;
use sinbin_core::task::{
    Endpoint, Error, Handle, NoWakers, RunContext, ToEndpoint, WaitError, join, join_all, try_join_all,
};
use sinbin_core::time::Elapsed;
use sinbin_core::{Instant, IoError, Rest};
use sinbin_testkit::memory_host::{Log, TASKS, World};

fn v4(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 80))
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 80))
}

/// Creates a world whose resolver returns these addresses for `name:80`.
fn world<'d>(handle: Handle<'d>, addresses: &[SocketAddr]) -> World<'d> {
    let mut world = World::new(handle);
    let addresses = addresses.to_vec();
    world.host.resolver = Some(Arc::new(move |host: &str, port: u16| match (host, port) {
        ("name", 80) => Ok(addresses.clone()),
        ("panics", _) => panic!("as it should"),
        _ => Err(IoError::Unresolved),
    }));
    world
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn endpoints_are_told_apart_by_their_text() {
    let name = |host, port| Endpoint::Name { host, port };
    for (text, endpoint) in [
        ("127.0.0.1:80", Endpoint::Address(([127, 0, 0, 1], 80).into())),
        ("[2001:db8::7]:80", Endpoint::Address(v6(7))),
        ("example.org:443", name("example.org", 443)),
        ("localhost:0", name("localhost", 0)),
        ("under_score.x:65535", name("under_score.x", 65535)),
        ("[fe80::1%eth0]:80", name("fe80::1%eth0", 80)),
        ("unix:/run/a.sock", Endpoint::Path("/run/a.sock")),
        ("unix:relative:80", Endpoint::Path("relative:80")),
    ] {
        assert_eq!(Endpoint::parse(text), endpoint, "{text}");
        assert_eq!(endpoint.to_string(), text);
        assert_eq!(text.to_endpoint(), endpoint);
        assert_eq!(text.to_owned().to_endpoint(), endpoint);
    }
    for text in [
        "", ":", ":80", "[]:80", "a", "a:", "a:65536", "a:+1", "a:-1", "a: 1", "::1", "::1:80", "a:b:1",
        "unix:",
    ] {
        assert_eq!(Endpoint::parse(text), Endpoint::Invalid(text));
    }
    assert_eq!(("example.org", 80).to_endpoint(), name("example.org", 80));
    let failed = Error::endpoint(Op::Connect, name("example.org", 80), IoError::Reset);
    assert!(format!("{failed:?}").contains("\"example.org:80\""), "{failed:?}");
    assert_eq!(("2001:db8::7", 80).to_endpoint(), Endpoint::Address(v6(7)));
    assert_eq!((v6(7).ip(), 80).to_endpoint(), Endpoint::Address(v6(7)));
}

#[test]
fn an_error_has_the_name_and_the_middle_of_a_long_one_is_missing() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let log = Log::new();
    let mut world = world(handle, &[]);
    world.spawn(async {
        for name in [
            "elsewhere.example:80",
            "x",
            "exactly-thirty-five-bytes.invalid:8",
            "db-1.some-department.eu-west-1.cloud.example:5432",
            "ééééééééééééééééééééééééééééééé:80",
        ] {
            log.add(handle.connect(name).await.unwrap_err().to_string());
        }
        log.add(handle.listen("example.org:80").unwrap_err().to_string());
        log.add(handle.resolve("unix:/path").await.unwrap_err().to_string());
    });
    while world.run() != Rest::Empty {
        assert!(world.compute() > 0);
    }
    assert_eq!(
        log.take(),
        [
            "resolve elsewhere.example:80: the name does not resolve to an address",
            "connect to x: neither an address nor a name with a port",
            "resolve exactly-thirty-five-bytes.invalid:8: the name does not resolve to an address",
            "resolve db-1.some-de…1.cloud.example:5432: the name does not resolve to an address",
            "resolve éééééé…éééééééé:80: the name does not resolve to an address",
            "listen on example.org:80: neither an address nor a name with a port",
            "resolve unix:/path: neither an address nor a name with a port",
        ]
    );
}

#[test]
fn a_name_without_an_address_or_whose_resolver_panics_does_not_resolve() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[]);
    let mut task = world.spawn(async move {
        assert_eq!(handle.resolve(v4(1)).await, Ok(vec![v4(1)]));
        let none = handle.resolve("name:80").await.unwrap_err();
        [none, handle.resolve("lost:80").await.unwrap_err()]
    });
    world.run();
    assert_eq!(world.compute(), 1);
    world.run();
    // The host has lost the job.
    let (job, _) = world.host.jobs.pop_first().expect("it resolves");
    world.executor.kernel.end_job(job);
    assert_eq!(world.run(), Rest::Empty);
    for error in task.take().expect("it has ended") {
        assert_eq!(error.io(), Some(IoError::Unresolved), "{error}");
        assert!(matches!(error, Error::Endpoint { op: Op::Resolve, .. }), "{error}");
    }
}

/// A resolver that never returns does not keep a task beyond its time limit.
#[test]
fn a_time_limit_ends_the_wait_for_a_resolver() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v4(1)]);
    let mut task = world
        .spawn(handle.timeout(5 * MILLISECOND, async move { handle.connect("name:80").await.map(|_| ()) }));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Err(Elapsed)));
    assert_eq!(world.now, Instant::ZERO + 5 * MILLISECOND);
    assert!(world.host.jobs.is_empty(), "the call is cancelled");
}

#[test]
fn families_take_turns_and_a_quarter_of_a_second_passes_between_attempts() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v6(1), v6(2), v6(3), v4(1), v4(2)]);
    let mut task = world.spawn(async move { handle.connect("name:80").await.map(|conn| conn.source()) });
    world.run_for(Duration::ZERO);
    world.compute();
    let order = [v6(1), v4(1), v6(2), v4(2), v6(3)];
    for begun in 1..=order.len() {
        world.run_for(Duration::ZERO);
        let dialled: Vec<_> = world.host.dials.iter().map(|(_, address)| *address).collect();
        assert_eq!(dialled, order[..begun]);
        world.run_for(249 * MILLISECOND);
        assert_eq!(world.host.dials.len(), begun, "it is not yet time");
        world.run_for(MILLISECOND);
    }
    assert_eq!(world.run(), Rest::Until(Instant::NEVER), "all attempts wait");
    world.answer(v4(1), Ok(()));
    world.run();
    assert_eq!(task.take(), Some(Ok(world.host.dials[1].0)));
    assert!(world.host.peers.is_empty(), "the winner was dropped by the task, and the others before it");
    assert_eq!(world.run(), Rest::Empty, "no attempt is left");
}

#[test]
fn addresses_of_the_caller_are_tried_as_those_of_a_name() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[]);
    let mut task = world.spawn(async move {
        let none = handle.connect_any([]).await.map(|_| ());
        (none, handle.connect_any([v6(1), v6(2), v4(1)]).await.map(|conn| conn.source()))
    });
    world.run_for(500 * MILLISECOND);
    let dialled: Vec<_> = world.host.dials.iter().map(|(_, address)| *address).collect();
    assert_eq!(dialled, [v6(1), v4(1), v6(2)]);
    world.answer(v6(2), Ok(()));
    world.run();
    let (none, connected) = task.take().expect("it has ended");
    assert_eq!(none.unwrap_err().io(), Some(IoError::Unresolved));
    assert_eq!(connected, Ok(world.host.dials[2].0));
}

#[test]
fn a_name_with_one_address_needs_no_further_task() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v4(1)]);
    world.host.routes.insert(v4(1), Ok(()));
    let mut task = world.spawn(async move { handle.connect("name:80").await.map(|conn| conn.source()) });
    world.run();
    world.compute();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok(world.host.dials[0].0)));
    assert_eq!(world.host.ended.len(), 1);
}

/// Attempts that another task cancels count as failed, whether they have begun or not.
#[test]
fn a_connect_whose_attempts_are_cancelled_fails() {
    for begins in [false, true] {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let mut world = world(handle, &[v6(1), v4(1)]);
        let mut task = world.spawn(async move { handle.connect("name:80").await.map(|_| ()) });
        world.run_for(Duration::ZERO);
        world.compute();
        for _ in 0..12 {
            world.turn();
            if begins {
                world.run_for(300 * MILLISECOND);
            }
            let attempts = world.executor.kernel.tasks().map(|view| view.id).filter(|id| *id != task.task());
            for attempt in attempts.collect::<Vec<_>>() {
                world.cancel(attempt);
            }
        }
        assert_eq!(world.run(), Rest::Empty);
        let error = task.take().expect("it has ended").unwrap_err();
        assert_eq!(error, Error::Wait(WaitError::Cancelled));
    }
}

/// A loop without a slot for an attempt's task, or for the call of the resolver, says so.
#[test]
fn a_connect_fails_where_there_is_no_slot() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v6(1), v4(1)]);
    let mut task = world.spawn(async move { handle.connect("name:80").await.map(|_| ()) });
    for _ in 1..TASKS {
        world.spawn(handle.sleep(600 * MILLISECOND));
    }
    world.run_for(Duration::ZERO);
    world.compute();
    world.run_for(Duration::ZERO);
    assert_eq!(task.take(), Some(Err(Error::Wait(WaitError::Full))));
    let mut task = world.spawn(async move {
        let busy = [(); 2].map(|()| Box::pin(handle.blocking(|| ())));
        let busy = join_all(busy);
        let (_, full) = join(busy, async {
            handle.yield_now().await;
            let full = handle.resolve("name:80").await.unwrap_err();
            (full.io(), handle.resolve(v4(1)).await.is_ok())
        })
        .await;
        full
    });
    world.run_for(Duration::ZERO);
    world.compute();
    world.run_for(Duration::ZERO);
    assert_eq!(task.take(), Some((Some(IoError::NoRoom), true)));
}

#[test]
fn a_cancelled_task_stops_waiting_for_a_name() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v4(1)]);
    let mut task = world.spawn(handle.resolve("name:80"));
    world.turn();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Err(Error::Wait(WaitError::Cancelled))));
}

/// A wait of any kind.
type Wait<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Error>> + 'a>>;

/// A look-up of a name is a job, and can be the fifth wait of a task.
#[test]
fn a_name_is_looked_up_beside_four_other_waits() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v4(1)]);
    let conns = [(); 4].map(|()| world.connect());
    let sources = conns.each_ref().map(|conn| conn.source());
    let mut task = world.spawn(async move {
        let mut waits: Vec<Wait<'_>> = Vec::new();
        for conn in &conns {
            waits.push(Box::pin(async move { conn.readable().await.map(|_| Vec::new()) }));
        }
        waits.push(Box::pin(handle.resolve("name:80")));
        try_join_all(waits).await
    });
    world.run_for(Duration::ZERO);
    world.compute();
    world.run_for(Duration::ZERO);
    assert_eq!(task.take(), None, "the other waits go on");
    for source in sources {
        world.peer(source).inbox.push_back(1);
    }
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    let found = task.take().expect("it has ended").expect("no wait fails");
    assert_eq!(found.iter().flatten().count(), 1);
}

/// A Unix socket whose backlog is full is tried again after a while.
#[test]
fn paths_are_listened_at_and_connected_to() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[]);
    world.host.path_errors.extend([IoError::WouldBlock, IoError::WouldBlock]);
    let mut task = world.spawn(async move {
        let listener = handle.listen("unix:/a.sock").unwrap();
        let conn = handle.connect("unix:/a.sock").await.unwrap();
        drop((listener, conn));
        handle.now()
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Instant::ZERO + 20 * MILLISECOND));
}

#[test]
fn the_attempts_of_a_dropped_connect_end_with_it() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = world(handle, &[v6(1), v4(1), v4(2)]);
    let connect = async move { handle.connect("name:80").await.map(|_| ()) };
    let mut task = world.spawn(handle.timeout(600 * MILLISECOND, connect));
    world.run_for(Duration::ZERO);
    world.compute();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Err(Elapsed)));
    assert_eq!((world.host.dials.len(), world.host.peers.len()), (3, 0));
}

#[test]
fn no_more_than_32_addresses_are_tried() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let addresses: Vec<_> = (0..40).map(v4).collect();
    let mut world = world(handle, &addresses);
    for address in &addresses {
        world.host.routes.insert(*address, Err(IoError::ConnectionRefused));
    }
    let mut task = world.spawn(async move { handle.connect("name:80").await.map(|_| ()) });
    world.run();
    world.compute();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(world.host.dials.len(), 32);
    let error = task.take().expect("it has ended").unwrap_err();
    assert_eq!(error.to_string(), "connect to name:80: connection refused");
}

/// An attempt's end: how long after its beginning, and how.
type Outcome = Option<(Duration, Result<(), IoError>)>;

fn outcome() -> impl Strategy<Value = Outcome> {
    let spans = prop::sample::select(vec![3_u64, 31, 97, 173, 389, 601]);
    let ends = prop_oneof![1 => Just(Ok(())), 3 => Just(Err(IoError::ConnectionRefused)), 1 => Just(Err(IoError::Reset))];
    prop::option::weighted(0.8, (spans.prop_map(Duration::from_millis), ends))
}

/// Returns the beginnings of the attempts, and the winner, as RFC 8305 describes them. Returns `None` if two events
/// coincide.
fn expected(outcomes: &[Outcome]) -> Option<(Vec<Duration>, Result<usize, IoError>)> {
    let mut begins: Vec<Duration> = vec![];
    let mut pending: BTreeSet<(Duration, usize)> = BTreeSet::new();
    let mut failed = Err(IoError::Unresolved);
    let mut now = Duration::ZERO;
    loop {
        if let Some(outcome) = outcomes.get(begins.len()) {
            if let Some((span, _)) = outcome {
                pending.insert((now + *span, begins.len()));
            }
            begins.push(now);
        }
        let delay = (begins.len() < outcomes.len()).then(|| now + 250 * MILLISECOND);
        let first = pending.first().copied();
        match (first, delay) {
            (None, None) if begins.iter().zip(outcomes).all(|(_, outcome)| outcome.is_some()) => {
                return Some((begins, failed));
            }
            (None, None) => return Some((begins, Ok(usize::MAX))),
            (Some((at, _)), Some(next)) if at == next => return None,
            (Some((at, attempt)), next) if next.is_none_or(|next| at < next) => {
                pending.pop_first();
                if pending.first().is_some_and(|(next, _)| *next == at) {
                    return None;
                }
                now = at;
                match outcomes[attempt].expect("it ends").1 {
                    Ok(()) => return Some((begins, Ok(attempt))),
                    Err(error) if failed == Err(IoError::Unresolved) => failed = Err(error),
                    Err(_) => {}
                }
            }
            (_, Some(next)) => now = next,
            (Some(_), None) => unreachable!("an end without a next attempt is the case above"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 60 }) })]

    #[test]
    fn the_fastest_address_wins_as_the_rfc_says(outcomes in prop::collection::vec(outcome(), 2..6)) {
        let Some((begins, winner)) = expected(&outcomes) else { return Ok(()) };
        let addresses: Vec<_> = (0..).take(outcomes.len()).map(v4).collect();
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let mut world = world(handle, &addresses);
        let mut task = world.spawn(async move { handle.connect("name:80").await.map(|conn| conn.source()) });
        world.run_for(Duration::ZERO);
        world.compute();
        let mut seen: Vec<Duration> = Vec::new();
        let mut unanswered: BTreeSet<(Duration, usize)> = BTreeSet::new();
        for now in (0..3000).map(Duration::from_millis) {
            world.run_for(Duration::ZERO);
            while seen.len() < world.host.dials.len() {
                if let Some((span, _)) = outcomes[seen.len()] {
                    unanswered.insert((now + span, seen.len()));
                }
                seen.push(now);
            }
            if task.is_over() {
                break;
            }
            world.run_for(MILLISECOND);
            while let Some((at, attempt)) = unanswered.first().copied().filter(|(at, _)| *at <= now + MILLISECOND) {
                prop_assert!(at > now);
                unanswered.pop_first();
                world.answer(addresses[attempt], outcomes[attempt].expect("it ends").1);
            }
        }
        prop_assert_eq!(seen, begins);
        match (task.take(), winner) {
            (None, Ok(usize::MAX)) => {}
            (Some(Ok(source)), Ok(attempt)) => {
                prop_assert_eq!(source, world.host.dials[attempt].0);
                prop_assert!(world.host.peers.is_empty());
            }
            (Some(Err(error)), Err(first)) => prop_assert_eq!(error.io(), Some(first)),
            (got, wanted) => prop_assert!(false, "{:?} instead of {:?}", got, wanted),
        }
    }
}
