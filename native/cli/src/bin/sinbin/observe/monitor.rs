//! `sinbin monitor`: what is seen of loops, over HTTP. It is itself a service of sinbin.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sinbin::observe::{ObserveError, loops_of};
use sinbin::task::{self, Conn};
use sinbin::{Place, Settings, Stopper};
use sinbin_cli::output;
use sinbin_cli::signals::{keep_signals, stop_on_signal};

use super::args::MonitorArgs;
use super::json::SnapshotJson;
use super::metrics;
use super::top::{Eyes, Seen};

/// The maximum number of bytes of the head of a request.
const MAX_HEAD: usize = 8 * 1024;
/// The maximum number of headers of a request.
const MAX_HEADERS: usize = 64;
/// The time that a client may take to send a request, or to receive a piece of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum number of simultaneous connections.
const MAX_CONNECTIONS: usize = 256;
/// The time between two looks for processes that have ended.
const BETWEEN: Duration = Duration::from_millis(500);

/// An answer: status, content type and body.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{body}\n") }
    }
}

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
    settings.serve([listener], started, async |conn| serve(args, conn).await)?;
    begun?;
    Ok(ExitCode::SUCCESS)
}

/// Tells where the monitor listens: on stdout, or in the log if stdout is that of a server beside it.
fn tell(args: &MonitorArgs, bound: SocketAddr) -> Result<(), String> {
    if args.until_gone {
        tracing::info!(address = %bound, "serving /metrics, /healthz and /readyz");
        return Ok(());
    }
    output::listening(&Place::Address(args.listen), &Place::Address(bound))
}

fn is_gone(pid: u32) -> bool {
    matches!(loops_of(pid), Err(ObserveError::NoProcess(_) | ObserveError::NothingPublished(_)))
}

/// Answers one request.
async fn serve(args: &MonitorArgs, conn: Conn<'_>) -> Result<(), task::Error> {
    let answer = match conn.handle().timeout(PATIENCE, request(&conn)).await {
        Ok(Ok(request)) => request.answer(args),
        Ok(Err(Unreadable::Connection(error))) => return Err(error),
        Ok(Err(Unreadable::Request(status))) => Answer::text(status, status),
        Err(_) => Answer::text("408 Request Timeout", "the request took too long"),
    };
    let Answer { status, content_type, body } = answer;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n",
        body.len()
    );
    let send = async {
        conn.send_all(head.as_bytes()).await?;
        conn.send_all(body.as_bytes()).await
    };
    conn.handle().timeout(PATIENCE, send).await.unwrap_or(Ok(()))
}

/// A request, as far as it matters here.
struct Request {
    method: String,
    path: String,
    host: Option<String>,
}

/// The reason why there is no request to answer.
enum Unreadable {
    Connection(task::Error),
    Request(&'static str),
}

async fn request(conn: &Conn<'_>) -> Result<Request, Unreadable> {
    let (mut head, mut len) = ([0; MAX_HEAD], 0);
    loop {
        let count = conn.recv(&mut head[len..]).await.map_err(Unreadable::Connection)?;
        len += count;
        if let Some(request) = parse(&head[..len])? {
            return Ok(request);
        }
        if count == 0 || len == MAX_HEAD {
            let status = if count == 0 { "400 Bad Request" } else { "431 Request Header Fields Too Large" };
            return Err(Unreadable::Request(status));
        }
    }
}

/// Returns the request, or `None` if its head is not complete.
fn parse(bytes: &[u8]) -> Result<Option<Request>, Unreadable> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Unreadable::Request("400 Bad Request")),
        Ok(httparse::Status::Complete(_)) => {
            let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
            let host = host.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::to_owned);
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            Ok(Some(Request { method: text(request.method), path: text(request.path), host }))
        }
    }
}

impl Request {
    fn answer(&self, args: &MonitorArgs) -> Answer {
        if !self.host.as_deref().is_none_or(|host| is_known(host, args)) {
            // A web page whose name resolves to this machine could otherwise read what is answered here.
            return Answer::text(
                "421 Misdirected Request",
                "name this host by its address, or see --allow-host",
            );
        }
        if self.method != "GET" {
            return Answer::text("405 Method Not Allowed", "only GET is answered");
        }
        let path = self.path.split('?').next().unwrap_or_default();
        if path == "/healthz" {
            return Answer::text("200 OK", "ok");
        }
        if !matches!(path, "/metrics" | "/readyz" | "/snapshot.json") {
            return Answer::text("404 Not Found", "try /metrics, /healthz, /readyz or /snapshot.json");
        }
        match (Eyes::default().look(&args.pids), path) {
            (Ok(seen), "/metrics") => metrics(&seen),
            (Ok(seen), "/readyz") if metrics::is_ready(&seen) => Answer::text("200 OK", "ready"),
            (Ok(_), "/readyz") => {
                Answer::text("503 Service Unavailable", "not ready: no loop, or one that drains")
            }
            (Ok(seen), _) => snapshots(&seen),
            (Err(error), _) => Answer::text("503 Service Unavailable", &error.to_string()),
        }
    }
}

fn metrics(seen: &[Seen]) -> Answer {
    match metrics::text(seen) {
        Ok(body) => Answer { status: "200 OK", content_type: metrics::TYPE, body },
        Err(error) => Answer::text("500 Internal Server Error", &error.to_string()),
    }
}

fn snapshots(seen: &[Seen]) -> Answer {
    let all: Vec<_> = seen.iter().map(|seen| SnapshotJson::new(&seen.snapshot)).collect();
    match serde_json::to_string(&all) {
        Ok(body) => Answer { status: "200 OK", content_type: "application/json", body },
        Err(error) => Answer::text("500 Internal Server Error", &error.to_string()),
    }
}

/// Returns true if a request may name this host so: by an address, as localhost, or by a name that was allowed.
fn is_known(host: &str, args: &MonitorArgs) -> bool {
    let is_address = host.parse::<SocketAddr>().is_ok()
        || host.parse::<IpAddr>().is_ok()
        || host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|ip| ip.parse::<IpAddr>().is_ok());
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    is_address || name == "localhost" || args.allow_host.iter().any(|allowed| allowed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_its_address_or_an_allowed_name() {
        let args = MonitorArgs {
            pids: Vec::new(),
            listen: "127.0.0.1:0".parse().unwrap(),
            allow_host: vec!["eyes.example".to_owned()],
            until_gone: false,
        };
        for known in
            ["127.0.0.1:9000", "127.0.0.1", "[::1]:9000", "[::1]", "localhost:1", "eyes.example:9000"]
        {
            assert!(is_known(known, &args), "{known}");
        }
        for unknown in ["evil.example", "evil.example:9000", "127.0.0.1.evil.example", "", "localhost.evil:1"]
        {
            assert!(!is_known(unknown, &args), "{unknown}");
        }
    }
}
