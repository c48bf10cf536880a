//! Tasks that hang in three ways, beside others that idle: `hangs busy|block|job`. Find out which one hangs from another
//! terminal with `sinbin where PID`.

use std::io::{self, PipeReader, Read as _};
use std::time::Duration;

use sinbin::Settings;
use sinbin::task::Handle;

/// Computes without an `.await`, so that no other task runs.
async fn computes_for_ever() {
    loop {
        std::hint::spin_loop();
    }
}

/// Reads from a pipe that nothing is written to, in a call that blocks the loop.
async fn blocks_the_loop(mut pipe: PipeReader) {
    pipe.read_exact(&mut [0]).ok();
}

/// Does the same on a worker thread. The loop goes on, and the task waits for the job.
async fn waits_for_a_job(handle: Handle<'_>, mut pipe: PipeReader) {
    handle.blocking(move || pipe.read_exact(&mut [0]).ok()).await.ok();
}

async fn idles(handle: Handle<'_>) {
    handle.sleep(Duration::from_secs(3600)).await;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let way = std::env::args().nth(1).unwrap_or_default();
    // The pipe does not end as long as the second half exists.
    let (pipe, _unused) = io::pipe()?;
    println!("look at it with: sinbin where {}", std::process::id());
    Settings::default().observe(true).run(async |handle| {
        for _ in 0..10 {
            handle.spawn(idles(handle))?;
        }
        // Spawned while the loop still answers, so that the others wait by the time it hangs.
        handle.sleep(Duration::from_millis(10)).await;
        match way.as_str() {
            "busy" => drop(handle.spawn(computes_for_ever())?),
            "block" => drop(handle.spawn(blocks_the_loop(pipe))?),
            "job" => drop(handle.spawn(waits_for_a_job(handle, pipe))?),
            _ => {
                eprintln!("usage: hangs busy|block|job");
                return Ok(());
            }
        }
        println!("begun");
        idles(handle).await;
        Ok::<_, sinbin::task::SpawnError>(())
    })??;
    Ok(())
}
