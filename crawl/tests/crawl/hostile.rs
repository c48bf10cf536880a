//! Answers that are meant to break a crawler.

use std::time::Duration;

use proptest::prelude::*;
use sinbin_crawl::{Crawl, Error, FailureKind, Kind, Next, Settings};

use crate::site::{Answer, Web, crawl, html, links, report, settings, status, text};

fn no_robots() -> Settings {
    Settings { robots: false, ..settings() }
}

#[test]
fn ten_thousand_links_on_a_page() {
    let mut web = Web::new([("/", links((0..10_000).map(|page| format!("/{page}"))))]);
    let (crawl_of, reports) = crawl(no_robots(), &mut web);
    assert_eq!((report(&reports, "/").links.new, crawl_of.summary().pages), (10_000, 10_001));

    let mut web = Web::new([("/", links((0..10_000).map(|page| format!("/{page}"))))]);
    let (crawl, reports) = crawl(Settings { max_links: 100, ..no_robots() }, &mut web);
    assert_eq!((report(&reports, "/").links.new, crawl.summary().skipped.many), (100, 9900));
}

#[test]
fn a_frontier_that_is_full_refuses_and_counts() {
    let page = |count: usize| {
        Web::new([("/", links((0..count).map(|page| format!("http://{page}.example/{page}"))))])
    };
    let everywhere = Settings { follow_hosts: vec!["*".parse().expect("a pattern")], ..no_robots() };
    let full = |settings: Settings| {
        let (crawl, reports) = crawl(settings, &mut page(1000));
        assert_eq!(reports.len() as u64 + crawl.summary().skipped.full, 1001);
        reports.len()
    };
    assert_eq!(full(Settings { max_frontier: 10, ..everywhere.clone() }), 10);
    assert_eq!(full(Settings { max_hosts: 20, ..everywhere.clone() }), 20);
    assert!(full(Settings { max_queue_bytes: 10_000, ..everywhere.clone() }) < 100);
    assert_eq!(full(everywhere), 1001);
}

#[test]
fn urls_that_are_too_long() {
    let long = "a".repeat(5000);
    let mut web = Web::new([
        ("/", links([format!("/{long}"), format!("/{}", &long[..4000])])),
        ("/a", redirect_to(&long)),
    ]);
    let (crawl, _) = crawl(no_robots(), &mut web);
    assert_eq!((web.log.len(), crawl.summary().skipped.long), (2, 1));
}

fn redirect_to(path: &str) -> Answer {
    crate::site::redirect(&format!("/{path}"))
}

#[test]
fn a_page_that_is_too_long_is_read_to_the_limit() {
    let page = format!("<a href=/first>{}<a href=/last>", " ".repeat(1000));
    let mut web = Web::new([("/", html(page))]);
    let (crawl, reports) = crawl(Settings { max_page_bytes: 500, ..no_robots() }, &mut web);
    assert_eq!(web.pages(), ["http://a.example/", "http://a.example/first"]);
    assert!(report(&reports, "/").truncated && crawl.summary().truncated == 1);
}

#[test]
fn a_robots_txt_of_any_size_is_read_to_its_limit() {
    let mut body = b"user-agent: *\ndisallow: /a\n".to_vec();
    body.resize(4 << 20, b'\n');
    body.extend_from_slice(b"disallow: /b\n");
    let mut web = Web::new([("/robots.txt", text(body)), ("/", links(["/a", "/b"]))]);
    let (_, reports) = crawl(settings(), &mut web);
    assert_eq!(web.pages(), ["http://a.example/", "http://a.example/b"]);
    assert!(report(&reports, "/robots.txt").truncated);
}

#[test]
fn binary_and_invalid_text() {
    let mut web = Web::new([
        ("/", html(&b"<title>\xff\xfe\x80</title><a href='/a\xff'><a href=/b><a href=/c>"[..])),
        ("/b", html(&b"\x89PNG\r\n\x1a\n\0\0<a href=/no>"[..])),
        (
            "/c",
            Answer::Page {
                status: 200,
                headers: vec![("content-type", "image/png".into())],
                body: b"<a href=/no>".to_vec(),
            },
        ),
    ]);
    let (_, reports) = crawl(no_robots(), &mut web);
    assert_eq!(web.log.len(), 4);
    assert_eq!(report(&reports, "/b").links.found, 0);
    assert!(report(&reports, "/").title.is_some());
}

#[test]
fn an_endless_site_ends_by_its_limits() {
    // Each page links to two new ones, as calendars do.
    let mut crawl = Crawl::new(Settings { max_pages: 500, ..no_robots() });
    let mut requests = 0;
    while let Next::Fetch(fetch) = crawl.next(Duration::ZERO) {
        requests += 1;
        let path = fetch.url.path().trim_end_matches('/');
        let page = links([format!("{path}/a"), format!("{path}/b")]);
        crate::site::finish(&mut crawl, fetch.id, &page, usize::MAX, Duration::ZERO);
    }
    assert!(matches!(crawl.next(Duration::ZERO), Next::Done));
    assert_eq!((requests, crawl.progress().queued), (500, 501));
}

