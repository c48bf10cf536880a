//! The talk's fourth server: one thread, and a coroutine for each client. Nobody waits for a client that says nothing;
//! but while `fib` computes, everybody waits for that. `talk_4 [ADDRESS]`

#[path = "talk/service.rs"]
mod service;

use std::error::Error;

use sinbin::Settings;
use sinbin::fib::fib;
use sinbin::task::Conn;

async fn fib_handler(client: Conn<'_>) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.recv(&mut request).await?; // into the bin
        if count == 0 {
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let result = fib(n); // blocks the loop
        client.send_all(format!("{result}\n").as_bytes()).await?; // into the bin, if it has to
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    Settings::default().serve([service::listen()?], |_| {}, fib_handler)?;
    Ok(())
}
