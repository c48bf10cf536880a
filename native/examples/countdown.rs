//! Three tasks count down in turn, as in the talk: after each number, the task yields to the others.

use sinbin::task::{Handle, WaitError};

async fn countdown(handle: Handle<'_>, mut n: u32) {
    while n > 0 {
        println!("{n}");
        handle.yield_now().await;
        n -= 1;
    }
    println!("Task");
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(async |handle| {
        let mut tasks = Vec::new();
        for n in [5, 8, 3] {
            tasks.push(handle.spawn(countdown(handle, n))?);
        }
        for task in &mut tasks {
            task.join().await.expect("it is not cancelled");
        }
        Ok::<_, WaitError>(())
    })??;
    Ok(())
}
