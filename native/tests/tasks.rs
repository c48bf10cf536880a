//! Tests of tasks that are `async fn`s on the native loop, as far as they need sockets, threads or panics.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use sinbin::group::{Cause, scope};
use sinbin::sync::Channel;
use sinbin::task::{Conn, Either, Error, Handle, JoinError, JoinErrorKind, WaitError, join, select};
use sinbin::{IoError, Settings};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn run<T>(main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    sinbin::run(main).expect("it runs")
}

async fn panics(handle: Handle<'_>) {
    handle.yield_now().await;
    panic!("as it should");
}

#[test]
fn a_panic_takes_down_its_task_alone_and_is_told_by_name() {
    let error = run(async |handle| {
        let mut bad = handle.spawn(panics(handle)).expect("there is room");
        let mut good =
            handle.spawn(async move { handle.sleep(Duration::from_millis(1)).await }).expect("there is room");
        let error = bad.join().await.expect_err("it panics");
        good.join().await.expect("the panic does not affect it");
        error
    });
    assert_eq!(error.why, JoinErrorKind::Panicked);
    assert!(error.to_string().contains("panics, spawned at native/tests/tasks.rs:"), "{error}");
}

#[test]
fn a_panic_of_a_task_of_a_group_is_a_failure_of_the_group() {
    let failed = run(async |handle| {
        scope(handle, async |group| {
            group.spawn(async move {
                panics(handle).await;
                Ok::<_, Error>(())
            })?;
            group.spawn(async move {
                handle.sleep(Duration::from_secs(3600)).await;
                Ok(())
            })?;
            Ok(())
        })
        .await
        .expect_err("one panics")
    });
    assert!(matches!(failed.cause, Cause::Panicked), "{failed}");
}

#[test]
fn a_panic_of_a_connection_harms_no_other() {
    let listener = TcpListener::bind(LOCAL).expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = async |conn: Conn<'_>| {
        let mut buffer = [0; 16];
        let count = conn.recv(&mut buffer).await?;
        assert!(&buffer[..count] != b"panic", "as it should");
        conn.send_all(&buffer[..count]).await
    };
    let (sender, stopper) = std::sync::mpsc::channel();
    let clients = thread::spawn(move || {
        let stopper: sinbin::Stopper = stopper.recv().expect("it starts");
        let ask = |text: &str| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(text.as_bytes()).expect("it reads");
            let mut reply = String::new();
            stream.read_to_string(&mut reply).expect("it ends");
            reply
        };
        assert_eq!([ask("one"), ask("panic"), ask("two")], ["one", "", "two"]);
        stopper.stop();
    });
    let started = |stopper| sender.send(stopper).expect("the client waits");
    let summary = Settings::default().serve([listener], started, serve).expect("it runs");
    clients.join().expect("the clients succeed");
    assert_eq!((summary.counts.connections, summary.counts.failed), (3, 1));
}

#[test]
fn a_program_that_panics_has_no_result() {
    let result = sinbin::run(async |handle: Handle<'_>| panics(handle).await);
    assert!(matches!(result, Err(sinbin::Error::JobError)), "{result:?}");
}

/// A sleep or a timeout whose deadline passes in the step in which it starts ends at once. An alarm set for a time in
/// the past would never go off.
#[test]
fn what_was_due_before_it_was_waited_for_ends() {
    let (over, ends) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for millis in [1, 11, 20] {
            let (span, longer) = (Duration::from_millis(millis), Duration::from_millis(2 * millis));
            run(async |handle| {
                let (nap, deadline) =
                    (handle.sleep(span), handle.timeout(span, std::future::pending::<()>()));
                thread::sleep(longer);
                nap.await;
                deadline.await.expect_err("nothing comes");
            });
        }
        over.send(()).expect("the test waits");
    });
    ends.recv_timeout(Duration::from_secs(60)).expect("every wait ends");
}

