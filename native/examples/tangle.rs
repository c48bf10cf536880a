//! Two tasks that wait for each other, and a hundred that go on: `tangle [TASKS [MILLISECONDS]]`, with the time between two
//! steps of a task. Look at it from another terminal with `sinbin tree PID`, and end one of the two with
//! `sinbin kill PID TASK`.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use sinbin::Settings;
use sinbin::sync::Lock;
use sinbin::task::{Handle, WaitError};

/// Takes two locks, the second while it holds the first.
async fn take_both(
    handle: Handle<'_>,
    first: Rc<Lock<'_, ()>>,
    second: Rc<Lock<'_, ()>>,
) -> Result<(), WaitError> {
    let _first = first.lock().await?;
    // Meanwhile the other task takes its first lock.
    handle.yield_now().await;
    let _second = second.lock().await?;
    Ok(())
}

async fn tick(handle: Handle<'_>, span: Duration) -> Result<Infallible, WaitError> {
    loop {
        handle.sleep(span).await;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tasks = std::env::args().nth(1).map_or(Ok(100), |tasks| tasks.parse())?;
    let span = std::env::args().nth(2).map_or(Ok(100), |millis| millis.parse())?;
    let span = Duration::from_millis(span);
    println!("look at it with: sinbin tree {}", std::process::id());
    Settings::default().observe(true).control(true).max_connections(tasks + 10).run(async |handle| {
        let left = Rc::new(Lock::named(handle, "left", ()));
        let right = Rc::new(Lock::named(handle, "right", ()));
        for (first, second) in [(left.clone(), right.clone()), (right, left)] {
            handle.spawn(take_both(handle, first, second))?;
        }
        for _ in 0..tasks {
            handle.spawn(tick(handle, span))?;
        }
        handle.sleep(Duration::from_millis(10)).await;
        println!("both wait");
        handle.sleep(Duration::from_secs(3600)).await;
        Ok::<_, sinbin::task::SpawnError>(())
    })??;
    Ok(())
}
