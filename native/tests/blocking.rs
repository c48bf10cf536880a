//! Calls that block, on threads of their own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use sinbin::Settings;
use sinbin::group::JoinSet;
use sinbin::task::{Handle, JobError, WaitError, join};

fn run<T>(settings: &Settings, main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    settings.run(main).expect("it runs")
}

#[test]
fn many_calls_block_at_once_whatever_the_number_of_cores() {
    const CALLS: usize = 8;
    let all = Arc::new(Barrier::new(CALLS));
    let leaders = run(&Settings::default().workers(1), async |handle| {
        let calls = JoinSet::new(handle);
        for _ in 0..CALLS {
            let all = Arc::clone(&all);
            // No call returns before all have begun.
            calls.spawn(handle.blocking(move || all.wait().is_leader()))?;
        }
        let mut leaders = 0;
        while let Some((_, returned)) = calls.join_next().await? {
            leaders += u32::from(returned.expect("no task panics")?);
        }
        Ok::<_, JobError>(leaders)
    });
    assert_eq!(leaders, Ok(1));
}

#[test]
fn a_call_does_not_wait_for_jobs_that_compute() {
    let (returned, until) = channel::<()>();
    let settings = Settings::default().workers(1);
    let both = run(&settings, async |handle| {
        // The only worker is busy until the call has returned.
        let job = handle.job(move || until.recv().is_ok());
        join(job, async { handle.blocking(move || returned.send(()).is_ok()).await }).await
    });
    assert_eq!(both, (Ok(true), Ok(true)));
}

#[test]
fn a_call_that_panics_is_lost_alone() {
    let both = run(&Settings::default(), async |handle| {
        join(handle.blocking(|| -> u32 { panic!("as it should") }), handle.blocking(|| 7)).await
    });
    assert_eq!(both, (Err(JobError::Failed), Ok(7)));
}

#[test]
fn calls_above_the_limit_wait_and_those_that_are_dropped_never_begin() {
    let begun = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&begun);
    let (go_on, until) = channel::<()>();
    let last = run(&Settings::default().blocking_threads(1), async |handle| {
        let first = async { handle.blocking(move || until.recv().is_ok()).await };
        let others = async {
            let count = || {
                let counts = Arc::clone(&counts);
                move || counts.fetch_add(1, Ordering::SeqCst)
            };
            let dropped = handle.timeout(Duration::ZERO, handle.blocking(count()));
            dropped.await.expect_err("the only thread is in use");
            go_on.send(()).expect("the first call waits for it, or will");
            handle.blocking(count()).await
        };
        join(first, others).await
    });
    assert_eq!(last, (Ok(true), Ok(0)));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[test]
fn without_threads_a_call_is_refused() {
    let refused = run(&Settings::default().blocking_threads(0), async |handle| handle.blocking(|| ()).await);
    assert_eq!(refused, Err(JobError::Wait(WaitError::Full)));
}

/// Neither the end of the future nor that of the loop waits for a call that does not return.
#[test]
fn a_call_that_never_returns_stops_nothing() {
    let (returns, until) = channel::<()>();
    let (began, begins) = channel::<()>();
    run(&Settings::default(), async |handle| {
        let call = handle.blocking(move || {
            began.send(()).ok();
            until.recv().is_ok()
        });
        handle.spawn(call).expect("there is room");
        let begun = handle.blocking(move || begins.recv().is_ok()).await;
        assert_eq!(begun, Ok(true));
        handle.timeout(Duration::ZERO, handle.blocking(|| ())).await.ok();
    });
    // The loop has ended, and the thread is still there.
    returns.send(()).expect("the call still waits");
}