#[test]
fn when_the_program_ends_the_other_tasks_are_cancelled() {
    let cleaned = Rc::new(Cell::new(0));
    let listener = TcpListener::bind(LOCAL).expect("a port");
    let address = listener.local_addr().expect("an address");
    run(async |handle| {
        let cleans = Rc::clone(&cleaned);
        handle
            .spawn(async move {
                let conn = handle.connect(address).await.expect("it listens");
                assert_eq!(conn.recv(&mut [0]).await, Err(WaitError::Cancelled.into()));
                handle.shield(handle.sleep(Duration::from_millis(1))).await;
                cleans.set(1);
            })
            .expect("there is room");
        handle.sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(cleaned.get(), 1, "it could clean up");
}

#[test]
fn spawning_beyond_capacity_gives_the_future_back() {
    let mut settings = Settings::default();
    settings.max_connections = 1;
    let spawned = settings.run(async |handle| {
        let mut tasks = Vec::new();
        let future = loop {
            match handle.try_spawn(async move { handle.yield_now().await }) {
                Ok(task) => tasks.push(task),
                Err(unspawned) => break unspawned.0,
            }
        };
        let mut last = tasks.pop().expect("there was room for some");
        last.join().await?;
        handle.spawn(future).expect("there is room again").join().await?;
        Ok::<_, JoinError>(tasks.len())
    });
    assert!(spawned.expect("it runs").expect("no task is cancelled") > 10);
}

#[test]
fn who_waits_for_whom_is_told_with_names() {
    async fn waits_for_nobody(handle: Handle<'_>) {
        handle.wait_named().await.ok();
    }
    let stalled = sinbin::run(async |handle| {
        handle.spawn(waits_for_nobody(handle)).expect("there is room").join().await.ok();
    });
    let report = stalled.expect_err("no task can make progress").to_string();
    assert!(report.contains("task 0.1: waits for task 1.1"), "{report}");
    assert!(report.contains("task 1.1: waits to be woken by name (tasks::who_waits"), "{report}");
    assert!(report.contains("spawned at native/tests/tasks.rs:"), "{report}");
}

#[test]
fn connections_go_both_ways_and_end_in_halves() {
    run(async |handle| {
        let listener = handle.listen(LOCAL)?;
        let client = async {
            let conn = handle.connect(listener.address()).await?;
            conn.send_all(b"question").await?;
            conn.shutdown()?;
            let mut reply = [0; 16];
            let count = conn.recv(&mut reply).await?;
            assert_eq!(&reply[..count], b"answer");
            assert_eq!(conn.recv(&mut reply).await?, 0);
            Ok::<_, Error>(())
        };
        let server = async {
            let (conn, peer) = listener.accept().await?;
            assert_eq!(peer, conn.peer());
            let mut question = [0; 16];
            let count = conn.recv(&mut question).await?;
            assert_eq!(&question[..count], b"question");
            assert_eq!(conn.recv(&mut question).await?, 0);
            conn.send_all(b"answer").await
        };
        let (client, server) = join(client, server).await;
        client.and(server)
    })
    .expect("the exchange succeeds");
}

#[test]
fn who_receives_without_a_buffer_gets_it_all() {
    let heard = run(async |handle| {
        let listener = handle.listen(LOCAL)?;
        let client = async {
            let conn = handle.connect(listener.address()).await?;
            for word in ["one ", "two ", "three"] {
                conn.send_all(word.as_bytes()).await?;
                handle.sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, Error>(())
        };
        let server = async {
            let (conn, _) = listener.accept().await?;
            let mut heard = Vec::new();
            while conn.recv_with(|bytes| heard.extend_from_slice(bytes)).await.map(|()| heard.len() < 13)? {}
            assert_eq!(conn.recv_with(<[u8]>::len).await?, 0, "the end of the stream");
            Ok::<_, Error>(heard)
        };
        let (client, server) = join(client, server).await;
        client.and(server)
    });
    assert_eq!(heard.as_deref(), Ok(&b"one two three"[..]));
}

#[test]
fn what_fails_in_another_task_keeps_its_name_on_the_way_up() {
    async fn waits(handle: Handle<'_>) -> Result<(), Error> {
        let mut child = handle.spawn(panics(handle))?;
        child.join().await?;
        Ok(())
    }
    let error = run(async |handle| waits(handle).await.expect_err("the child panics"));
    assert!(error.to_string().contains("panics, spawned at native/tests/tasks.rs:"), "{error}");
}

#[test]
fn a_channel_that_is_closed_is_an_error_at_once() {
    let error = run(async |handle| -> Result<(), Error> {
        let channel = Channel::<u8, 1>::new(handle);
        channel.close()?;
        channel.send(1).await?;
        Ok(())
    });
    assert_eq!(error, Err(Error::Closed));
}

/// Returns the two ends of one connection.
async fn pair(handle: Handle<'_>) -> Result<(Conn<'_>, Conn<'_>), Error> {
    let listener = handle.listen(LOCAL)?;
    let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
    Ok((client?, server?.0))
}

#[test]
fn of_two_waits_the_one_that_is_over_is_told_so() {
    run(async |handle| {
        let (conn, peer) = pair(handle).await?;
        let first = select(conn.readable(), conn.writable()).await;
        assert_eq!(first, Either::Second(Ok(())), "nothing is there to receive");
        peer.send_all(b"x").await?;
        let first = select(conn.hangup(), conn.readable()).await;
        assert_eq!(first, Either::Second(Ok(())), "the peer does not hang up");
        Ok::<_, Error>(())
    })
    .expect("it runs");
}

#[test]
fn who_is_out_of_operations_is_not_told_of_a_hangup() {
    run(async |handle| {
        let (conn, peer) = pair(handle).await?;
        for _ in 0..32 {
            conn.send_all(b"x").await?;
        }
        let mut buffer = [0];
        let wait = select(conn.recv(&mut buffer), conn.hangup());
        let waited = handle.timeout(Duration::from_millis(20), wait).await;
        assert!(waited.is_err(), "no bytes arrive, and the peer does not hang up");
        drop(peer);
        Ok::<_, Error>(())
    })
    .expect("it runs");
}

#[test]
fn an_empty_buffer_receives_nothing_at_once() {
    run(async |handle| {
        let (conn, peer) = pair(handle).await?;
        peer.send_all(b"abc").await?;
        assert_eq!(conn.recv(&mut [0; 8]).await?, 3);
        assert_eq!(conn.recv(&mut []).await?, 0, "though nothing is there");
        peer.send_all(b"d").await?;
        assert_eq!(conn.recv(&mut [0; 8]).await?, 1);
        Ok::<_, Error>(())
    })
    .expect("it runs");
}

#[test]
fn nobody_listens_there() {
    // A socket that is bound and does not listen, so that no other process gets the port meanwhile.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&LOCAL.into()).expect("a port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let error =
        run(async |handle| handle.connect(address).await.map(drop).expect_err("there is no listener"));
    assert_eq!(error.io(), Some(IoError::ConnectionRefused));
}

#[test]
fn the_address_is_in_use() {
    let error = run(async |handle| {
        let listener = handle.listen(LOCAL).expect("a port");
        handle.listen(listener.address()).map(drop).expect_err("the address is in use")
    });
    assert_eq!(error.io(), Some(IoError::AddressInUse));
}

#[test]
fn a_peer_that_breaks_off_ends_every_wait() {
    run(async |handle| {
        let listener = handle.listen(LOCAL).expect("a port");
        let peer = TcpStream::connect(listener.address()).expect("it listens");
        let (conn, _) = listener.accept().await.expect("it connects");
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(peer);
        conn.hangup().await.expect("it hangs up");
        assert_eq!(conn.recv(&mut [0]).await.expect_err("it is broken").io(), Some(IoError::Reset));
    });
}

#[test]
fn jobs_come_back_and_a_job_that_panics_is_lost_alone() {
    for workers in [0, 2] {
        let mut settings = Settings::default();
        settings.workers = workers;
        let sum = settings.run(async |handle| {
            let mut sum = 0;
            for n in 1..=10 {
                sum += handle.job(move || n * n).await.expect("it is computed");
            }
            sum
        });
        assert_eq!(sum.expect("it runs"), 385, "{workers} workers");
    }
    for workers in [0, 2] {
        let mut settings = Settings::default();
        settings.workers = workers;
        let lost = settings.run(async |handle| {
            let others = join(handle.job(|| 1), handle.job(|| 2));
            join(handle.job(|| -> u32 { panic!("as it should") }), others).await
        });
        let lost = lost.expect("it runs");
        assert_eq!(lost, (Err(sinbin::task::JobError::Failed), (Ok(1), Ok(2))), "{workers} workers");
    }
}

#[test]
fn a_client_that_never_reads_is_waited_for_without_growth() {
    let listener = TcpListener::bind(LOCAL).expect("a port");
    let address = listener.local_addr().expect("an address");
    const LOTS: usize = 8 << 20;
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        stream.shutdown(Shutdown::Write).expect("it is there");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("it ends");
        all.len()
    });
    run(async |handle| {
        let conn = handle.connect(address).await?;
        let chunk = vec![b'x'; LOTS];
        conn.send_all(&chunk).await
    })
    .expect("all is sent");
    assert_eq!(peer.join().expect("it reads"), LOTS);
}

const HOUR: Duration = Duration::from_secs(3600);

fn run_for<T>(drain: Duration, main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    let mut settings = Settings::default();
    settings.drain_timeout = drain;
    settings.run(main).expect("it ends, with its result")
}

/// The end of the program does not interrupt shielded cleanups, even if the task was cancelled several times before.
#[test]
fn a_shield_holds_beyond_the_end_of_the_program() {
    let cleaned = Rc::new(Cell::new(0));
    run_for(HOUR, async |handle| {
        for times in 0..3 {
            let cleans = Rc::clone(&cleaned);
            let task = handle
                .spawn(async move {
                    assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
                    handle.shield(handle.sleep(Duration::from_millis(20))).await;
                    assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
                    handle.shield(handle.sleep(Duration::from_millis(1))).await;
                    cleans.set(cleans.get() + 1);
                })
                .expect("there is room");
            handle.yield_now().await;
            for _ in 0..times {
                task.cancel();
                handle.yield_now().await;
            }
        }
    });
    assert_eq!(cleaned.get(), 3);
}

/// Counts when it is dropped, and spawns a task that owns another such value, as often as the given number says.
struct Spawns<'d>(Handle<'d>, Rc<Cell<u32>>, u32);

