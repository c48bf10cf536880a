//! The talk's last server: coroutines, and a job for each request. The coroutine is parked while the job runs, as it is
//! while it waits for its client, and the loop continues. `talk_6 [ADDRESS]`

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
        let result = client.handle().job(move || fib(n)).await?; // parks the task
        client.send_all(format!("{result}\n").as_bytes()).await?;
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let mut settings = Settings::default();
    // The number of processes in the talk's pool. One worker would be enough for `FibJob`, which is computed in slices.
    // But a closure is a single slice, so that a short job would wait for a long one.
    settings.workers = 4;
    settings.serve([service::listen()?], |_| {}, fib_handler)?;
    Ok(())
}
