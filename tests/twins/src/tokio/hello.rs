//! An HTTP/1.1 server with one answer: `hello [ADDRESS]`.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, body};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::accept;
use crate::MainError;

async fn serve(stream: TcpStream) -> hyper::Result<()> {
    let service = service_fn(|_: hyper::Request<body::Incoming>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello\n")))))
    });
    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let listener = accept::listen(arguments.first().map_or("127.0.0.1:8080", String::as_str)).await?;
    Ok(accept::serve(listener, serve).await?)
}
