//! A web service made with `axum`: `axum [ADDRESS]`, by HTTP/1.1 and HTTP/2, until Ctrl-C.
//!
//! A router of axum is a service of `tower`, and needs no runtime without its feature `tokio`. axum demands that its handlers
//! are `Send`, which the loop and its connections are not: here they share an atomic counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{get, post};
use hyper_util::service::TowerToHyperService;
use sinbin::hyper::Server;

/// The maximum size of a request's body.
const MAX_BODY: usize = 64 * 1024;

type Count = Arc<AtomicU64>;

async fn greet(Path(name): Path<String>, State(count): State<Count>) -> String {
    format!("hello {name}, guest {}\n", count.fetch_add(1, Ordering::Relaxed) + 1)
}

async fn shout(text: String) -> String {
    text.to_uppercase()
}

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let router = Router::new()
        .route("/hello/{name}", get(greet))
        .route("/shout", post(shout))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Count::default());
    sinbin::run(async |handle| {
        let listener = handle.listen(&*address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        let server = Server::new(handle);
        let serve = async move |conn| server.serve(conn, TowerToHyperService::new(router.clone())).await;
        handle.serve(listener, serve).await
    })??;
    Ok(())
}
