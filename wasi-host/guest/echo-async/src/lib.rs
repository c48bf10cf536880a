//! The echo service as an `async fn`, built as a component that a host drives. This is the whole source code of such a
//! guest.
#![no_std]

use sinbin_core::task::{Conn, Error};

sinbin_guest::tasks!(echo);

async fn echo(conn: Conn<'_>) -> Result<(), Error> {
    let mut buf = [0; 512];
    loop {
        let n = conn.recv(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        conn.send_all(&buf[..n]).await?;
    }
}
