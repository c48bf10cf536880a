//! robots.txt, delays and repeated requests.

use std::time::Duration;

use sinbin_crawl::{Crawl, Error, Failure, FailureKind, Kind, Next, Report, Settings};

use crate::site::{Answer, Web, crawl, finish, links, redirect, report, run, settings, status, text};

const SECOND: Duration = Duration::from_secs(1);

/// Crawls two pages below this robots.txt, and returns the requests for pages and the reports.
fn with_robots(answer: Answer) -> (Vec<String>, Vec<Report>) {
    let mut web = Web::new([("/robots.txt", answer), ("/", links(["/a"]))]);
    let (_, reports) = crawl(settings(), &mut web);
    (web.pages().iter().map(|url| (*url).to_owned()).collect(), reports)
}

#[test]
fn the_status_of_robots_txt_decides() {
    for (answer, pages) in [
        (text("user-agent: *\ndisallow: /a"), 1),
        (text("user-agent: *\ndisallow: /"), 0),
        (text("user-agent: other\ndisallow: /\n\nuser-agent: Sinbin\ndisallow: /b"), 2),
        (status(404, &[]), 2),
        (status(403, &[]), 2),
        (status(429, &[]), 0),
        (status(500, &[]), 0),
        (status(503, &[]), 0),
        (Answer::Failure(FailureKind::Connect), 0),
        (Answer::Failure(FailureKind::Tls), 0),
        (redirect("file:///x"), 2),
        (redirect("http://10.0.0.1/"), 2),
        (redirect("/robots.txt"), 2),
    ] {
        let (found, reports) = with_robots(answer.clone());
        assert_eq!(found.len(), pages, "{answer:?}: {reports:?}");
        let refused = reports.iter().filter(|report| report.kind == Kind::Page && report.attempts == 0);
        assert_eq!(refused.count(), usize::from(pages < 2), "each page has a report");
    }
}

#[test]
fn a_refused_page_says_why() {
    let (_, reports) = with_robots(Answer::Failure(FailureKind::Connect));
    let failure = Failure::new(FailureKind::Connect, "robots.txt: not connected");
    assert_eq!(report(&reports, "/").error, Some(Error::Failed(failure)));
    assert!(report(&reports, "/").is_broken());
    assert_eq!(report(&reports, "/robots.txt").attempts, 3);
    let (_, reports) = with_robots(status(500, &[]));
    assert_eq!(report(&reports, "/").error, Some(Error::RobotsUnreachable("status 500".into())));
    assert!(!report(&reports, "/").is_broken());
    let (_, reports) = with_robots(text("user-agent: *\ndisallow: /"));
    assert_eq!(report(&reports, "/").error, Some(Error::Robots));
    assert!(!report(&reports, "/").is_broken());
}

#[test]
fn robots_txt_can_be_redirected() {
    let mut web = Web::new([
        ("/robots.txt", redirect("http://b.example/r")),
        ("http://b.example/r", text("user-agent: *\ndisallow: /a")),
        ("/", links(["/a"])),
    ]);
    let (_, reports) = crawl(settings(), &mut web);
    assert_eq!(web.pages(), ["http://a.example/"]);
    assert_eq!(report(&reports, "/a").error, Some(Error::Robots));
}

#[test]
fn robots_txt_is_ignored_if_the_settings_say_so() {
    let mut web = Web::new([("/robots.txt", text("user-agent: *\ndisallow: /")), ("/", links(["/a"]))]);
    crawl(Settings { robots: false, ..settings() }, &mut web);
    assert_eq!(web.log.len(), 2);
}

#[test]
fn each_host_has_its_own_robots_txt() {
    let mut web = Web::new([
        ("/robots.txt", text("user-agent: *\ndisallow: /x")),
        ("/", links(["/x", "http://b.example/x"])),
        ("http://b.example/robots.txt", text("user-agent: *\ndisallow: /y")),
        ("http://b.example/x", links(["/y", "https://b.example/y"])),
    ]);
    crawl(Settings { follow_hosts: vec!["b.example".parse().expect("a pattern")], ..settings() }, &mut web);
    assert_eq!(web.pages(), ["http://a.example/", "http://b.example/x", "https://b.example/y"]);
    assert_eq!(web.log.iter().filter(|(kind, _)| *kind == Kind::Robots).count(), 3);
}

/// Returns the times at which the requests begin, if each takes no time.
fn times(settings: Settings, web: &mut Web) -> Vec<Duration> {
    let mut crawl = Crawl::new(settings);
    let (mut now, mut times) = (Duration::ZERO, Vec::new());
    loop {
        match crawl.next(now) {
            Next::Fetch(fetch) => {
                times.push(now);
                web.answer(&mut crawl, &fetch, now);
            }
            Next::Report(_) => {}
            Next::Wait(time) => now = time.expect("a time"),
            Next::Done => return times,
        }
    }
}

