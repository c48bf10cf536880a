//! The talk's last server: coroutines, and a job for each request. The coroutine waits for it in the bin, as it does for
//! its client, and the loop goes on. `talk_6 [ADDRESS]`

#[path = "talk/service.rs"]
mod service;

use std::error::Error;

use sinbin::Settings;
use sinbin::fib::fib;
use sinbin::task::Conn;

async fn fib_handler(client: Conn<'_>) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.recv(&mut request).await?;
        if count == 0 {
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let result = client.handle().job(move || fib(n)).await?; // into the bin
        client.send_all(format!("{result}\n").as_bytes()).await?;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::default();
    // As many as the talk's pool. One would do for `FibJob`, which is computed a slice at a time; a closure is one slice,
    // and a short one would wait behind a long one.
    settings.workers = 4;
    settings.serve([service::listen()?], |_| {}, fib_handler)?;
    Ok(())
}
