use std::time::Duration;

use sinbin::Error;
use sinbin::task::JoinErrorKind;

use crate::scene::{Grumbles, PLANTED, alone, expect_report};

async fn grumbler() {
    let _grumbles = Grumbles;
    std::future::pending::<()>().await;
}

#[test]
fn what_is_left_at_the_end_panics_task_by_task() {
    let _alone = alone();
    let sum = sinbin::run(async |handle| {
        for _ in 0..3 {
            handle.spawn(grumbler()).expect("there is room");
        }
        handle.sleep(Duration::from_millis(1)).await;
        7
    });
    assert_eq!(sum.expect("it is the program's result"), 7);
    expect_report(&"the end", &["programs::grumbler", PLANTED]);
}

#[test]
fn tasks_that_can_never_go_on_panic_one_by_one_when_they_are_dropped() {
    let _alone = alone();
    let stalled = sinbin::run(async |handle| {
        for _ in 0..3 {
            handle
                .spawn(async move {
                    let _grumbles = Grumbles;
                    handle.wait_named().await.ok();
                })
                .expect("there is room");
        }
        handle.wait_named().await.ok();
    });
    assert!(matches!(stalled, Err(Error::Stalled { .. })), "{stalled:?}");
    expect_report(&"stalled", &["panicked when it was dropped", PLANTED]);
}

#[test]
fn results_that_nobody_takes_panic_in_their_own_tasks() {
    let _alone = alone();
    let ended = sinbin::run(async |handle| {
        let kept = handle.spawn(async { Grumbles }).expect("there is room");
        drop(handle.spawn(async { Grumbles }).expect("there is room"));
        handle.sleep(Duration::from_millis(1)).await;
        // Dropping the result is a step of the program.
        let mut dropped = handle.spawn(async move { drop(kept) }).expect("there is room");
        dropped.join().await.map_err(|error| error.why)
    });
    assert_eq!(ended.expect("it ends"), Err(JoinErrorKind::Panicked));
    expect_report(&"results", &["programs::results", PLANTED]);
}

#[test]
fn a_program_that_panics_has_no_result() {
    let _alone = alone();
    let lost = sinbin::run(async |handle| {
        handle.yield_now().await;
        panic!("{PLANTED}");
    });
    assert!(matches!(lost, Err::<(), _>(Error::JobError)), "{lost:?}");
    expect_report(&"the program", &["programs::", PLANTED]);
}
