use std::cell::Cell;
use std::future::poll_fn;
use std::mem;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use sinbin_core::driven::{Command, Compute, Computed, Driven, DrivenHost, Event, compute};
use sinbin_core::fib::FibJob;
use sinbin_core::group::Group;
use sinbin_core::job::WireJob;
use sinbin_core::serve::ServeTask;
use sinbin_core::task::{
    Async, AsyncService, BoxedJob, BoxedOutput, Conn, Error, Handle, Label, NoWakers, Pool, RunContext,
    TaskJob, TaskOutput, select,
};
use sinbin_core::{Instant, Limits, Rest, Service, SourceId, Task, sync};
use sinbin_testkit::count::count;

use crate::{CLIENT, WINDOW, arrived};

/// Reads the size of a job and computes the job. A request that arrives before the result cancels the job.
async fn compute_for(handle: Handle<'_>, conn: Conn<'_>) -> Result<(), Error> {
    loop {
        let mut number = [0];
        if conn.recv(&mut number).await? == 0 {
            return Ok(());
        }
        let job = handle.job(count(number[0].into()));
        let result = select(job, conn.readable()).await;
        conn.send_all(format!("{result:?}").as_bytes()).await?;
    }
}

/// The jobs have no known type and can't be encoded for the driver. The loop therefore computes them itself, one slice
/// per turn, for any setting of `Compute`.
#[test]
fn jobs_of_a_guest_are_computed_in_slices_and_given_up_when_nobody_wants_them() {
    for computes in [Compute::Here { slice: 10 }, Compute::Driver { slice: 10 }] {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(1));
        let service = AsyncService::new(handle, Pin::as_ref(&pool), |conn| compute_for(handle, conn));
        let mut driven = Driven::new(service, &Limits::new(2, 1, 256), computes);
        driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
        let mut ask = |number: u8| {
            let events = [Event::Received { source: CLIENT, len: 1 }];
            driven.turn(Instant::ZERO, WINDOW, events, vec![number])
        };
        let mut answer = ask(35);
        let mut turns = 1;
        while answer.output.is_empty() {
            assert_eq!(answer.rest, Rest::Ready, "there is more to compute");
            answer = driven.turn(Instant::ZERO, WINDOW, [], Vec::new());
            turns += 1;
        }
        // The job takes four slices, and the task receives the result in the turn after them.
        assert_eq!((turns, &*answer.output), (5, &b"First(Ok(35))"[..]), "{computes:?}");
        assert_ne!(answer.rest, Rest::Ready);
        // The next request arrives before the result.
        let mut ask = |number: u8| {
            let events = [Event::Received { source: CLIENT, len: 1 }];
            driven.turn(Instant::ZERO, WINDOW, events, vec![number])
        };
        assert_eq!(ask(200).rest, Rest::Ready);
        assert_eq!(ask(5).output, b"Second(Ok(()))");
        let mut said = Vec::new();
        while said.is_empty() {
            said = driven.turn(Instant::ZERO, WINDOW, [], Vec::new()).output;
        }
        assert_eq!(said, b"First(Ok(5))");
        let counts = driven.counts();
        assert_eq!((counts.jobs, counts.cancelled, counts.ignored), (3, 1, 0));
    }
}

/// Computes fib(n) for a byte n below 100 by a job that can be sent. Counts to 5 for others, by a job that cannot.
async fn compute_by_either(handle: Handle<'_>, conn: Conn<'_>) -> Result<(), Error> {
    let mut number = [0];
    while conn.recv(&mut number).await? > 0 {
        let result = match number[0] {
            n @ ..100 => handle.job(FibJob::new(n.into())).await,
            _ => handle.job(count(5)).await.map(u64::from),
        };
        conn.send_all(format!("{result:?}").as_bytes()).await?;
    }
    Ok(())
}