#[test]
fn requests_keep_the_longer_delay() {
    let web = |delay: &str| {
        Web::new([
            ("/robots.txt", text(format!("user-agent: *\ncrawl-delay: {delay}"))),
            ("/", links(["/a", "/b"])),
        ])
    };
    let of = |delay: &str, settings| {
        times(settings, &mut web(delay)).into_iter().map(|time| time.as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(of("2", settings()), [0, 2, 4, 6]);
    assert_eq!(of("2", Settings { delay: 3 * SECOND, ..settings() }), [0, 3, 6, 9]);
    assert_eq!(of("1000000", settings()), [0, 30, 60, 90]);
    assert_eq!(of("x", settings()), [0, 0, 0, 0]);
}

#[test]
fn hosts_do_not_wait_for_each_other() {
    let mut web = Web::new([("/", links(["/a", "http://b.example/", "http://b.example/c"]))]);
    let polite = Settings {
        delay: SECOND,
        robots: false,
        follow_hosts: vec!["*".parse().expect("a pattern")],
        ..settings()
    };
    assert_eq!(times(polite, &mut web), [Duration::ZERO, Duration::ZERO, SECOND, SECOND]);
}

#[test]
fn failures_of_the_connection_are_repeated() {
    for (kind, requests) in [
        (FailureKind::Reset, 3),
        (FailureKind::Timeout, 3),
        (FailureKind::Tls, 1),
        (FailureKind::Forbidden, 1),
    ] {
        let mut web = Web::new([("/", Answer::Failure(kind))]);
        let times = times(Settings { robots: false, ..settings() }, &mut web);
        assert_eq!(times, [0, 1, 3].map(Duration::from_secs)[..requests], "{kind:?}");
    }
    let mut web = Web::new([("/", Answer::Failure(FailureKind::Reset))]).then("/", links(["/a"]));
    let (crawl, reports) = crawl(Settings { robots: false, ..settings() }, &mut web);
    assert_eq!(
        (report(&reports, "/").attempts, crawl.summary().retries, crawl.summary().failed()),
        (2, 1, 0)
    );
    assert_eq!(web.pages().len(), 3);
}

#[test]
fn an_overloaded_server_gets_its_pause() {
    let busy = |status_of: u16, header: &str| {
        status(status_of, &[("retry-after", header), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")])
    };
    for (header, pause) in
        [("7", 7), ("Wed, 21 Oct 2015 07:28:09 GMT", 9), ("99999999999999999999", 60), ("soon", 1), ("0", 0)]
    {
        for status_of in [429, 503] {
            // The other page waits too: the server asked for it.
            let mut web = Web::new([("/", links(["/a", "/b"])), ("/a", busy(status_of, header))])
                .then("/a", links(["/c"]));
            let times = times(Settings { robots: false, concurrency: 1, ..settings() }, &mut web);
            assert_eq!(times, [0, 0, pause, pause, pause].map(Duration::from_secs), "{status_of} {header}");
        }
    }
    let mut web = Web::new([("/", busy(503, "1"))]);
    let (crawl, reports) = crawl(Settings { robots: false, retries: 1, ..settings() }, &mut web);
    assert_eq!((report(&reports, "/").status, web.log.len(), crawl.summary().retries), (Some(503), 2, 1));
}

#[test]
fn a_host_where_everything_fails_does_not_fill_the_memory_with_attempts() {
    let mut web = Web::new([("/", links((0..1000).map(|page| format!("/{page}"))))]);
    for page in 0..1000 {
        web = web.then(&format!("/{page}"), Answer::Failure(FailureKind::Reset));
    }
    let mut crawl = Crawl::new(Settings { robots: false, ..settings() });
    for _ in 0..500 {
        let Next::Fetch(fetch) = crawl.next(Duration::ZERO) else { break };
        web.answer(&mut crawl, &fetch, Duration::ZERO);
    }
    assert_eq!(web.log.len(), 65, "64 wait for their next attempt");
    assert_eq!(run(&mut crawl, &mut web).len(), 1000);
}

#[test]
fn an_abandoned_request_is_sent_again() {
    let mut web = Web::new([("/", links(["/a"]))]);
    let mut crawl = Crawl::new(settings());
    // The robots.txt, then the page.
    for _ in 0..2 {
        let Next::Fetch(first) = crawl.next(Duration::ZERO) else { panic!("a request") };
        crawl.abandon(first.id);
        let Next::Fetch(second) = crawl.next(Duration::ZERO) else { panic!("a request") };
        assert_eq!((&second.url, second.attempt), (&first.url, 1));
        web.answer(&mut crawl, &second, Duration::ZERO);
    }
    assert_eq!(run(&mut crawl, &mut web).len(), 1);
    assert_eq!(crawl.summary().pages, 2);
}

#[test]
fn the_rules_of_all_hosts_are_limited() {
    // Each of 100 hosts has rules of nearly a megabyte, and two pages that stay in flight, so that its rules are needed.
    let lines = (0..15_000).map(|rule| format!("disallow: /{rule:022}\n"));
    let rules: String = std::iter::once("user-agent: *\n".to_owned()).chain(lines).collect();
    let follow_hosts = vec!["*".parse().expect("a pattern")];
    let mut crawl = Crawl::new(Settings { follow_hosts, concurrency: 300, ..settings() });
    let (mut refused, mut allowed) = (0, 0);
    loop {
        match crawl.next(Duration::ZERO) {
            Next::Fetch(fetch) if fetch.kind == Kind::Robots => {
                let answer = if fetch.url.host_str() == Some("a.example") { "" } else { &rules };
                finish(&mut crawl, fetch.id, &text(answer), usize::MAX, Duration::ZERO);
            }
            Next::Fetch(fetch) if fetch.url.host_str() == Some("a.example") => {
                let pages = (0..200).map(|page| format!("http://h{}.example/{page}", page / 2));
                finish(&mut crawl, fetch.id, &links(pages), usize::MAX, Duration::ZERO);
            }
            Next::Fetch(_) => allowed += 1,
            Next::Report(report) => {
                assert!(matches!(report.error, Some(Error::RobotsUnreachable(_))), "{report:?}");
                refused += 1;
            }
            Next::Wait(_) | Next::Done => break,
        }
    }
    assert_eq!(allowed + refused, 200);
    assert!((100..=180).contains(&allowed), "{allowed} pages are allowed by 64 MiB of rules");
}
