//! Two tasks take turns, and the program waits for both, like gevent's `spawn`, `sleep(0)` and `joinall`.

use sinbin::task::{Handle, JoinHandle, WaitError};

async fn foo(handle: Handle<'_>) {
    println!("Running in foo");
    handle.yield_now().await;
    println!("Explicit context switch to foo again");
}

async fn bar(handle: Handle<'_>) {
    println!("Explicit context to bar");
    handle.yield_now().await;
    println!("Implicit context switch back to bar");
}

async fn join_all(tasks: impl IntoIterator<Item = JoinHandle<'_, ()>>) {
    for mut task in tasks {
        task.join().await.expect("it is not cancelled");
    }
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(async |handle| {
        join_all([handle.spawn(foo(handle))?, handle.spawn(bar(handle))?]).await;
        Ok::<_, WaitError>(())
    })??;
    Ok(())
}