/// A guest that names the type of its jobs has those jobs computed by the driver, and others by the loop.
#[test]
fn jobs_of_the_named_type_are_sent() {
    for computes in [Compute::Driver { slice: 100 }, Compute::Here { slice: 100 }] {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(1));
        let service = AsyncService::new(handle, Pin::as_ref(&pool), |conn| compute_by_either(handle, conn));
        let service = service.with_jobs::<FibJob>();
        let mut driven = Driven::new(service, &Limits::new(2, 1, 256), computes);
        let mut turn = |events: &[Event], input: &[u8]| {
            driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), input.to_vec())
        };
        let received = [Event::Received { source: CLIENT, len: 1 }];
        turn(&arrived(0), &[]);
        let mut answer = turn(&received, &[20]);
        if computes == (Compute::Driver { slice: 100 }) {
            let submitted = |command: &Command| match *command {
                Command::Submit { job, len: 24 } => Some(job),
                _ => None,
            };
            let job = answer.commands.iter().find_map(submitted).expect("the driver computes the job");
            let computed = compute::<TaskJob<FibJob>>(&answer.output, u32::MAX);
            let Computed::Done(result) = computed else { panic!("{computed:?}") };
            let len = u32::try_from(result.len()).unwrap();
            answer = turn(&[Event::Computed { job, len }], &result);
            assert_eq!(answer.output, b"Ok(6765)");
            // A result that is none counts as a failure, and so does a job that the driver could not compute.
            for is_lost in [false, true] {
                let answer = turn(&received, &[20]);
                let job = answer.commands.iter().find_map(submitted).expect("the driver computes the job");
                let (failed, input) = match is_lost {
                    true => (Event::Lost(job), &[][..]),
                    false => (Event::Computed { job, len: 3 }, &b"odd"[..]),
                };
                assert_eq!(turn(&[failed], input).output, b"Err(Failed)");
            }
        } else {
            while answer.output.is_empty() {
                answer = turn(&[], &[]);
            }
            assert_eq!(answer.output, b"Ok(6765)");
        }
        let mut answer = turn(&received, &[200]);
        while answer.output.is_empty() {
            assert!(!answer.commands.iter().any(|command| matches!(command, Command::Submit { .. })));
            answer = turn(&[], &[]);
        }
        assert_eq!(answer.output, b"Ok(5)");
    }
}

/// A slice of a job that is not done is sent on. The results of other jobs have no encoding.
#[test]
fn a_job_of_a_task_is_encoded_as_its_type_is() {
    let mut bytes = Vec::new();
    assert!(FibJob::new(27).encode(&mut |part| bytes.extend_from_slice(part)));
    let mut slices = 0;
    let result = loop {
        match compute::<TaskJob<FibJob>>(&bytes, 1000) {
            Computed::More(rest) => bytes = rest,
            Computed::Done(result) => break result,
            Computed::Nonsense => panic!("{bytes:?}"),
        }
        slices += 1;
    };
    assert!(slices > 1);
    let output = TaskJob::<FibJob>::decode_output(&result);
    assert!(matches!(output, Some(TaskOutput::Sent(196_418))));
    let boxed = TaskOutput::Boxed(Box::new(Some(1)));
    TaskJob::<FibJob>::encode_output(&boxed, &mut |bytes| panic!("{bytes:?}"));
    assert_eq!(compute::<TaskJob<FibJob>>(b"anything", 1), Computed::Nonsense);
}

#[test]
fn a_job_of_no_known_type_does_not_travel() {
    assert_eq!(compute::<BoxedJob>(b"anything", 1), Computed::Nonsense);
    assert!(BoxedJob::decode_output(b"anything").is_none());
    let output: BoxedOutput = Box::new(Some(5));
    BoxedJob::encode_output(&output, &mut |bytes| panic!("{bytes:?}"));
}

/// An address has 18 bytes: 16 for IPv6 or mapped IPv4, and 2 for the port. Any other length means no address.
#[test]
fn a_guest_knows_whose_a_connection_is() {
    let v4 = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 7, 0x12, 0x34]].concat();
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[5, 0, 80]].concat();
    for (bytes, expected) in [
        (&v4[..], Some("192.0.2.7:4660")),
        (&v6[..], Some("[2001:db8::5]:80")),
        (&v6[..17], None),
        (&[], None),
    ] {
        let run_context = RunContext::new(&NoWakers);
        let pool = pin!(Pool::growing(1));
        let serve = async |conn: Conn<'_>| {
            let whose = conn.peer();
            assert_eq!(whose, expected.map(|address| address.parse::<SocketAddr>().unwrap()));
            conn.send_all(b"yes").await.unwrap();
        };
        let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), serve);
        let mut driven = Driven::new(service, &Limits::new(2, 1, 256), Compute::Here { slice: 1 });
        let len = u32::try_from(bytes.len()).unwrap();
        let answer = driven.turn(Instant::ZERO, WINDOW, arrived(len), bytes.to_vec());
        assert_eq!(answer.output, b"yes", "{expected:?}");
        assert!(answer.commands.contains(&Command::Close(CLIENT)));
    }
}

