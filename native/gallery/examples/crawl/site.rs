//! The site that is crawled, served by the repository's HTTP example. It has ten pages, `/` and `/1` to `/9`, and fifteen
//! that are linked as a tree: `/tree/1` leads to all of them. Each page takes some time.

#[path = "../../../examples/http/server.rs"]
mod server;

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use server::Page;
use sinbin::task::Conn;
use sinbin::{MainError, Settings};
use socket2::SockRef;

/// The pages of the linked site, a binary tree.
const TREE: u32 = 15;

/// The time between two looks at whether held requests are released.
const LOOK: Duration = Duration::from_millis(1);

/// Counters of requests, which other threads can read, and the gate of the pages `/held/…`.
#[derive(Default)]
pub struct Load {
    open: AtomicUsize,
    peak: AtomicUsize,
    is_released: AtomicBool,
}

impl Load {
    /// Returns the number of requests that are not answered yet.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Returns the largest number of requests that were open at the same time since the last call.
    pub fn take_peak(&self) -> usize {
        self.peak.swap(0, Ordering::AcqRel)
    }

    /// Answers requests for `/held/…` if `is_released` is true. Otherwise holds them.
    pub fn release(&self, is_released: bool) {
        self.is_released.store(is_released, Ordering::Release);
    }

    fn enter(&self) -> Open<'_> {
        let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak.fetch_max(open, Ordering::AcqRel);
        Open(self)
    }
}

/// A request that is not answered yet.
struct Open<'a>(&'a Load);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves the site until the process ends. Each page takes `delay`.
pub fn serve(listener: TcpListener, delay: Duration, load: &Load) -> Result<(), MainError> {
    let serve = async |conn: Conn<'_>| {
        let handle = conn.handle();
        let page = async |path: &str| {
            let _open = load.enter();
            while path.starts_with("/held/") && !load.is_released.load(Ordering::Acquire) {
                handle.sleep(LOOK).await;
            }
            handle.sleep(delay).await;
            page(path)
        };
        server::serve(conn, &page).await
    };
    Settings::default().serve([listener], |_| {}, serve)?;
    Ok(())
}

/// Serves the site on a thread. Returns its address and its counters.
pub fn start(delay: Duration) -> io::Result<(SocketAddr, Arc<Load>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let load = Arc::new(Load::default());
    let of_server = Arc::clone(&load);
    thread::spawn(move || serve(listener, delay, &of_server).expect("the site can be served"));
    Ok((address, load))
}

/// Starts a server that resets each connection in the middle of the response, on a thread. Returns its address.
pub fn start_broken() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let is_end = |line: &io::Result<String>| line.as_ref().is_ok_and(|line| !line.is_empty());
            BufReader::new(&client).lines().take_while(is_end).for_each(drop);
            (&client).write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nhalf a page").ok();
            // Without time for its last bytes, the connection is reset when it is closed.
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).ok();
        }
    });
    Ok(address)
}

/// Returns the URLs of the ten pages.
pub fn ten_pages(address: SocketAddr) -> Vec<String> {
    let path = |n: u32| if n == 0 { String::new() } else { n.to_string() };
    (0..10).map(|n| format!("http://{address}/{}", path(n))).collect()
}

fn page(path: &str) -> Option<Page> {
    let mut text = format!("<title>{path}</title>\n");
    if let Some(n) = path.strip_prefix("/tree/") {
        let n: u32 = n.parse().ok().filter(|n| (1..=TREE).contains(n))?;
        for linked in [n / 2, 2 * n, 2 * n + 1].into_iter().filter(|n| (1..=TREE).contains(n)) {
            writeln!(text, "<a href=\"/tree/{linked}\">page {linked}</a>").ok()?;
        }
    } else if !path.starts_with("/held/") {
        let n: u32 =
            if path == "/" { 0 } else { path.strip_prefix('/')?.parse().ok().filter(|n| *n < 10)? };
        // Some pages are larger than what one call receives.
        for line in 0..=n * 100 {
            writeln!(text, "<p>line {line} of page {n}</p>").ok()?;
        }
    }
    Some(Page { media_type: "text/html", text })
}
