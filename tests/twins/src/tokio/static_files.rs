//! The server of static files: `static-files DIRECTORY [ADDRESS]`, by HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use super::accept;
use crate::{MainError, argument};

#[path = "../../../../native/examples/static_files/pages.rs"]
mod pages;

async fn serve(stream: TcpStream, root: Rc<Path>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service =
        service_fn(|request| std::future::ready(Ok::<_, Infallible>(pages::answer(&root, &request))));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    builder.serve_connection(TokioIo::new(stream), service).await
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let root = Rc::<Path>::from(Path::new(argument(arguments, 0, "DIRECTORY")?).canonicalize()?);
    let listener = accept::listen(arguments.get(1).map_or("127.0.0.1:8080", String::as_str)).await?;
    Ok(accept::serve(listener, |stream| serve(stream, Rc::clone(&root))).await?)
}
