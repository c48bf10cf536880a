//! The examples that speak HTTP and TLS, tested with clients that people use: curl, OpenSSL and h2load.

#![cfg(unix)]

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use sinbin_tests::{Client, Directory, Running, Server, example, noise};

/// Issues a certificate for localhost, and returns the files of the certificate and of its key.
fn issue_certificate(dir: &Directory, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let text = |path: PathBuf| path.to_str().expect("text").to_owned();
    (text(dir.write("cert.pem", certificate.pem())), text(dir.write("key.pem", key.serialize_pem())))
}

/// The tools that the tests need, and their packages.
const TOOLS: [(&str, &str); 3] = [("curl", "curl"), ("openssl", "openssl"), ("h2load", "nghttp2-client")];

/// Returns true if a test cannot run here, because one of its tools is not installed, and writes the name of the package
/// directly to stderr, which bypasses the capture of a test's output. With `SINBIN_ALL_HOSTS=1`, as in `.ci/run`, that is
/// a failure.
fn lacks(tools: &[&str]) -> bool {
    let is_missing = |tool: &&(&str, &str)| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        tools.contains(&tool.0) && !std::env::split_paths(&path).any(|dir| dir.join(tool.0).is_file())
    };
    let Some((tool, package)) = TOOLS.iter().find(is_missing) else { return false };
    let why = format!("{tool} is missing, of the package {package}: .ci/tools installs it");
    assert!(std::env::var_os("SINBIN_ALL_HOSTS").is_none_or(|all| all != "1"), "{why}");
    writeln!(std::io::stderr(), "skipped: {why}").ok();
    true
}

/// Runs a tool with `input`.
fn run(tool: &str, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(tool);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {tool}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("it ends")
    })
}

fn curl(args: &[&str]) -> Output {
    // Without the user's settings.
    let common = ["--disable", "--silent", "--show-error", "--max-time", "120", "--noproxy", "*"];
    run("curl", &[&common[..], args].concat(), b"")
}

/// Runs curl, and returns what it prints to stdout.
fn fetch(args: &[&str]) -> String {
    let output = curl(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts an example with arguments before its address.
fn start(name: &str, args: &[&str]) -> Server {
    let mut program = example(name);
    program.args(args);
    Server::of(program)
}

/// Starts the server of the files in `dir`.
fn files(dir: &Directory) -> Server {
    start("static_files", &[dir.path().to_str().expect("text")])
}

fn url(scheme: &str, server: &Server, path: &str) -> String {
    format!("{scheme}://{}{path}", server.address())
}

#[test]
fn static_files_are_served_by_both_versions_of_http() {
    if lacks(&["curl"]) {
        return;
    }
    let dir = Directory::new("web");
    let bytes = noise(1 << 20);
    dir.write("noise.bin", &bytes);
    dir.write("index.html", "<p>hello</p>\n");
    fs::create_dir(dir.join("empty dir")).expect("a directory");
    dir.write("empty dir/empty.txt", "");
    let server = files(&dir);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let output = curl(&[version, &url("http", &server, "/noise.bin")]);
        assert!(output.stdout == bytes, "{version}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fetch(&[version, &url("http", &server, "/")]), "<p>hello</p>\n");
        let head = fetch(&[version, "--head", &url("http", &server, "/noise.bin")]).to_lowercase();
        assert!(head.contains("content-length: 1048576"), "{head}");
        assert_eq!(fetch(&[version, &url("http", &server, "/empty%20dir/empty.txt")]), "");
        for missing in ["/nothing", "/empty%20dir", "/%00", "/%zz", "/empty%20dir/"] {
            let status = fetch(&[version, "--write-out", "%{http_code}", &url("http", &server, missing)]);
            assert_eq!(status, "404 Not Found\n404", "{missing}");
        }
        // Without a body: a server that answers before it has read the body resets the stream of HTTP/2, which curl may
        // see before the answer.
        let status = fetch(&[version, "-X", "POST", "-w", "%{http_code}", &url("http", &server, "/")]);
        assert_eq!(status, "405 Method Not Allowed\n405");
    }
}

#[test]
fn static_files_do_not_leave_their_directory() {
    let dir = Directory::new("web");
    let inside = dir.join("inside");
    fs::create_dir(&inside).expect("a directory");
    dir.write("secret", "secret");
    std::os::unix::fs::symlink(dir.join("secret"), inside.join("link")).expect("a link");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        inside.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a FIFO");
    let server = start("static_files", &[inside.to_str().expect("text")]);
    for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "//../secret", "/link", "/fifo"] {
        let answer = server.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

/// Two requests to a server, of which a proxy in front of it might see one.
#[test]
fn requests_that_smuggle_others_are_refused() {
    let dir = Directory::new("web");
    dir.write("index.html", "hello");
    let server = files(&dir);
    let proxy = start("reverse_proxy", &[&server.address().to_string()]);
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "X: a\r\n folded",
        "X: a\rb",
        "X\0: a",
    ] {
        for server in [&server, &proxy] {
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n0\r\n\r\n{hidden}");
            let answer = server.ask(request);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
        }
    }
    for chunks in ["x\r\n", "5;\r\nhello", "-1\r\n", "fffffffffffffffff\r\n", "5\r\nhelloX\r\n0\r\n\r\n"] {
        for server in [&server, &proxy] {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let answer = server.ask(format!("{head}{chunks}{hidden}"));
            assert!(!answer.contains("404"), "{chunks:?}: the hidden request is not answered: {answer}");
        }
    }
}

/// A target that shows what the proxy sends.
fn show(listener: &std::net::TcpListener) -> (Client, String) {
    let (stream, _) = listener.accept().expect("a connection");
    let mut client = Client::over(stream);
    let mut head = String::new();
    loop {
        let line = client.line();
        head = head + &line + "\n";
        if line == "\r" {
            return (client, head.to_lowercase());
        }
    }
}

#[test]
fn a_reverse_proxy_forwards_one_request_however_it_is_framed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = start("reverse_proxy", &[&listener.local_addr().expect("an address").to_string()]);
    let mut client = proxy.client();
    client.send(
        "POST http://host.example/path?query HTTP/1.1\r\nHost: other\r\nContent-Length: 4\r\n\
         Transfer-Encoding: chunked\r\nConnection: close, X-Private\r\nX-Private: 1\r\nUpgrade: x\r\nTE: gzip\r\n\r\n\
         2\r\nab\r\n0\r\n\r\n",
    );
    let (mut target, head) = show(&listener);
    assert!(head.starts_with("post /path?query http/1.1\r\n"), "{head}");
    assert!(head.contains("host: host.example\r\n") && !head.contains("other"), "{head}");
    assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
    for removed in ["private", "upgrade", "te: gzip", "close"] {
        assert!(!head.contains(removed), "{head}");
    }
    assert_eq!(target.bytes(12), b"2\r\nab\r\n0\r\n\r\n");
    target.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: 5\r\nX-Kept: 1\r\n\r\nok");
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.contains("x-kept: 1") && !answer.contains("keep-alive"), "{answer}");
}

