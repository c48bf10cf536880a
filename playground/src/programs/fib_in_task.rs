use std::error::Error;

use sinbin_core::task::{Conn, Handle};

use crate::programs::number;
use crate::world::World;

async fn fib_handler(client: Conn<'_>, world: &World) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.recv(&mut request).await?; //@ fib_handler.recv
        if count == 0 {
            return Ok(()); // the client has finished sending
        }
        let n = number(&request[..count])?;
        let result = world.fib(n); // no await: no other task runs meanwhile //@ fib_handler.running
        client.send_all(format!("{result}\n").as_bytes()).await?; //@ fib_handler.send
    }
}

pub async fn server<'d>(handle: Handle<'d>, world: &'d World) -> Result<(), Box<dyn Error>> {
    let listener = handle.listen("10.0.0.1:25000")?;
    loop {
        let (client, _) = listener.accept().await?; //@ server.recv
        handle.spawn(fib_handler(client, world))?;
    }
}
