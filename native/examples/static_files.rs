//! A server of static files: `static_files DIRECTORY [ADDRESS]`, by HTTP/1.1 and HTTP/2, until Ctrl-C.
//!
//! Pieces of a file are read on the loop, which waits for the disk if they are not in the system's cache.

use std::convert::Infallible;
use std::path::Path;
use std::rc::Rc;

use hyper::service::service_fn;
use sinbin::hyper::Server;

#[path = "static_files/pages.rs"]
mod pages;

fn main() -> Result<(), sinbin::MainError> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("usage: static_files DIRECTORY [ADDRESS]")?;
    let root = Rc::<Path>::from(Path::new(&root).canonicalize()?);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    sinbin::run(async |handle| {
        let listener = handle.listen(&*address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        let server = Server::new(handle);
        let serve = async move |conn| {
            let root = Rc::clone(&root);
            let service = service_fn(move |request| {
                std::future::ready(Ok::<_, Infallible>(pages::answer(&root, &request)))
            });
            server.serve(conn, service).await
        };
        handle.serve(listener, serve).await
    })??;
    Ok(())
}
