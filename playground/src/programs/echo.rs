use std::error::Error;
use std::time::Duration;

use sinbin_core::task::{Conn, Handle};

async fn echo(client: Conn<'_>) -> Result<(), Box<dyn Error>> {
    let (handle, patience) = (client.handle(), Duration::from_secs(2));
    let mut buf = [0; 64];
    loop {
        let received = handle.timeout(patience, client.recv(&mut buf)).await; //@ echo.recv
        match received?? {
            0 => return Ok(()),
            n => client.send_all(&buf[..n]).await?, //@ echo.send
        }
    }
}

pub async fn server(handle: Handle<'_>) -> Result<(), Box<dyn Error>> {
    let listener = handle.listen("10.0.0.1:25000")?;
    loop {
        let (client, _) = listener.accept().await?; //@ server.recv
        handle.spawn(echo(client))?;
    }
}
