//! Three tasks count down in turn, as in the talk: between two numbers of one, every other has its turn.

use sinbin::task::{Loop, Refused};

async fn countdown(on: Loop<'_>, mut n: u32) {
    while n > 0 {
        println!("{n}");
        on.yield_now().await;
        n -= 1;
    }
    println!("Task");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sinbin::run(async |on| {
        let mut tasks = Vec::new();
        for n in [5, 8, 3] {
            tasks.push(on.spawn(countdown(on, n))?);
        }
        for task in &mut tasks {
            task.join().await.expect("nobody cancels it");
        }
        Ok::<_, Refused>(())
    })??;
    Ok(())
}
