//! Redirects are decisions.

use sinbin_crawl::{Error, Settings, parse_seed};

use crate::site::{Web, crawl, links, redirect, report, settings, status};

fn no_robots() -> Settings {
    Settings { robots: false, ..settings() }
}

fn error_of(location: &str) -> Option<Error> {
    let mut web = Web::new([("/", redirect(location))]);
    let (_, reports) = crawl(no_robots(), &mut web);
    assert_eq!(web.log.len(), 1, "{location} is not followed");
    report(&reports, "/").error.clone()
}

#[test]
fn redirects_stay_in_scope() {
    assert_eq!(error_of("file:///etc/passwd"), Some(Error::RedirectScheme("file".into())));
    assert_eq!(error_of("JavaScript:alert(1)"), Some(Error::RedirectScheme("javascript".into())));
    assert_eq!(error_of("http://b.example/"), Some(Error::RedirectOutOfScope));
    assert_eq!(error_of("http://"), Some(Error::RedirectInvalid));
    for address in ["127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:10.0.0.1]"] {
        let error = error_of(&format!("http://{address}/"));
        assert!(matches!(error, Some(Error::RedirectPrivate(_))), "{error:?}");
    }
    // Other spellings of 127.0.0.1.
    for address in ["2130706433", "0x7f.1", "017700000001", "127.1"] {
        assert_eq!(error_of(&format!("http://{address}/")), Some(Error::RedirectPrivate("127.0.0.1".into())));
    }
    assert_eq!(error_of("#top"), Some(Error::RedirectLoop));
}

#[test]
fn a_private_address_that_is_followed_everywhere_is_still_private() {
    let follow =
        |host: &str| Settings { follow_hosts: vec![host.parse().expect("a pattern")], ..no_robots() };
    let requests = |settings| {
        let mut web = Web::new([("/", redirect("http://10.0.0.1:8080/x"))]);
        crawl(settings, &mut web);
        web.log.len()
    };
    assert_eq!(
        [requests(follow("*")), requests(follow("10.0.0.1:81")), requests(follow("10.0.0.1"))],
        [1, 1, 2]
    );
}

#[test]
fn a_seed_with_a_private_address_stays_at_its_port() {
    let settings =
        Settings { robots: false, ..Settings::new([parse_seed("127.0.0.1:8080").expect("a URL")]) };
    let mut web = Web::new([
        ("http://127.0.0.1:8080/", links(["/a", "http://127.0.0.1:22/", "http://localhost:8080/"])),
        ("http://127.0.0.1:8080/a", redirect("http://127.0.0.1:6379/")),
    ]);
    let (crawl, reports) = crawl(settings, &mut web);
    assert_eq!((web.log.len(), crawl.summary().skipped.private, crawl.summary().skipped.external), (2, 1, 1));
    assert!(matches!(report(&reports, "http://127.0.0.1:8080/a").error, Some(Error::RedirectPrivate(_))));
}

#[test]
fn only_named_hosts_may_resolve_to_private_addresses() {
    let settings = Settings { follow_hosts: vec!["*".parse().expect("a pattern")], ..no_robots() };
    let mut crawl = sinbin_crawl::Crawl::new(settings);
    let mut permitted = Vec::new();
    let mut web = Web::new([("/", links(["http://b.example/"]))]);
    while let sinbin_crawl::Next::Fetch(fetch) = crawl.next(std::time::Duration::ZERO) {
        permitted.push(
            ["127.0.0.1", "1.1.1.1"].map(|address| fetch.permits(address.parse().expect("an address"))),
        );
        web.answer(&mut crawl, &fetch, std::time::Duration::ZERO);
    }
    assert_eq!(permitted, [[true, true], [false, true]]);
}

