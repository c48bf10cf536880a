//! Two tasks take turns, and the program waits for both: gevent's `spawn`, `sleep(0)` and `joinall`.

use sinbin::task::{JoinHandle, Loop, Refused};

async fn foo(on: Loop<'_>) {
    println!("Running in foo");
    on.yield_now().await;
    println!("Explicit context switch to foo again");
}

async fn bar(on: Loop<'_>) {
    println!("Explicit context to bar");
    on.yield_now().await;
    println!("Implicit context switch back to bar");
}

async fn join_all(tasks: impl IntoIterator<Item = JoinHandle<'_, ()>>) {
    for mut task in tasks {
        task.join().await.expect("nobody cancels it");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sinbin::run(async |on| {
        join_all([on.spawn(foo(on))?, on.spawn(bar(on))?]).await;
        Ok::<_, Refused>(())
    })??;
    Ok(())
}
