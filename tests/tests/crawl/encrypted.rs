//! Sites with TLS, by HTTP/2 and HTTP/1.1.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sinbin::Settings;
use sinbin::hyper::Server;
use sinbin::task::Error;
use sinbin::tls::{Identity, TlsAcceptor};

use crate::lines::{crawl, objects};
use crate::web::links;

/// The number of pages besides the first one.
const PAGES: usize = 300;

/// Answers with a page, whose title is the version of HTTP.
async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let title = if request.version() == Version::HTTP_2 { "two" } else { "one" };
    let links = match request.uri().path() {
        "/" => links((0..PAGES).map(|number| format!("/{number}"))),
        _ => String::new(),
    };
    let page = format!("<title>{title}</title>{links}");
    let response = Response::builder().header("content-type", "text/html").body(Bytes::from(page).into());
    Ok(response.expect("valid"))
}

/// Starts a server whose certificate is for `name`, and returns its address and the file of the authority.
fn start(name: &str, alpn: &'static [&'static str]) -> (SocketAddr, PathBuf) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("valid");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = certificate.signed_by(&key, &authority).expect("valid");
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    let acceptor =
        TlsAcceptor::builder(identity.expect("valid")).alpn(alpn.iter().copied()).build().expect("valid");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, addresses) = channel();
    thread::spawn(move || {
        let bound = listener.local_addr().expect("an address");
        Settings::default().serve(
            [listener],
            |_| address.send(bound).expect("the test waits"),
            async |conn| {
                let conn = acceptor.accept(conn).await.map_err(|_| Error::Protocol)?;
                Server::new(conn.handle()).serve(conn, service_fn(page)).await.ok();
                Ok::<_, Error>(())
            },
        )
    });
    let address = addresses.recv().expect("it listens");
    let file =
        std::env::temp_dir().join(format!("sinbin-crawl-{}-{}.pem", std::process::id(), address.port()));
    std::fs::write(&file, authority.pem()).expect("a file");
    (address, file)
}

#[test]
fn pages_are_fetched_by_the_version_that_the_server_prefers() {
    for (alpn, title) in [(&["h2", "http/1.1"][..], "two"), (&["http/1.1"], "one"), (&[], "one")] {
        let (address, authority) = start("localhost", alpn);
        let url = format!("https://localhost:{}/", address.port());
        let authority = authority.to_str().expect("UTF-8");
        let ended = crawl(&["--ca", authority, "--no-robots", "--per-host", "64", &url]);
        let objects = objects(&ended);
        assert_eq!((objects.len(), ended.code), (PAGES + 1, Some(0)), "{}", ended.stderr);
        assert!(objects.values().all(|object| object["title"] == title), "{}", ended.stdout);
        std::fs::remove_file(authority).expect("it exists");
    }
}

#[test]
fn certificates_that_are_not_trusted_are_errors_with_advice() {
    let (address, authority) = start("other.example", &["h2"]);
    let url = format!("https://localhost:{}/", address.port());
    // The authority is unknown.
    let ended = crawl(&["--no-robots", "--retries", "0", &url]);
    let object = &objects(&ended)[&url];
    assert_eq!(object["error_kind"], "TLS failed", "{object}");
    assert!(object["error"].as_str().expect("a text").contains("localhost"), "{object}");
    // The certificate is for another name.
    let authority = authority.to_str().expect("UTF-8");
    let ended = crawl(&["--no-robots", "--retries", "0", "--ca", authority, &url]);
    let object = &objects(&ended)[&url];
    assert_eq!(object["error_kind"], "TLS failed", "{object}");
    assert!(object["error"].as_str().expect("a text").contains("not valid for"), "{object}");
    std::fs::remove_file(authority).expect("it exists");
    // The file of the authority is missing.
    let ended = crawl(&["--ca", authority, &url]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(authority), "{}", ended.stderr);
}

#[test]
fn a_server_without_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
            io::copy(&mut stream, &mut io::sink()).ok();
        }
    });
    let object = &objects(&crawl(&["--no-robots", "--retries", "0", &url]))[&url];
    assert_eq!(object["error_kind"], "TLS failed", "{object}");
    assert!(object["error"].as_str().expect("a text").contains("does not speak TLS"), "{object}");
}
