//! The second crawler: a thread for each page. `fetch` is that of the first crawler, since a call blocks only its own
//! thread. The threads share the crawl, which therefore needs a lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, Scope};

use crate::blocking::fetch;
use crate::crawl::Crawl;
use crate::error::Error;

pub fn crawl(crawl: Crawl) -> Result<Crawl, Error> {
    let crawl = Mutex::new(crawl);
    thread::scope(|scope| start(scope, &crawl));
    Ok(crawl.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Starts a thread for each page that remains. At its end, a thread starts others for the links that it has found.
fn start<'s>(scope: &'s Scope<'s, '_>, crawl: &'s Mutex<Crawl>) {
    loop {
        let next = lock(crawl).next();
        let Some(request) = next.map(Arc::new) else { return };
        let of_thread = Arc::clone(&request);
        let started = Builder::new().spawn_scoped(scope, move || {
            let response = fetch(&of_thread);
            lock(crawl).fetched(&of_thread, response);
            start(scope, crawl);
        });
        if let Err(error) = started {
            lock(crawl).fetched(&request, Err(error.into())); // the system has no memory for another thread
        }
    }
}

fn lock(crawl: &Mutex<Crawl>) -> MutexGuard<'_, Crawl> {
    crawl.lock().unwrap_or_else(PoisonError::into_inner)
}
