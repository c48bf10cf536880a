//! The talk's fourth server: one thread, and a coroutine for each client. A client that sends nothing delays no other.
//! But while `fib` computes, all clients wait. `talk_4 [ADDRESS]`

#[path = "talk/service.rs"]
mod service;

use std::error::Error;

use sinbin::Settings;
use sinbin::fib::fib;
use sinbin::task::Conn;

async fn fib_handler(client: Conn<'_>) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.recv(&mut request).await?; // parks the task
        if count == 0 {
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let result = fib(n); // blocks the loop
        client.send_all(format!("{result}\n").as_bytes()).await?; // parks the task if it would block
    }
}

fn main() -> Result<(), sinbin::MainError> {
    Settings::default().serve([service::listen()?], |_| {}, fib_handler)?;
    Ok(())
}
