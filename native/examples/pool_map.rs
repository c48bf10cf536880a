//! Squares from the worker threads, three ways: one job, a map in the order of its numbers, and callbacks in the
//! order in which the jobs end. The loop goes on meanwhile.

use sinbin::task::{Handle, JobError};

fn square(n: u64) -> u64 {
    n * n
}

/// Has `work` done on all numbers at once.
async fn map(
    handle: Handle<'_>,
    work: fn(u64) -> u64,
    numbers: impl Iterator<Item = u64>,
) -> Result<Vec<u64>, JobError> {
    let mut jobs = Vec::new();
    for n in numbers {
        jobs.push(handle.spawn(handle.job(move || work(n))).expect("there is room"));
    }
    let mut results = Vec::new();
    for job in &mut jobs {
        results.push(job.join().await.expect("nobody cancels it")?);
    }
    Ok(results)
}

/// Has `work` done on `n`, and hands the result to `callback`.
async fn apply(handle: Handle<'_>, work: fn(u64) -> u64, n: u64, callback: fn(u64)) -> Result<(), JobError> {
    handle.job(move || work(n)).await.map(callback)
}

fn got(square: u64) {
    println!("callback: {square}");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sinbin::run(async |handle| {
        println!("submit: {}", handle.job(|| square(11)).await?);

        for square in map(handle, square, 1..=11).await? {
            println!("map: {square}");
        }

        let mut tasks = Vec::new();
        for n in 1..=11 {
            tasks.push(handle.spawn(apply(handle, square, n, got)).expect("there is room"));
        }
        for task in &mut tasks {
            task.join().await.expect("nobody cancels it")?;
        }
        Ok::<_, JobError>(())
    })??;
    Ok(())
}
