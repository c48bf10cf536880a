//! A loop that is looked at while it works.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sinbin::kernel::{ExpectedWaker, TaskState};
use sinbin::observe::{Counter, EventKind, ObserveError, Observed, Phase, SourceKind, loops_of};
use sinbin::sync::{Channel, Lock};
use sinbin::task::{Conn, Error, Handle, WaitKind};
use sinbin::{Settings, Stopper, WaitTarget};

fn settings() -> Settings {
    Settings::default().observe(true).workers(1).max_connections(300).drain_timeout(Duration::from_secs(5))
}

async fn echo(conn: Conn<'_>) -> Result<(), Error> {
    let mut buffer = [0; 64];
    loop {
        let count = conn.recv(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        conn.send_all(&buffer[..count]).await?;
    }
}

/// An echo server on a thread of its own.
struct Served {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    fn start(settings: Settings) -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let listener = settings.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let started = |stopper| tell.send((address, stopper)).unwrap();
            settings.serve([listener], started, echo).unwrap();
        });
        let (address, stopper) = told.recv().unwrap();
        Self { address, stopper, thread: Some(thread) }
    }

    /// Returns the reader of this server's loop: that of the listener's address.
    fn observed(&self) -> Observed {
        let is_own = |observed: &Observed| {
            let snapshot = observed.snapshot().unwrap();
            let mut sources = snapshot.tasks.iter().filter_map(|task| task.source);
            sources.any(|source| source.kind == SourceKind::Listener && source.address == Some(self.address))
        };
        wait_for(|| loops_of(std::process::id()).ok()?.into_iter().find(is_own))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Waits until `get` returns a value; the tests are bounded by their runner.
fn wait_for<T>(mut get: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(value) = get() {
            return value;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn ask(stream: &mut TcpStream) {
    let mut byte = [0];
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn each_task_is_shown_with_what_it_waits_for() {
    let served = Served::start(settings());
    let observed = served.observed();
    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(served.address).unwrap()).collect();
    clients.iter_mut().for_each(ask);
    let snapshot = wait_for(|| {
        let snapshot = observed.snapshot().unwrap();
        let is_waiting = |task: &&sinbin::observe::TaskInfo| task.view.state == TaskState::Waiting;
        (snapshot.tasks.iter().filter(is_waiting).count() == 4 && snapshot.state.phase == Phase::Waiting)
            .then_some(snapshot)
    });
    assert!(snapshot.is_of_one_moment, "a loop that rests is read at once");
    let acceptor = &snapshot.tasks[0];
    assert_eq!(acceptor.source.unwrap().kind, SourceKind::Listener);
    for client in &clients {
        let address = client.local_addr().unwrap();
        let is_of_client = |task: &&sinbin::observe::TaskInfo| {
            task.source.is_some_and(|source| source.address == Some(address))
        };
        let task = snapshot.tasks.iter().find(is_of_client).expect("the connection has a task");
        assert!(matches!(task.view.waits[0], Some(WaitTarget::Recv(_))), "{task:?}");
        assert_eq!(task.waits_on[0].1.address, Some(address));
        assert_eq!(task.parent, Some(acceptor.view.id));
        let label = task.label.as_ref().unwrap();
        assert!(label.name.contains("echo"), "{label:?}");
        assert!(task.spawned.is_some());
    }
    assert_eq!(snapshot.state.counter(Counter::Open), 3);
    assert_eq!(snapshot.state.counter(Counter::Received), 3);
    assert_eq!(snapshot.state.max_connections, 300);
    let events = observed.events_after(0);
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Accepted).count(), 3);
    assert!(events.iter().map(|event| event.number).eq(1..=events.len() as u64));
    drop(clients);
    wait_for(|| {
        let events = observed.events_after(0);
        (events.iter().filter(|event| event.kind == EventKind::Closed).count() == 3).then_some(())
    });
}

/// Reads a loop that works as fast as it can. Each copy passes the audit, or else `snapshot` fails.
#[test]
fn no_copy_is_ever_torn() {
    let reads = std::env::var("SINBIN_READS").ok().and_then(|reads| reads.parse().ok()).unwrap_or(20_000_u64);
    let served = Served::start(settings());
    let observed = served.observed();
    let is_over = Arc::new(AtomicBool::new(false));
    let all_rounds = Arc::new(AtomicU64::new(0));
    let address = served.address;
    let clients: Vec<_> = (0..2)
        .map(|number| {
            let (is_over, all_rounds) = (Arc::clone(&is_over), Arc::clone(&all_rounds));
            thread::spawn(move || {
                let mut rounds = 0_u64;
                let mut streams: Vec<TcpStream> = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    // Connections come and go, so that slots are reused.
                    while streams.len() < 20 {
                        streams.push(TcpStream::connect(address).unwrap());
                    }
                    for stream in &mut streams {
                        stream.write_all(b"x").unwrap();
                    }
                    for stream in &mut streams {
                        stream.read_exact(&mut [0]).unwrap();
                    }
                    rounds += 1;
                    all_rounds.fetch_add(1, Ordering::Relaxed);
                    if rounds % 8 == number {
                        streams.truncate(15);
                    }
                }
            })
        })
        .collect();
    let (mut of_one_moment, mut moving) = (0_u64, 0_u64);
    // The system may let the loop work later than this thread.
    while of_one_moment + moving < reads || of_one_moment == 0 || all_rounds.load(Ordering::Relaxed) == 0 {
        let snapshot = observed.snapshot().expect("no copy is torn");
        if snapshot.is_of_one_moment {
            of_one_moment += 1;
        } else {
            moving += 1;
        }
        for task in &snapshot.tasks {
            // The notes beside the kernel's tables belong to the same task.
            let waits = task.view.waits.iter().flatten().count();
            assert!(task.waits_on.len() <= waits, "{task:?}");
            assert!(task.view.state == TaskState::Waiting || waits == 0);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let rounds = all_rounds.load(Ordering::Relaxed);
    println!(
        "{reads} reads: {of_one_moment} of one moment, {moving} task by task; {rounds} rounds of 20 requests"
    );
}

#[test]
fn a_deadlock_of_two_tasks_is_shown_while_others_go_on() {
    let (tell, told) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let thread = thread::spawn(move || {
        let program = async |handle: Handle<'_>| {
            let left = std::rc::Rc::new(Lock::named(handle, "left", ()));
            let right = std::rc::Rc::new(Lock::named(handle, "right", ()));
            let third = left.clone();
            for (first, second) in [(left.clone(), right.clone()), (right, left)] {
                let both = async move {
                    let _first = first.lock().await;
                    handle.yield_now().await;
                    let _second = second.lock().await;
                };
                drop(handle.spawn(both));
            }
            let jobs = std::rc::Rc::new(Channel::<u8, 1>::named(handle, "jobs"));
            drop(handle.spawn(async move { jobs.recv().await.ok() }));
            handle.yield_now().await;
            handle.yield_now().await;
            // Waits behind the tasks of the circle, and is none of them.
            drop(handle.spawn(async move { drop(third.lock().await) }));
            tell.send(()).unwrap();
            while !is_done.load(Ordering::Relaxed) {
                handle.sleep(Duration::from_millis(1)).await;
            }
        };
        settings().run(program).unwrap();
    });
    told.recv().unwrap();
    let circle = wait_for(|| {
        let loops = loops_of(std::process::id()).ok()?;
        let snapshots = loops.iter().map(|observed| observed.snapshot().unwrap());
        snapshots.into_iter().find_map(|snapshot| {
            let circle = snapshot.deadlocks().into_iter().next()?;
            (snapshot.stuck().len() == 3).then_some((circle, snapshot))
        })
    });
    let (circle, snapshot) = circle;
    assert_eq!(circle.len(), 2);
    for id in &circle {
        let task = snapshot.tasks.iter().find(|task| task.view.id == *id).unwrap();
        assert!(matches!(task.view.by, ExpectedWaker::Task(by) if circle.contains(&by) && by != *id));
        assert!(task.label.as_ref().unwrap().spawned.as_ref().unwrap().contains("observe.rs"));
    }
    let mut names: Vec<_> =
        snapshot.tasks.iter().filter_map(|task| Some(task.waits_for.as_ref()?.to_string())).collect();
    names.sort();
    let expected = ["a value from channel \"jobs\"", "lock \"left\"", "lock \"left\"", "lock \"right\""];
    assert_eq!(names, expected);
    let third = snapshot.stuck().into_iter().find(|id| !circle.contains(id)).unwrap();
    let third = snapshot.tasks.iter().find(|task| task.view.id == third).unwrap();
    assert_eq!(third.waits_for.as_ref().unwrap().kind, WaitKind::Lock);
    done.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

/// A step that is the first one of its turn has begun with it.
#[test]
fn a_task_that_keeps_the_loop_is_the_running_one() {
    for is_first in [false, true] {
        keeps_the_loop(is_first);
    }
}

fn keeps_the_loop(is_first: bool) {
    let (tell, told) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let thread = thread::spawn(move || {
        let program = async |handle: Handle<'_>| {
            let mut idle =
                handle.spawn(async move { handle.sleep(Duration::from_secs(3600)).await }).unwrap();
            let mut busy = handle
                .spawn(async move {
                    if is_first {
                        handle.sleep(Duration::from_millis(1)).await;
                    }
                    tell.send(handle.current().unwrap()).unwrap();
                    while !is_done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
                .unwrap();
            busy.join().await.unwrap();
            idle.cancel();
            idle.join().await.ok();
        };
        settings().run(program).unwrap();
    });
    let busy = told.recv().unwrap();
    let snapshot = wait_for(|| {
        let loops = loops_of(std::process::id()).ok()?;
        let snapshots = loops.iter().map(|observed| observed.snapshot().unwrap());
        snapshots.into_iter().find(|snapshot| {
            snapshot.tasks.iter().any(|task| {
                task.label.as_ref().is_some_and(|label| label.name.contains("keeps_the_loop"))
                    && task.is_running
            })
        })
    });
    assert!(snapshot.is_of_one_moment, "a loop that hangs changes nothing");
    let running: Vec<_> = snapshot.tasks.iter().filter(|task| task.is_running).collect();
    assert_eq!(running.iter().map(|task| task.view.id).collect::<Vec<_>>(), [busy]);
    assert_eq!(snapshot.state.phase, Phase::Running);
    let step = running[0].step.expect("it runs");
    assert_eq!((step.turn, step.is_first), (snapshot.state.turn, is_first));
    let earlier = snapshot.state.busy_for();
    wait_for(|| {
        let loops = loops_of(std::process::id()).ok()?;
        let state = loops.iter().find(|observed| observed.number() == snapshot.state.number)?.state().ok()?;
        (state.busy_for() > earlier && state.steps == snapshot.state.steps).then_some(())
    });
    done.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn a_process_that_publishes_nothing_is_told_apart_from_none() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    // The id is that of a process until it is waited for.
    assert!(matches!(loops_of(child.id()), Err(ObserveError::NothingPublished(pid)) if pid == child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(loops_of(u32::MAX), Err(ObserveError::NoProcess(u32::MAX))));
    let served = Served::start(settings().observe(false));
    let mut client = TcpStream::connect(served.address).unwrap();
    ask(&mut client);
    let loops = loops_of(std::process::id()).unwrap_or_default();
    let has_address = |observed: &Observed| {
        let snapshot = observed.snapshot().unwrap();
        snapshot
            .tasks
            .iter()
            .any(|task| task.source.is_some_and(|source| source.address == Some(served.address)))
    };
    assert!(!loops.iter().any(has_address), "off is off");
}

/// No process can write to the memory of a loop or shorten it, not even its own process by another descriptor.
#[test]
fn the_memory_is_sealed() {
    let served = Served::start(settings());
    let observed = served.observed();
    let path = format!("/proc/self/fd/{}", observed.number());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    assert!((&file).write_all(b"nonsense").is_err(), "no write");
    assert!(file.set_len(0).is_err() && file.set_len(1 << 40).is_err(), "no other size");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = TcpStream::connect(served.address).unwrap();
    ask(&mut client);
    drop(client);
}
