//! A chat on one loop: `chat [ADDRESS]`, until Ctrl-C. The same service runs in a sandbox as `chat.wasm`.
//!
//! The connections share a [`Chat`], which is a variable of the program. Each is served in a task of its own.

extern crate alloc;

#[path = "chat/service.rs"]
mod service;

use service::Chat;

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:25000".to_owned());
    sinbin::run(async |handle| {
        let listener = handle.listen(address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        let chat = Chat::new(handle);
        handle.serve(listener, async move |conn| chat.serve(conn).await).await
    })??;
    Ok(())
}
