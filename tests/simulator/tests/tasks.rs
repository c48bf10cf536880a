//! Services that are `async fn`s with scripted clients. Their tasks may wake and cancel each other.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use sinbin_core::TaskId;
use sinbin_core::task::{AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext};
use sinbin_simulator::client_model::AnyTalk;
use sinbin_simulator::{Plan, Rng, Scripted};

/// The idle timeout of the service that has one.
const IDLE: Duration = Duration::from_millis(50);

/// Runs `$story` on a simulation of the `async fn` `$serve`.
macro_rules! with {
    ($serve:expr, $plan:expr, $story:expr) => {{
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(4));
        let service = AsyncService::new(handle, pool.as_ref(), |conn| $serve(conn, handle));
        $story(Scripted::new(service, &$plan, Rng::seeded(0)))
    }};
}

/// Computes each answer in another task, and joins that task.
async fn by_another(conn: Conn<'_>, handle: Handle<'_>) -> Result<(), Error> {
    let mut room = [0; 16];
    loop {
        let count = conn.recv(&mut room).await?;
        if count == 0 {
            return Ok(());
        }
        let answer = handle.spawn(async move {
            handle.yield_now().await;
            room.map(|byte| byte.to_ascii_uppercase())
        });
        let mut answer = answer.unwrap_or_else(|_| panic!("the bytes fit"));
        let answer = answer.join().await.expect("it ends");
        conn.send_all(&answer[..count]).await?;
    }
}

#[test]
fn a_task_that_joins_another_is_woken_by_that() {
    with!(by_another, Plan::friendly(4), |mut sim: Scripted<_, _>| {
        let client = sim.connect(AnyTalk);
        for (says, answer) in [(b"one", b"ONE"), (b"two", b"TWO")] {
            sim.send(client, says).expect("the bytes fit");
            sim.drive().expect("no failure");
            assert_eq!(sim.take(client), answer);
        }
        sim.end().outcome.expect("no failure");
    });
}

#[test]
fn where_tasks_are_said_not_to_wake_each_other_that_is_a_failure() {
    with!(by_another, Plan::friendly(4), |sim: Scripted<_, _>| {
        let mut sim = sim.strict();
        let client = sim.connect(AnyTalk);
        sim.send(client, b"one").expect("the bytes fit");
        let failure = sim.drive().expect_err("a task wakes another one");
        assert!(failure.what.ends_with("is woken as Named, which was not requested"), "{failure}");
    });
}

#[test]
fn a_task_may_cancel_the_one_of_another_client() {
    let first: Cell<Option<TaskId>> = Cell::new(None);
    let serve = async |conn: Conn<'_>, handle: Handle<'_>| -> Result<(), Error> {
        match first.get() {
            None => first.set(handle.current().ok()),
            Some(first) => drop(handle.cancel(first)),
        }
        conn.recv(&mut [0; 16]).await.map(|_| ())
    };
    with!(serve, Plan::friendly(4), |mut sim: Scripted<_, _>| {
        let early = sim.connect(AnyTalk);
        sim.drive().expect("no failure");
        assert!(sim.receive(early, &mut [0]).is_err(), "it is still there");
        sim.connect(AnyTalk);
        sim.drive().expect("no failure");
        assert_eq!(sim.receive(early, &mut [0]).ok(), Some(0));
        sim.end().outcome.expect("no failure");
    });
}

/// Two tasks wait for the same bytes. The error that one of them receives is sent as the answer.
async fn at_once<'d>(conn: Conn<'d>, handle: Handle<'d>) -> Result<(), Error> {
    let first = Rc::new(conn);
    let second = Rc::clone(&first);
    let second = handle.spawn(async move { second.recv(&mut [0; 16]).await });
    first.recv(&mut [0; 16]).await?;
    let mut second = second.unwrap_or_else(|_| panic!("the bytes fit"));
    let refusal = second.join().await.expect("it ends").expect_err("one of the two receives an error");
    first.send_all(refusal.to_string().as_bytes()).await
}

#[test]
fn of_two_tasks_that_wait_for_the_same_bytes_one_is_told_so() {
    with!(at_once, Plan::friendly(4), |mut sim: Scripted<_, _>| {
        let client = sim.connect(AnyTalk);
        sim.drive().expect("no failure");
        sim.send(client, b"one").expect("the bytes fit");
        sim.drive().expect("no failure");
        let answer = sim.take(client);
        assert!(answer.ends_with(b"another task waits for the same thing"), "{}", answer.escape_ascii());
        sim.end().outcome.expect("no failure");
    });
}

#[test]
fn a_deadline_of_the_task_s_own_is_not_taken_for_the_client_s() {
    let serve = async |conn: Conn<'_>, handle: Handle<'_>| -> Result<(), Error> {
        let mut room = [0; 16];
        while let Ok(received) = handle.timeout(IDLE, conn.recv(&mut room)).await {
            handle.sleep(IDLE / 10).await;
            match received? {
                0 => break,
                count => conn.send_all(&room[..count]).await?,
            }
        }
        Ok(())
    };
    let plan = Plan { idle_timeout: Some(IDLE), ..Plan::friendly(4) };
    with!(serve, plan, |mut sim: Scripted<_, _>| {
        let client = sim.connect(AnyTalk);
        sim.send(client, b"one").expect("the bytes fit");
        sim.wait(IDLE / 2).expect("no failure");
        assert_eq!(sim.take(client), b"one");
        sim.end().outcome.expect("no failure");
    });
}
