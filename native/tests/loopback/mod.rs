//! A loop with a time limit, and connections within it.

use std::time::Duration;

use sinbin::task::{Conn, Handle, join};

/// Runs a loop until `main` has ended. Panics if that takes too long.
pub fn run<T>(main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    sinbin::run(async |handle| {
        let limit = Duration::from_secs(300);
        handle.timeout(limit, main(handle)).await.expect("the test ends in time")
    })
    .expect("the loop does not stall")
}

/// Returns two connected connections.
pub async fn pair(handle: Handle<'_>) -> (Conn<'_>, Conn<'_>) {
    let listener = handle.listen("127.0.0.1:0").expect("a port");
    let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
    (client.expect("a connection"), server.expect("a connection").0)
}