#[test]
fn a_reverse_proxy_survives_the_end_of_its_target() {
    if lacks(&["curl"]) {
        return;
    }
    let dir = Directory::new("web");
    dir.write("index.html", "hello");
    let server = files(&dir);
    let target = server.address();
    let proxy = start("reverse_proxy", &[&target.to_string()]);
    let address = url("http", &proxy, "/");
    assert_eq!(fetch(&[&address, &address]), "hellohello");
    assert_eq!(server.stop().code, Some(0), "it ends although the proxy is connected");
    assert_eq!(fetch(&["-w", "%{http_code}", &address]), "502 Bad Gateway\n502");
    let ended = proxy.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains(&format!("{target}: ")), "{}", ended.stderr);
}

#[test]
fn a_reverse_proxy_with_tls_negotiates_the_version() {
    if lacks(&["curl"]) {
        return;
    }
    let dir = Directory::new("web");
    let bytes = noise(1 << 20);
    dir.write("noise.bin", &bytes);
    let (certificate, key) = issue_certificate(&dir, |_| {});
    let server = files(&dir);
    let proxy = start("reverse_proxy", &["--tls", &certificate, &key, &server.address().to_string()]);
    let port = proxy.address().port();
    let address = format!("https://localhost:{port}/noise.bin");
    for (version, expected) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let args = [version, "--cacert", &certificate, "--ipv4", &*address];
        let output = curl(&args);
        assert!(output.stdout == bytes, "{version}: {}", String::from_utf8_lossy(&output.stderr));
        let version = fetch(&[&args[..], &["-o", "/dev/null", "-w", "%{http_version}"]].concat());
        assert_eq!(version, expected);
    }
    // Without the authority, the certificate is refused.
    let refused = curl(&["--ipv4", &address]);
    assert_eq!(refused.status.code(), Some(60), "{}", String::from_utf8_lossy(&refused.stderr));
    let ended = proxy.stop();
    assert_eq!(ended.code, Some(0));
}

