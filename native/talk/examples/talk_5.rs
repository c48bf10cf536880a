//! The talk's fifth server: coroutines, and a pool that computes. But a coroutine waits for the pool as a thread would,
//! so the loop is blocked as before, and each request pays for the pool in addition. `talk_5 [ADDRESS]`

#[path = "talk/pool.rs"]
mod pool;
#[path = "talk/service.rs"]
mod service;

use std::error::Error;

use pool::Pool;
use sinbin::Settings;
use sinbin::fib::fib;
use sinbin::task::Conn;

async fn fib_handler(client: Conn<'_>, pool: &Pool) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.recv(&mut request).await?;
        if count == 0 {
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let future = pool.submit(move || fib(n));
        let result = future.recv()?; // blocks the loop
        client.send_all(format!("{result}\n").as_bytes()).await?;
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let pool = Pool::new();
    let handler = async |client: Conn<'_>| fib_handler(client, &pool).await;
    Settings::default().serve([service::listen()?], |_| {}, handler)?;
    Ok(())
}