#[test]
fn indexes_of_sitemaps_that_never_end() {
    let mut crawl = Crawl::new(settings());
    let mut sitemaps = 0;
    for request in 0.. {
        let Next::Fetch(fetch) = crawl.next(Duration::ZERO) else { break };
        sitemaps += usize::from(fetch.kind == Kind::Sitemap);
        let page = match fetch.kind {
            Kind::Robots => text("sitemap: /0.xml"),
            _ => text(format!("<sitemapindex><sitemap><loc>/{request}.xml</loc></sitemap></sitemapindex>")),
        };
        crate::site::finish(&mut crawl, fetch.id, &page, usize::MAX, Duration::ZERO);
    }
    assert_eq!(sitemaps, 11);
}

#[test]
fn a_sitemap_with_faults_is_reported() {
    let mut web = Web::new([
        ("/robots.txt", text("sitemap: /s\nsitemap: /t")),
        ("/s", text("<urlset><url><loc>/a</loc></url>")),
        ("/t", text("\x1f\u{8b}")),
    ]);
    let (_, reports) = crawl(settings(), &mut web);
    assert!(matches!(report(&reports, "/s").error, Some(Error::Sitemap(_))));
    assert_eq!(web.pages(), ["http://a.example/", "http://a.example/a"]);
}

#[test]
fn odd_statuses_are_reported() {
    for code in [0, 100, 204, 304, 418, 600, 999, u16::MAX] {
        let mut web = Web::new([("/", status(code, &[]))]);
        let (crawl, reports) = crawl(no_robots(), &mut web);
        assert_eq!(report(&reports, "/").status, Some(code));
        assert_eq!(crawl.summary().statuses.iter().sum::<u64>(), 1);
    }
}

fn answers() -> impl Strategy<Value = Answer> {
    let header = prop_oneof![
        "(/|a|b|#|\\?|http:|//|a\\.example|file:|\\PC){0,5}",
        "[0-9]{0,3}",
        "text/(html|css|xml|plain)(; charset=(utf-16|latin1|x))?"
    ];
    let name = prop::sample::select(vec!["location", "content-type", "retry-after", "date", "x-robots-tag"]);
    let body = "(<a href=|<base href=|<urlset>|<url>|<loc>|/|a|b|>|user-agent:|\\*|\n|disallow:|sitemap:|url\\(|\\PC|\0){0,30}";
    let code = prop::sample::select(vec![200_u16, 200, 200, 204, 301, 302, 308, 404, 405, 429, 500, 503]);
    prop_oneof![
        5 => (code, prop::collection::vec((name, header), 0..4), body)
            .prop_map(|(status, headers, body)| Answer::Page { status, headers, body: body.into_bytes() }),
        1 => prop::sample::select(FailureKind::ALL.to_vec()).prop_map(Answer::Failure),
    ]
}

proptest! {
    #![proptest_config(crate::config())]

    /// Whatever servers answer: each URL has one report, no request leaves the scope, and the crawl ends.
    #[test]
    fn any_answers_give_one_report_for_each_url(answers in prop::collection::vec(answers(), 1..40), max_depth in prop::option::of(0_u32..3)) {
        let settings = Settings { concurrency: 3, max_depth, check_external: max_depth.is_none(), max_pages: 50, ..settings() };
        let mut crawl = Crawl::new(settings);
        let (mut now, mut flying, mut reports, mut answers) = (Duration::ZERO, Vec::new(), Vec::new(), answers.iter().cycle());
        for _ in 0..2000 {
            match crawl.next(now) {
                Next::Fetch(fetch) => {
                    prop_assert!(fetch.url.host_str() == Some("a.example") || fetch.kind != Kind::Page);
                    prop_assert!(matches!(fetch.url.scheme(), "http" | "https") && fetch.url.fragment().is_none());
                    flying.push(fetch);
                }
                Next::Report(report) => reports.push(report),
                Next::Wait(time) => match flying.pop() {
                    Some(fetch) => reports.extend(crate::site::finish(&mut crawl, fetch.id, answers.next().expect("endless"), fetch.max_bytes, now)),
                    None => {
                        prop_assert!(time.is_some_and(|time| time > now), "{time:?}");
                        now = time.unwrap_or_default();
                    }
                },
                Next::Done => {
                    prop_assert!(flying.is_empty());
                    let mut urls: Vec<_> = reports.iter().filter(|report| report.kind != Kind::Robots).map(|report| &report.url).collect();
                    urls.sort();
                    let all = urls.len();
                    urls.dedup();
                    prop_assert_eq!(urls.len(), all, "two reports of one URL");
                    prop_assert_eq!(crawl.progress().queued + all, crawl.progress().seen);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "the crawl does not end");
    }
}