async fn nobody(_: Conn<'_>) {}

#[test]
fn a_guest_has_tasks_of_its_own_without_any_connection() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(handle, Pin::as_ref(&pool), nobody);
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), Compute::Here { slice: 1 });
    let (task, mut first) = Async::new(handle, async move {
        let group = Group::<_, ()>::new(handle);
        group.spawn(async move { Ok(handle.now()) }).unwrap();
        handle.sleep(Duration::from_secs(5)).await;
        group.next().await.unwrap().unwrap()
    });
    let id = driven.start(task).ok().unwrap();
    assert_eq!(id, driven.kernel().tasks().next().unwrap().id);
    let start = Instant::from_nanos(1);
    let due = start + Duration::from_secs(5);
    assert_eq!(driven.turn(start, WINDOW, [], Vec::new()).rest, Rest::Until(due));
    // The spawned task has ended, so that exactly one slot is free.
    // A host that reports no names of waits ignores this one.
    let waits = async move { sync::Event::named(handle, "never").wait().await.is_ok() };
    let (second, _) = Async::new(handle, waits);
    assert!(driven.start(second).is_ok());
    let (third, third_end) = Async::new(handle, handle.yield_now());
    let back = driven.start(third).err().unwrap();
    assert_eq!(label(&back), Some(third_end.label()), "it is the same task");
    assert_eq!(wait_name(&back), None);
    // A deadline that has come expires in the next turn, after the one that was called with that time.
    assert_eq!(driven.turn(due, WINDOW, [], Vec::new()).rest, Rest::Ready);
    assert_eq!(driven.turn(due, WINDOW, [], Vec::new()).room, 1);
    assert_eq!(first.take(), Some(start));
}

fn label<S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>>(task: &ServeTask<S>) -> Option<Label> {
    Task::<DrivenHost<S>>::label(task)
}

/// Returns the name of the lock or channel that a task waits for.
fn wait_name<S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>>(
    task: &ServeTask<S>,
) -> Option<&'static str> {
    Task::<DrivenHost<S>>::wait_name(task)
}

/// In reports, the task of a connection has the name of the function that serves it. The acceptor has no name.
#[test]
fn a_task_of_a_connection_is_called_what_serves_it() {
    fn of<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd>(
        service: &AsyncService<'d, M, F>,
        task: ServeTask<AsyncService<'d, M, F>>,
    ) -> Option<&'static str> {
        let _ = service;
        label(&task).map(|label| label.name)
    }
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), nobody);
    let source = SourceId::from_bits(0);
    let serve = ServeTask::serve(service.connect(source));
    assert_eq!(wait_name(&serve), None);
    assert_eq!(of(&service, serve), Some("driven::guests::nobody"));
    assert_eq!(of(&service, ServeTask::accept(sinbin_core::serve::Acceptor::new(source))), None);
}

/// The event that asks the service to stop completes `stopping`, once for every task, and at once from then on.
#[test]
fn a_task_learns_that_the_service_is_to_stop() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(handle, Pin::as_ref(&pool), async |conn: Conn<'_>| {
        assert!(handle.stop().is_err(), "a guest does not stop its host");
        handle.stopping().await.unwrap();
        handle.stopping().await.unwrap();
        conn.send_all(b"stops").await.unwrap();
    });
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), Compute::Here { slice: 1 });
    driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
    let output = driven.turn(Instant::ZERO, WINDOW, [Event::Stop], Vec::new());
    assert_eq!(output.output, b"stops");
    assert_eq!(output.rest, Rest::Empty);
}

/// Code around the loop can have the waker of a task.
#[test]
fn a_task_is_woken_between_two_turns() {
    let woken = Cell::new(false);
    let mut is_first = true;
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(handle, Pin::as_ref(&pool), |_| async {});
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), Compute::Here { slice: 10 });
    let waits_once = poll_fn(|context| {
        let _kept = context.waker().clone();
        if mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
    });
    let main = async {
        waits_once.await;
        woken.set(true);
    };
    let task = driven.start(Async::new(handle, main).0).ok().expect("a slot is free");
    driven.turn(Instant::ZERO, WINDOW, [], Vec::new());
    assert!(!woken.get());
    assert!(driven.wake(task));
    driven.turn(Instant::ZERO, WINDOW, [], Vec::new());
    assert!(woken.get() && !driven.wake(task), "the task has ended");
}
