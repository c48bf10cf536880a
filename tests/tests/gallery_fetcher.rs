//! The example that fetches URLs, against servers that behave and others.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sinbin_tests::{Directory, Ended, Running, Server, example};

/// Runs the fetcher to its end.
fn fetch<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ended {
    let mut program = example("fetcher");
    program.args(arguments);
    Running::start(program).wait()
}

/// The lines in their alphabetical order: responses come in any.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn files_are_fetched_by_http_and_https() {
    let dir = Directory::new("fetch");
    dir.write("index.html", "hello");
    dir.write("large.bin", vec![0; 1 << 20]);
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = dir.write("cert.pem", issued.cert.pem()).display().to_string();
    let key = dir.write("key.pem", issued.signing_key.serialize_pem()).display().to_string();
    let mut program = example("static_files");
    program.arg(dir.path());
    let plain = Server::of(program);
    let mut program = example("reverse_proxy");
    program.args(["--tls", &certificate, &key, &plain.address().to_string()]);
    let encrypted = Server::of(program);
    let bases =
        [format!("http://{}", plain.address()), format!("https://localhost:{}", encrypted.address().port())];
    let paths = ["/", "/large.bin", "/?query", ""];
    let urls: Vec<_> = bases.iter().flat_map(|base| paths.map(|path| format!("{base}{path}"))).collect();
    let ended = fetch(["--ca", &certificate].into_iter().chain(urls.iter().map(String::as_str)));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let size = |url: &str| if url.ends_with("bin") { 1 << 20 } else { 5 };
    let expected: Vec<_> = urls.iter().map(|url| format!("200 {} {url}", size(url))).collect();
    assert_eq!(sorted(&ended.stdout), sorted(&expected.join("\n")));
    // Another authority, another name, and a file that does not exist.
    let name = format!("https://127.0.0.1:{}/", encrypted.address().port());
    let missing = format!("{}/missing", bases[0]);
    let ended = fetch(["--ca", &certificate, &name, &missing, &urls[0]]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(sorted(&ended.stdout), [format!("200 5 {}", urls[0]), format!("404 14 {missing}")]);
    assert!(ended.stderr.starts_with(&format!("{name}: ")), "{}", ended.stderr);
}

/// Starts a server that passes each connection to `serve`, and returns its URL.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}/")
}

/// Reads the head of a request. Returns false at the end.
fn has_request(stream: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
        if line.ends_with("\r\n\r\n") {
            return true;
        }
    }
    false
}

/// Connections are used again, and a request on a connection that is closed meanwhile is sent on another.
#[test]
fn connections_are_used_again_until_the_server_closes_them() {
    const URLS: usize = 60;
    let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let counted = Arc::clone(&counts);
    let url = server(move |stream| {
        counted[0].fetch_add(1, Ordering::SeqCst);
        let mut stream = BufReader::new(stream);
        for _ in 0..3 {
            if !has_request(&mut stream) {
                return;
            }
            counted[1].fetch_add(1, Ordering::SeqCst);
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok();
        }
    });
    let ended = fetch([&*url; URLS]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(ended.stdout, format!("200 2 {url}\n").repeat(URLS));
    let [connections, requests] = [0, 1].map(|index| counts[index].load(Ordering::SeqCst));
    assert_eq!(requests, URLS);
    assert!((URLS / 3..URLS).contains(&connections), "{connections} connections");
}

#[test]
fn servers_that_fail_are_named() {
    let answer = |answer: &'static str| {
        server(move |stream| {
            let mut stream = BufReader::new(stream);
            has_request(&mut stream);
            stream.get_mut().write_all(answer.as_bytes()).ok();
        })
    };
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
    let urls = [
        answer(""),
        answer("SSH-2.0-example\r\n"),
        answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
        answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        format!("http://{closed}/"),
        "http://name.invalid/".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        "/path".to_owned(),
        "http://[::1".to_owned(),
    ];
    let ended = fetch(urls.iter().map(String::as_str));
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    for url in urls {
        assert!(ended.stderr.lines().any(|line| line.starts_with(&format!("{url}: "))), "{}", ended.stderr);
    }
    // A response without a length ends with the connection.
    let url = answer("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    assert_eq!(fetch([&*url]).stdout, format!("200 13 {url}\n"));
}