/// The summary of h2load.
fn h2load(args: &[&str]) -> String {
    let output = run("h2load", args, b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn many_streams_are_served_by_http2_with_and_without_tls() {
    if lacks(&["h2load"]) {
        return;
    }
    let dir = Directory::new("web");
    dir.write("index.html", "x".repeat(10_000));
    let (certificate, key) = issue_certificate(&dir, |_| {});
    let server = files(&dir);
    let proxy = start("reverse_proxy", &["--tls", &certificate, &key, &server.address().to_string()]);
    let load = ["-n2000", "-c10", "-m20", "-t1"];
    for (address, protocol) in [
        (url("http", &server, "/"), "--no-tls-proto=h2c"),
        (url("http", &server, "/"), "--h1"),
        (url("https", &proxy, "/"), "--npn-list=h2"),
    ] {
        let said = h2load(&[&load[..], &[protocol, &address]].concat());
        assert!(said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("status codes: 2000 2xx"), "{said}");
    }
}

/// Runs `openssl s_client`, which sends `input` and prints what it receives.
fn s_client(address: SocketAddr, args: &[&str], input: &[u8]) -> Output {
    let address = address.to_string();
    let args = [&["s_client", "-connect", &address, "-quiet", "-no_ign_eof"], args].concat();
    run("openssl", &args, input)
}

/// Starts a terminator in front of the example `upper`.
fn terminator(certificate: &str, key: &str) -> (Server, Server) {
    let upper = Server::example("upper");
    let terminator = start("tls_terminator", &[certificate, key, &upper.address().to_string()]);
    (terminator, upper)
}

#[test]
fn a_terminator_serves_openssl_with_both_versions_of_tls() {
    if lacks(&["openssl"]) {
        return;
    }
    let dir = Directory::new("web");
    let (certificate, key) = issue_certificate(&dir, |_| {});
    let (terminator, _upper) = terminator(&certificate, &key);
    for version in ["-tls1_2", "-tls1_3"] {
        let args = [version, "-CAfile", &certificate, "-verify_return_error", "-servername", "localhost"];
        let address = terminator.address().to_string();
        let args = [&["s_client", "-connect", &address, "-quiet", "-ign_eof"], &args[..]].concat();
        // The client ends when the server announces the end: the last line asks for it.
        let mut command = Command::new("openssl");
        command.args(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl can be run");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdin.write_all(b"hello\n").expect("it reads");
        let mut answer = [0; 9];
        std::io::Read::read_exact(&mut stdout, &mut answer).expect("an answer");
        assert_eq!(&answer, b"HELLO\n_SB");
        child.kill().expect("it can be ended");
        child.wait().expect("it ends");
    }
}

#[test]
fn a_terminator_refuses_clients_that_do_not_speak_tls_and_names_them() {
    if lacks(&["curl", "openssl"]) {
        return;
    }
    let dir = Directory::new("web");
    let (certificate, key) = issue_certificate(&dir, |_| {});
    let (terminator, _upper) = terminator(&certificate, &key);
    let mut client = terminator.client();
    let peer = client.stream().local_addr().expect("an address");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // An alert, and the end.
    assert!(client.rest().starts_with('\u{15}'));
    terminator.logs(&format!("{peer} does not speak TLS: its first bytes are"));
    let refused = curl(&["https://localhost", "--connect-to", &format!("::{}", terminator.address())]);
    assert_eq!(refused.status.code(), Some(60), "curl does not trust the certificate");
    terminator.logs("the peer does not trust the authority that has issued this side's certificate");
    // A client that says nothing, and one that leaves, do not matter to the next.
    let _silent = terminator.client();
    drop(terminator.client());
    let args = ["-CAfile", &*certificate, "-verify_return_error"];
    let output = s_client(terminator.address(), &args, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_expired_certificate_is_a_warning_and_one_with_the_wrong_key_an_error() {
    if lacks(&["openssl"]) {
        return;
    }
    let dir = Directory::new("web");
    let (certificate, key) = issue_certificate(&dir, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let (terminator, _upper) = terminator(&certificate, &key);
    terminator.logs("peers will refuse the certificate: certificate expired");
    let output = s_client(terminator.address(), &["-CAfile", &certificate, "-verify_return_error"], b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("certificate has expired"), "{said}");
    terminator.logs("; renew this side's certificate");
    let other = Directory::new("web");
    let (other, _) = issue_certificate(&other, |_| {});
    let mut program = example("tls_terminator");
    program.args([&*other, &key, "127.0.0.1:1", "127.0.0.1:0"]);
    let ended = Running::start(program).wait();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("cannot read certificates") || ended.stderr.contains("does not belong"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_router_of_axum_is_served_by_both_versions_of_http() {
    if lacks(&["curl"]) {
        return;
    }
    let server = Server::example("axum");
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    for (version, guest) in [("--http1.1", 1), ("--http2-prior-knowledge", 2)] {
        let get = |path: &str| fetch(&[version, &url("http", &server, path)]);
        assert_eq!(get("/hello/w%C3%B6rld"), format!("hello wörld, guest {guest}\n"));
        assert_eq!(fetch(&[version, "--data", "echo", &url("http", &server, "/shout")]), "ECHO");
        for (path, code) in [("/missing", "404"), ("/shout", "405"), ("/hello/%ff", "400")] {
            assert_eq!(
                fetch(&[&[version][..], &status, &[&url("http", &server, path)]].concat()),
                code,
                "{path}"
            );
        }
    }
    // The limit of a body, and one that is no text.
    for (body, code) in
        [(vec![b'x'; 64 * 1024], "200"), (vec![b'x'; 64 * 1024 + 1], "413"), (vec![0xff], "400")]
    {
        let args = [
            &status[..],
            &["--disable", "--silent", "--data-binary", "@-"],
            &[&url("http", &server, "/shout")],
        ];
        let answered = run("curl", &args.concat(), &body);
        assert_eq!(String::from_utf8_lossy(&answered.stdout), code, "{} bytes", body.len());
    }
    assert_eq!(server.stop().code, Some(0));
}