#[test]
fn a_loop_is_found_however_it_is_entered() {
    let loop_of = |pages: Web| {
        let mut web = pages;
        let (crawl, reports) = crawl(no_robots(), &mut web);
        let loops = reports.iter().filter(|report| report.error == Some(Error::RedirectLoop)).count();
        assert_eq!(crawl.summary().broken, 1);
        (loops, web.log.len())
    };
    assert_eq!(loop_of(Web::new([("/", redirect("/"))])), (1, 1));
    assert_eq!(
        loop_of(Web::new([("/", redirect("/a")), ("/a", redirect("/b")), ("/b", redirect("/"))])),
        (1, 3)
    );
    // Both pages are known as links before they redirect to each other.
    let web = Web::new([("/", links(["/a", "/b"])), ("/a", redirect("/b")), ("/b", redirect("/a"))]);
    assert_eq!(loop_of(web), (1, 3));
    let web = Web::new([("/", links(["/b", "/a"])), ("/a", redirect("b#x")), ("/b", redirect("a#y"))]);
    assert_eq!(loop_of(web), (1, 3));
}

#[test]
fn redirects_in_a_row_are_limited() {
    let mut web = Web::default();
    for number in 0..30 {
        let from = if number == 0 { "/".to_owned() } else { format!("/{number}") };
        web = web.then(&from, redirect(&format!("/{}", number + 1)));
    }
    let (_, reports) = crawl(Settings { max_redirects: 4, ..no_robots() }, &mut web);
    assert_eq!(web.log.len(), 5);
    assert_eq!(report(&reports, "/4").error, Some(Error::TooManyRedirects(4)));
    assert_eq!(report(&reports, "/1").redirect.as_ref().map(|url| url.path()), Some("/2"));
    assert_eq!(report(&reports, "/4").depth, 0);
}

#[test]
fn a_redirect_to_a_known_page_is_no_error() {
    let mut web = Web::new([("/", links(["/a", "/b"])), ("/a", redirect("/b")), ("/b", links(["/c"]))]);
    let (crawl, reports) = crawl(no_robots(), &mut web);
    assert_eq!(web.log.len(), 4);
    assert!(report(&reports, "/a").error.is_none() && !report(&reports, "/a").is_broken());
    assert_eq!(crawl.summary().statuses, [0, 2, 1, 1, 0, 0]);
}

#[test]
fn credentials_are_removed_and_never_reported() {
    let secret = "http://me:hunter2@a.example/b";
    let mut web = Web::new([
        ("/", links([secret, "http://me@b.example/"])),
        ("/b", redirect("http://x:hunter2@a.example/c")),
    ]);
    let (crawl, reports) =
        crawl(Settings { list_links: true, check_external: true, ..no_robots() }, &mut web);
    assert_eq!(crawl.summary().skipped.credentials, 3);
    assert!(web.log.iter().any(|(_, url)| url == "http://a.example/c"));
    let mut state = Vec::new();
    crawl.save(&mut state).expect("memory");
    let told = format!("{reports:?} {crawl:?} {:?} {}", web.log, String::from_utf8_lossy(&state));
    assert!(!told.contains("hunter2") && !told.contains("me@"), "{told}");

    let error = parse_seed("http://me:hunter2@a.example/").expect_err("no seed").to_string();
    assert!(!error.contains("hunter2") && error.contains("a.example"), "{error}");
    for text in ["http://me:hunter2@/", "http://me:hunter2@a.example:x/"] {
        assert!(!parse_seed(text).expect_err("no URL").to_string().contains("hunter2"));
    }
}

#[test]
fn a_location_in_another_encoding_keeps_its_bytes() {
    let mut crawl = sinbin_crawl::Crawl::new(no_robots());
    let now = std::time::Duration::ZERO;
    let sinbin_crawl::Next::Fetch(fetch) = crawl.next(now) else { panic!("a request") };
    let response = sinbin_crawl::Response { status: 302, location: Some(b"/caf\xe9"), ..Default::default() };
    let report = crawl.finished(fetch.id, sinbin_crawl::Outcome::Response(response), now).expect("a report");
    assert_eq!(report.redirect.map(|url| url.to_string()).as_deref(), Some("http://a.example/caf%E9"));
}

#[test]
fn a_redirect_without_location_is_invalid() {
    let mut web = Web::new([("/", status(301, &[]))]);
    let (_, reports) = crawl(no_robots(), &mut web);
    assert_eq!(report(&reports, "/").error, Some(Error::RedirectInvalid));
    assert!(report(&reports, "/").is_broken());
}