impl Drop for Spawns<'_> {
    fn drop(&mut self) {
        let (handle, dropped, left) = (self.0, &self.1, self.2);
        dropped.set(dropped.get() + 1);
        if left > 0 {
            let next = Spawns(handle, Rc::clone(dropped), left - 1);
            let task = async move {
                let _next = next;
                handle.sleep(HOUR).await;
                handle.shield(handle.sleep(HOUR)).await;
            };
            handle.spawn(task).ok();
        }
    }
}

/// Tasks that destructors spawn while everything ends are cancelled too, and get no time of their own.
#[test]
fn what_destructors_spawn_at_the_end_does_not_hold_it_up() {
    for (drain, left) in [(HOUR, 2), (HOUR, 20), (Duration::ZERO, 200)] {
        let dropped = Rc::new(Cell::new(0));
        run_for(drain, async |handle| {
            let spawns = Spawns(handle, Rc::clone(&dropped), left);
            handle
                .spawn(async move {
                    let _spawns = spawns;
                    handle.sleep(HOUR).await;
                })
                .expect("there is room");
            handle.yield_now().await;
        });
        assert_eq!(dropped.get(), left + 1);
    }
}

/// Tasks have the drain timeout to clean up, and no more, however they spend it.
#[test]
fn nobody_has_more_time_than_there_is() {
    let dropped = Rc::new(Cell::new(0));
    let result = run_for(Duration::from_millis(30), async |handle| {
        let falls = || Spawns(handle, Rc::clone(&dropped), 0);
        let [first, second, third] = [falls(), falls(), falls()];
        handle
            .spawn(async move {
                let _falls = first;
                handle.shield(handle.sleep(HOUR)).await;
            })
            .expect("there is room");
        handle
            .spawn(async move {
                let _falls = second;
                loop {
                    handle.shield(handle.yield_now()).await;
                }
            })
            .expect("there is room");
        handle
            .spawn(async move {
                let _falls = third;
                scope(handle, async |group| {
                    group.spawn(async move {
                        handle.shield(handle.sleep(HOUR)).await;
                        Ok::<_, Error>(())
                    })?;
                    handle.wait_named().await?;
                    Ok(())
                })
                .await
                .ok();
            })
            .expect("there is room");
        handle.yield_now().await;
        42
    });
    assert_eq!((result, dropped.get()), (42, 3));
}

