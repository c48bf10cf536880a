//! A web server: `http [ADDRESS]`. Try it with `curl http://127.0.0.1:8080/fib/30`.
//!
//! The protocol is implemented by `edge-http`, which has no dependency on sinbin. It works with every type that
//! implements the traits of `embedded-io-async`, as connections do.

#[path = "http/server.rs"]
mod server;

use server::Page;
use sinbin::Settings;
use sinbin::task::Conn;

/// Returns the page of a path.
async fn page(path: &str) -> Option<Page> {
    if path == "/" {
        return Some(Page::plain("This is sinbin. Ask for /fib/30.\n"));
    }
    let n = path.strip_prefix("/fib/")?.parse().ok()?;
    Some(Page::plain(format!("{}\n", fib(n))))
}

/// Returns the talk's Fibonacci number of `n`, or the largest one that fits.
fn fib(n: u32) -> u64 {
    let (mut now, mut next) = (0_u64, 1);
    for _ in 0..n.clamp(1, 93) {
        (now, next) = (next, now.saturating_add(next));
    }
    now
}

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = sinbin::bind(address.parse()?)?;
    println!("listening on http://{}", listener.local_addr()?);
    Settings::default().serve([listener], |_| {}, async |conn: Conn<'_>| server::serve(conn, &page).await)?;
    Ok(())
}
