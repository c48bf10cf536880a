//! The answers of the monitor, by path.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use sinbin::task::Handle;

use super::super::args::MonitorArgs;
use super::super::json::SnapshotJson;
use super::super::metrics;
use super::super::top::{Eyes, Seen};
use super::body::Answer as Body;
use super::event::{Choice, LoopKey};
use super::host_name::is_known;
use super::hub::Hub;
use super::page;
use super::tasks_page::{self, Query};

type Answer = Response<Body>;

/// The service of a connection, with all that its answers need.
pub(crate) struct Answering<'a, 'd> {
    pub(crate) args: &'a MonitorArgs,
    pub(crate) hub: &'a Rc<Hub>,
    pub(crate) handle: Handle<'d>,
}

impl Answering<'_, '_> {
    pub(crate) fn answer(&self, request: &Request<Incoming>) -> Answer {
        let header =
            |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
        // HTTP/2 names the host in the URL.
        let host = request.uri().authority().map(|authority| authority.as_str()).or(header(HOST.as_str()));
        if !host.is_none_or(|host| is_known(host, &self.args.allow_host)) {
            let why = "name this host by its address, or see --allow-host";
            return text(StatusCode::MISDIRECTED_REQUEST, why);
        }
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
        }
        // Browsers say so of what pages of other sites request. They can't read the answer, but could hold streams.
        let is_of_other_site = matches!(header("sec-fetch-site"), Some("cross-site" | "same-site"));
        let query = request.uri().query().unwrap_or_default();
        match request.uri().path() {
            "/" => page(),
            "/events" | "/tasks" if is_of_other_site => {
                text(StatusCode::FORBIDDEN, "only the page of this monitor may ask for that")
            }
            "/events" => self.events(query),
            "/tasks" => self.tasks(query),
            "/healthz" => text(StatusCode::OK, "ok"),
            path @ ("/metrics" | "/readyz" | "/snapshot.json") => self.look(path),
            _ => {
                text(StatusCode::NOT_FOUND, "try / for a page, /metrics, /healthz, /readyz or /snapshot.json")
            }
        }
    }

    /// Answers with a look of this moment.
    fn look(&self, path: &str) -> Answer {
        match (Eyes::default().look(&self.args.pids), path) {
            (Ok(seen), "/metrics") => match metrics::text(&seen) {
                Ok(body) => answer(StatusCode::OK, metrics::TYPE, body),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            (Ok(seen), "/readyz") if metrics::is_ready(&seen) => text(StatusCode::OK, "ready"),
            (Ok(_), "/readyz") => {
                text(StatusCode::SERVICE_UNAVAILABLE, "not ready: no loop, or one that drains")
            }
            (Ok(seen), _) => snapshots(&seen),
            (Err(error), _) => text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }

    /// Answers with a stream of events about the loop that the query names.
    fn events(&self, query: &str) -> Answer {
        let choice = match Choice::parse(query) {
            Ok(choice) => choice,
            Err(why) => return text(StatusCode::BAD_REQUEST, &why),
        };
        match self.hub.watch(self.handle, choice) {
            Ok(viewer) => {
                let mut answer = Response::new(Body::Events(viewer));
                mark(&mut answer, "text/event-stream");
                answer
            }
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    }

    /// Answers with the tasks that the query asks for, of the look that the viewers see.
    fn tasks(&self, query: &str) -> Answer {
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(why) => return text(StatusCode::BAD_REQUEST, &why),
        };
        let found = self.hub.look(|number, seen| {
            let seen = seen.iter().find(|seen| LoopKey::of(seen) == query.of)?;
            Some(tasks_page::json(number, &seen.snapshot, &query))
        });
        match found {
            Some(Ok(body)) => answer(StatusCode::OK, "application/json", body),
            Some(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            None => text(StatusCode::NOT_FOUND, "this loop is not seen: it has ended, or has not begun"),
        }
    }
}

fn snapshots(seen: &[Seen]) -> Answer {
    let all: Vec<_> = seen.iter().map(|seen| SnapshotJson::new(&seen.snapshot)).collect();
    match serde_json::to_string(&all) {
        Ok(body) => answer(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn page() -> Answer {
    let page = page::page();
    let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", page.html.as_str());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, page.policy.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

fn text(status: StatusCode, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<hyper::body::Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    *answer.status_mut() = status;
    mark(&mut answer, content_type);
    answer
}

fn mark(answer: &mut Answer, content_type: &'static str) {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
