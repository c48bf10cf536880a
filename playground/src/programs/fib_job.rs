use std::error::Error;

use sinbin_core::task::{Conn, Handle};

use crate::programs::number;
use crate::world::Fib;

async fn fib_handler(client: Conn<'_>) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.recv(&mut request).await?; //@ fib_handler.recv
        if count == 0 {
            return Ok(()); // the client has finished sending
        }
        let n = number(&request[..count])?;
        let result = client.handle().job(Fib::new(n)).await?; //@ fib_handler.job
        client.send_all(format!("{result}\n").as_bytes()).await?; //@ fib_handler.send
    }
}

pub async fn server(handle: Handle<'_>) -> Result<(), Box<dyn Error>> {
    let listener = handle.listen("10.0.0.1:25000")?;
    loop {
        let (client, _) = listener.accept().await?; //@ server.recv
        handle.spawn(fib_handler(client))?;
    }
}