/// A cleanup that waits for a wake that can never come is cut off at once, and the program's result is kept.
#[test]
fn a_cleanup_that_nothing_can_end_is_cut_off_at_once() {
    let result = run_for(HOUR, async |handle| {
        handle.spawn(async move { handle.shield(handle.wait_named()).await }).expect("there is room");
        handle.yield_now().await;
        42
    });
    assert_eq!(result, 42);
}

/// When a server stops, a connection that shields itself is cut off at the end of the drain timeout.
#[test]
fn a_connection_that_shields_itself_is_cut_off_in_time() {
    let listener = TcpListener::bind(LOCAL).expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = async |conn: Conn<'_>| {
        let handle = conn.handle();
        conn.send_all(b"x").await?;
        loop {
            handle.shield(conn.recv(&mut [0])).await.ok();
            handle.shield(handle.sleep(HOUR)).await;
        }
    };
    let (sender, stopper) = std::sync::mpsc::channel();
    let client = thread::spawn(move || {
        let stopper: sinbin::Stopper = stopper.recv().expect("it starts");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.read_exact(&mut [0]).expect("it is served");
        stopper.stop();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let mut settings = Settings::default();
    settings.drain_timeout = Duration::from_millis(30);
    let started = |stopper| sender.send(stopper).expect("the client waits");
    let serve = async |conn: Conn<'_>| -> Result<(), Error> { serve(conn).await };
    let summary = settings.serve([listener], started, serve).expect("it runs");
    client.join().expect("the client succeeds");
    assert_eq!((summary.counts.connections, summary.cut), (1, 1));
}

/// A task that contains an executor with sleeps does not make the loop spin.
#[test]
fn sleeps_in_an_executor_of_a_task_do_not_spin() {
    use futures_util::StreamExt;
    use futures_util::stream::FuturesUnordered;
    let polls = run(async |handle| {
        let polls = Cell::new(0);
        let mut sleeps: FuturesUnordered<_> =
            (0..20).map(|n| async move { handle.sleep(Duration::from_millis(5 * n)).await }).collect();
        std::future::poll_fn(|context| {
            polls.set(polls.get() + 1);
            loop {
                match std::task::ready!(sleeps.poll_next_unpin(context)) {
                    Some(()) => {}
                    None => return std::task::Poll::Ready(()),
                }
            }
        })
        .await;
        polls.get()
    });
    // Each sleep ends a wait once, and its waker may end another one.
    assert!(polls <= 100, "{polls} polls");
}

/// A program that sleeps forever is not mistaken for one that cannot make progress.
#[test]
fn a_program_that_sleeps_for_ever_sleeps() {
    let slept = run(async |handle| {
        let forever = handle.spawn(handle.sleep(Duration::MAX)).expect("there is room");
        let waits = select(handle.sleep(Duration::MAX), handle.sleep(Duration::from_millis(5))).await;
        forever.cancel();
        waits
    });
    assert_eq!(slept, Either::Second(()));
}

/// Returns the lines that this thread logs while `act` runs, without debug lines.
fn logged(act: impl FnOnce()) -> String {
    thread_local! {
        static TEXT: std::cell::RefCell<Option<Vec<u8>>> = const { std::cell::RefCell::new(None) };
    }
    struct Text;
    impl Write for Text {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            TEXT.with_borrow_mut(|text| text.iter_mut().for_each(|text| text.extend(bytes)));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // A single subscriber serves all threads. Subscribers that come and go would race for the enabled levels.
    static LOG: std::sync::Once = std::sync::Once::new();
    LOG.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        tracing::subscriber::set_global_default(log.with_writer(|| Text).finish()).expect("the only one");
    });
    TEXT.set(Some(Vec::new()));
    act();
    String::from_utf8(TEXT.take().unwrap_or_default()).expect("text")
}

