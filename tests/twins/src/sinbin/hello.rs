//! An HTTP/1.1 and HTTP/2 server with one answer: `hello [ADDRESS]`.

use std::convert::Infallible;
use std::future::ready;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use sinbin::hyper::Server;

use super::address;
use crate::MainError;

pub(super) fn main(arguments: &[String]) -> Result<(), MainError> {
    sinbin::run(async |handle| {
        let listener = handle.listen(address(arguments, 0))?;
        println!("listening on {}", listener.address());
        handle.spawn(sinbin::signal::stop(handle))?;
        let server = Server::new(handle);
        let serve = async move |conn| {
            let service = service_fn(|_: Request<Incoming>| {
                ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello\n")))))
            });
            server.serve(conn, service).await
        };
        handle.serve(listener, serve).await
    })??;
    Ok(())
}
