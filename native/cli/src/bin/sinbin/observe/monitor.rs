//! `sinbin monitor`: what is seen of loops, over HTTP, and a live page of it. It is itself a service of sinbin.

mod answer;
mod body;
mod event;
mod host_name;
mod hub;
mod page;
mod tasks_page;

use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use hyper::service::service_fn;
use sinbin::hyper::Server;
use sinbin::observe::{ObserveError, loops_of};
use sinbin::task::Conn;
use sinbin::{Place, Settings, Stopper};
use sinbin_cli::output;
use sinbin_cli::signals::{keep_signals, stop_on_signal};

use super::args::MonitorArgs;
use answer::Answering;
use hub::Hub;

/// The maximum number of bytes of the head of a request, and of those kept for a slow client besides one body or event.
const MAX_HEAD: usize = 8 * 1024;
/// The maximum number of headers of a request.
const MAX_HEADERS: usize = 64;
/// The time that a client may take to send a request, or to accept some bytes of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum number of simultaneous connections.
const MAX_CONNECTIONS: usize = 256;
/// The maximum number of simultaneous requests of an HTTP/2 connection.
const MAX_STREAMS: u32 = 8;
/// The time between two looks for processes that have ended.
const BETWEEN: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &MonitorArgs) -> Result<ExitCode, Box<dyn Error>> {
    // A process that can't be looked at is reported at once, instead of at each request.
    super::loops(&args.pids)?;
    let settings = Settings::default().max_connections(MAX_CONNECTIONS).workers(0);
    keep_signals()?;
    let listener = settings.bind(args.listen)?;
    let bound = listener.local_addr()?;
    let mut begun: Result<(), Box<dyn Error>> = Ok(());
    let started = |stopper: Stopper| {
        let ready = stop_on_signal(stopper.clone()).map_err(Into::into);
        begun = ready.and_then(|()| tell(args, bound).map_err(Into::into));
        if begun.is_err() {
            return stopper.stop();
        }
        if args.until_gone {
            let pids = args.pids.clone();
            thread::spawn(move || {
                while pids.iter().any(|pid| !is_gone(*pid)) {
                    thread::sleep(BETWEEN);
                }
                stopper.stop();
            });
        }
    };
    let hub = Hub::new(args);
    settings.serve([listener], started, async |conn| serve(args, &hub, conn).await)?;
    begun?;
    Ok(ExitCode::SUCCESS)
}

/// Tells where the monitor listens: on stdout, or in the log if stdout is that of a server beside it.
fn tell(args: &MonitorArgs, bound: SocketAddr) -> Result<(), String> {
    if args.until_gone {
        tracing::info!(address = %bound, "serving /metrics, /healthz, /readyz and a page at /");
        return Ok(());
    }
    output::listening(&Place::Address(args.listen), &Place::Address(bound))
}

fn is_gone(pid: u32) -> bool {
    matches!(loops_of(pid), Err(ObserveError::NoProcess(_) | ObserveError::NothingPublished(_)))
}

/// Answers the requests of a connection: one by HTTP/1.1, so that a client that asks rarely holds no connection.
async fn serve(args: &MonitorArgs, hub: &Rc<Hub>, conn: Conn<'_>) -> Result<(), Infallible> {
    let handle = conn.handle();
    let mut server = Server::new(handle).header_timeout(PATIENCE).write_timeout(Some(PATIENCE));
    server.http1().keep_alive(false).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    server.http2().max_concurrent_streams(MAX_STREAMS).max_send_buf_size(MAX_HEAD);
    let answering = Answering { args, hub, handle };
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answering.answer(&request))));
    // A client that leaves, or breaks the protocol, is no failure of the monitor.
    if let Err(error) = server.serve(conn, service).await {
        tracing::debug!(%error, "a client of the monitor is gone");
    }
    Ok(())
}
