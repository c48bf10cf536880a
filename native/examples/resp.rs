//! A store that Redis clients can talk to: `resp [ADDRESS]`, until Ctrl-C.
//!
//! ```sh
//! redis-cli -p 25000 set answer 42
//! redis-benchmark -p 25000 -t set,get -P 16
//! ```

extern crate alloc;

#[path = "resp/service.rs"]
mod service;

use service::Store;

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:25000".to_owned());
    sinbin::run(async |handle| {
        let listener = handle.listen(address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        let store = Store::new(handle);
        handle.serve(listener, async move |conn| store.serve(conn).await).await
    })??;
    Ok(())
}