async fn fails_alone(handle: Handle<'_>) -> Result<(), Error> {
    handle.yield_now().await;
    Err(Error::Elapsed)
}

#[test]
fn a_detached_task_that_fails_is_warned_of_by_name() {
    let log = logged(|| {
        run(async |handle| {
            handle.spawn(fails_alone(handle)).expect("there is room");
            handle
                .spawn(async { Err::<(), _>(Box::<dyn std::error::Error>::from("late")) })
                .expect("there is room");
            handle.spawn(panics(handle)).expect("there is room");
            handle.detach(async { Err::<(), _>(format_args!("{}", 42).to_string()) }).expect("there is room");
            handle
                .spawn(async move { handle.wait_named().await.map_err(Error::from) })
                .expect("there is room");
            for _ in 0..5 {
                handle.yield_now().await;
            }
        });
    });
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    let says = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(says("(tasks::fails_alone, spawned at native/tests/tasks.rs:"), "{log}");
    assert!(says("failed: it took too long") && says("failed: late") && says("failed: 42"), "{log}");
    assert!(lines.iter().any(|line| line.contains("ERROR") && line.contains("panics")), "{log}");
}

/// A client may be able to cause failing tasks. Above a limit, they are counted instead of logged by name.
#[test]
fn a_flood_of_failures_is_no_flood_of_lines() {
    let log = logged(|| {
        run(async |handle| {
            for _ in 0..1000 {
                handle.spawn(fails_alone(handle)).expect("there is room");
            }
            for _ in 0..5 {
                handle.yield_now().await;
            }
        });
    });
    let lines: Vec<_> = log.lines().collect();
    let named = lines.iter().filter(|line| line.contains("fails_alone")).count();
    let counted: usize = lines
        .iter()
        .filter_map(|line| line.split_once(" more tasks failed")?.0.rsplit(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(named + counted, 1000, "{log}");
    assert!(lines.len() < 500, "{log}");
}

/// A failing task that a connection has spawned is logged as well.
#[test]
fn a_task_of_a_server_that_fails_is_warned_of() {
    let log = logged(|| {
        let listener = TcpListener::bind(LOCAL).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, stopper) = std::sync::mpsc::channel();
        let client = thread::spawn(move || {
            let stopper: sinbin::Stopper = stopper.recv().expect("it starts");
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.read_to_end(&mut Vec::new()).expect("it ends");
            stopper.stop();
        });
        let serve = async |conn: Conn<'_>| {
            conn.handle().spawn(fails_alone(conn.handle()))?;
            conn.handle().sleep(Duration::from_millis(1)).await;
            Ok::<_, Error>(())
        };
        let started = |stopper| sender.send(stopper).expect("the client waits");
        Settings::default().serve([listener], started, serve).expect("it runs");
        client.join().expect("the client succeeds");
    });
    assert!(log.contains("(tasks::fails_alone, spawned at"), "{log}");
}

