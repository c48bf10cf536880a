//! Datagrams, Unix sockets, pipes, files and child processes.
//!
//! | file | subject |
//! | --- | --- |
//! | `udp.rs` | UDP: lengths, datagrams that are too long, drain |
//! | `unix.rs` | Unix sockets: their paths, streams and datagrams |
//! | `options.rs` | the options of sockets |
//! | `names.rs` | connecting to names, with a resolver of the test |
//! | `listening.rs` | listeners that guests request |
//! | `outgoing.rs` | connections that guests request |
//! | `outgoing_tls.rs` | connections that guests request, with TLS |
//! | `pipes.rs` | pipes, and the standard streams of a child |
//! | `files.rs` | files, and sending them |
//! | `processes.rs` | child processes |
//! | `splicing.rs` | copying between connections, by the system where it can |

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sinbin::Settings;
use sinbin::task::Handle;

mod files;
mod listening;
mod names;
mod options;
mod outgoing;
mod outgoing_tls;
#[cfg(unix)]
mod pipes;
#[cfg(unix)]
mod processes;
mod splicing;
mod udp;
#[cfg(unix)]
mod unix;

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn run<T>(main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    Settings::default().run(main).expect("it runs")
}

/// A directory of a test, which is removed when it is dropped.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sinbin-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
