//! The TCP port forwarder: `forwarder TARGET [ADDRESS]`.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept;
use crate::{MainError, argument};

async fn forward(mut client: TcpStream, target: Rc<str>) -> io::Result<()> {
    let mut server = timeout(Duration::from_secs(10), TcpStream::connect(&*target)).await??;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let target: Rc<str> = argument(arguments, 0, "TARGET")?.into();
    let listener = accept::listen(arguments.get(1).map_or("127.0.0.1:25001", String::as_str)).await?;
    Ok(accept::serve(listener, |client| forward(client, Rc::clone(&target))).await?)
}