/// Runs `service` for one connection, and `client` against it in another thread.
fn serve_one<T, S>(client: impl FnOnce(SocketAddr) -> T + Send + 'static, service: S) -> T
where
    T: Send + 'static,
    S: AsyncFnOnce(Conn<'_>) -> Result<(), Error>,
{
    let (sender, address) = std::sync::mpsc::channel();
    let client = thread::spawn(move || client(address.recv().expect("it listens")));
    let served = run(async |handle| {
        let listener = handle.listen(LOCAL)?;
        sender.send(listener.address()).expect("the client waits");
        service(listener.accept().await?.0).await
    });
    assert_eq!(served, Ok(()));
    client.join().expect("the client succeeds")
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it ends");
    bytes
}

/// A state machine that polls both directions of its connection in one task, with more bytes than the sockets' buffers
/// hold.
#[test]
fn both_directions_are_polled_at_once() {
    const COUNT: usize = 8 << 20;
    let client = |address| {
        let stream = TcpStream::connect(address).expect("it listens");
        let mut sending = stream.try_clone().expect("a descriptor");
        let sends = thread::spawn(move || {
            sending.write_all(&vec![1; COUNT]).expect("it reads");
            sending.shutdown(Shutdown::Write).expect("it is open");
        });
        let received = read_to_end(stream).len();
        sends.join().expect("all is sent");
        received
    };
    let received = serve_one(client, async |conn| {
        let (mut received, mut sent, mut has_ended) = (0, 0, false);
        let (mut buffer, bytes) = (vec![0; 1000], vec![2; 1 << 16]);
        std::future::poll_fn(|context| {
            while !has_ended {
                match conn.poll_recv(context, &mut buffer)? {
                    std::task::Poll::Ready(count) => {
                        received += count;
                        has_ended = count == 0;
                    }
                    std::task::Poll::Pending => break,
                }
            }
            while sent < COUNT {
                let rest = bytes.len().min(COUNT - sent);
                match conn.poll_send(context, &bytes[..rest])? {
                    std::task::Poll::Ready(count) => sent += count,
                    std::task::Poll::Pending => return std::task::Poll::Pending,
                }
            }
            if has_ended { std::task::Poll::Ready(Ok::<_, Error>(())) } else { std::task::Poll::Pending }
        })
        .await?;
        assert_eq!((received, sent), (COUNT, COUNT));
        Ok(())
    });
    assert_eq!(received, COUNT);
}

#[test]
fn the_halves_of_a_connection_are_used_by_two_tasks() {
    let client = |address| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(b"hello").expect("it reads");
        let bytes = read_to_end(stream.try_clone().expect("a descriptor"));
        // The other direction is still open.
        stream.write_all(b", world").expect("it reads");
        bytes
    };
    let bytes = serve_one(client, async |conn| {
        let handle = conn.handle();
        let (receiver, sender) = conn.into_split();
        handle.detach(async move { sender.send_all(b"welcome").await })?;
        let mut reader = sinbin::task::BufReader::new(receiver, [0; 64]);
        assert_eq!(reader.read_until(0).await?, Some(&b"hello, world"[..]));
        Ok(())
    });
    assert_eq!(bytes, b"welcome");
}

#[test]
fn lines_of_a_client_are_bounded() {
    let client = |address| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(b"one\r\ntwo\n").expect("it reads");
        stream.write_all(&[b'x'; 100_000]).expect("it reads");
        stream.write_all(b"\nthree").expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        String::from_utf8(read_to_end(stream)).expect("text")
    };
    let said = serve_one(client, async |conn| {
        let mut lines = conn.lines([0; 64]);
        loop {
            match lines.next().await {
                Ok(Some(line)) => conn.send_all(&[line, b"."].concat()).await?,
                Ok(None) => return Ok(()),
                Err(Error::TooLong { limit }) => conn.send_all(format!("over {limit}.").as_bytes()).await?,
                Err(error) => return Err(error),
            }
        }
    });
    assert_eq!(said, "one.two.over 64.three.");
}

