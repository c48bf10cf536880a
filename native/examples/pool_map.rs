//! Squares computed by worker threads in three ways: a single job, a map whose results are in order, and callbacks in
//! the order in which the jobs end. The loop continues in the meantime.

use sinbin::task::{Handle, JobError};

fn square(n: u64) -> u64 {
    n * n
}

/// Computes `work` for all numbers at the same time.
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
        results.push(job.join().await.expect("it is not cancelled")?);
    }
    Ok(results)
}

/// Computes `work` for `n`, and passes the result to `callback`.
async fn apply(handle: Handle<'_>, work: fn(u64) -> u64, n: u64, callback: fn(u64)) -> Result<(), JobError> {
    handle.job(move || work(n)).await.map(callback)
}

fn got(square: u64) {
    println!("callback: {square}");
}

fn main() -> Result<(), sinbin::MainError> {
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
            task.join().await.expect("it is not cancelled")?;
        }
        Ok::<_, JobError>(())
    })??;
    Ok(())
}
