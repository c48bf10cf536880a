//! The talk's Fibonacci service as an `async fn`, built as a component that a host drives. Its jobs are computed by other
//! instances of the guest, on threads of the host, so that other clients are answered meanwhile.
#![no_std]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use sinbin_core::fib::FibJob;
use sinbin_core::task::{Conn, Error};

sinbin_guest::tasks!(fib, jobs: FibJob);

/// The largest number that is computed, which takes minutes.
const MAX: u32 = 50;

async fn fib(conn: Conn<'_>) -> Result<(), Error> {
    let mut lines = conn.lines([0; 64]);
    while let Some(line) = lines.next().await? {
        let n = core::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
        let answer = match n.filter(|n| *n <= MAX) {
            Some(n) => computed(&conn, n).await,
            None => format!("error: expected a number from 0 to {MAX}\n"),
        };
        conn.send_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Returns the line that answers a number.
async fn computed(conn: &Conn<'_>, n: u32) -> String {
    match conn.handle().job(FibJob::new(n)).await {
        Ok(value) => format!("{value}\n"),
        Err(error) => format!("error: {error}\n"),
    }
}