/// Code that is written for `futures-io`: its adapters make a new future for each poll.
#[test]
fn byte_streams_of_futures_io_work_on_sockets() {
    use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, copy};
    use futures_util::stream::StreamExt;

    const COUNT: usize = 4 << 20;
    let client = |address| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(b"one\r\ntwo\nend\n").expect("it reads");
        let mut sending = stream.try_clone().expect("a descriptor");
        let sends = thread::spawn(move || {
            sending.write_all(&vec![b'x'; COUNT]).expect("it reads");
            sending.shutdown(Shutdown::Write).expect("it is open");
        });
        let bytes = read_to_end(stream);
        sends.join().expect("all is sent");
        bytes
    };
    let bytes = serve_one(client, async |conn| {
        let mut reader = sinbin::task::BufReader::new(&conn, [0; 1000]);
        let mut lines = (&mut reader).lines();
        let mut heard = Vec::new();
        while let Some(Ok(line)) = lines.next().await {
            heard.push(line);
            if heard.len() == 3 {
                break;
            }
        }
        assert_eq!(heard, ["one", "two", "end"]);
        drop(lines);
        let (rest, mut writer) = (reader, &conn);
        assert_eq!(copy(rest.take(COUNT as u64), &mut writer).await.expect("a connection"), COUNT as u64);
        writer.close().await.expect("a connection");
        Ok(())
    });
    assert!(bytes == vec![b'x'; COUNT]);
}

/// A forwarder between a client and an echo server: all bytes return, and both directions end in turn.
#[test]
fn a_forwarder_copies_both_directions_and_half_closes() {
    const COUNT: usize = 8 << 20;
    let echo = TcpListener::bind(LOCAL).expect("a port");
    let target = echo.local_addr().expect("an address");
    let echoes = thread::spawn(move || {
        let (mut stream, _) = echo.accept().expect("a connection");
        let mut sending = stream.try_clone().expect("a descriptor");
        std::io::copy(&mut stream, &mut sending).expect("a connection");
        // The answer after the end of the question.
        sending.write_all(b".").expect("it is open");
    });
    let client = |address| {
        let stream = TcpStream::connect(address).expect("it listens");
        let mut sending = stream.try_clone().expect("a descriptor");
        let sends = thread::spawn(move || {
            sending.write_all(&vec![b'x'; COUNT]).expect("it reads");
            sending.shutdown(Shutdown::Write).expect("it is open");
        });
        let bytes = read_to_end(stream).len();
        sends.join().expect("all is sent");
        bytes
    };
    let count = serve_one(client, async |conn| {
        let server = conn.handle().connect(target).await?;
        let counts = sinbin::task::copy_bidirectional(&conn, &server).await?;
        assert_eq!(counts, (COUNT as u64, COUNT as u64 + 1));
        Ok(())
    });
    assert_eq!(count, COUNT + 1);
    echoes.join().expect("it ends");
}
