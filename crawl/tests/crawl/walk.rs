//! The URLs that a crawl visits, compared with a plain search.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use sinbin_crawl::{Crawl, Fetch, Kind, Next, Settings};

use crate::site::{Web, crawl, finish, html, links, report, settings, status, text};

/// A site of numbered pages, each with its links.
pub type Graph = Vec<Vec<usize>>;

pub fn graphs() -> impl Strategy<Value = Graph> {
    (1_usize..25).prop_flat_map(|pages| prop::collection::vec(prop::collection::vec(0..pages, 0..4), pages))
}

/// Returns the URL of a page. The pages are on several hosts.
pub fn url_of(page: usize) -> String {
    match page {
        0 => "http://a.example/".to_owned(),
        page => format!("http://{}.example/p{page}", ["a", "b", "c"][page % 3]),
    }
}

pub fn web(graph: &Graph) -> Web {
    let mut web = Web::default();
    for (page, targets) in graph.iter().enumerate() {
        web = web.then(&url_of(page), links(targets.iter().map(|&target| url_of(target) + "#fragment")));
    }
    web
}

/// Returns the depth of each page that is reached within `max`.
fn search(graph: &Graph, max: usize) -> BTreeMap<String, usize> {
    let (mut found, mut queue) = (BTreeMap::from([(url_of(0), 0)]), VecDeque::from([(0, 0)]));
    while let Some((page, depth)) = queue.pop_front() {
        for &target in graph[page].iter().filter(|_| depth < max) {
            found.entry(url_of(target)).or_insert_with(|| {
                queue.push_back((target, depth + 1));
                depth + 1
            });
        }
    }
    found
}

pub fn everywhere() -> Settings {
    Settings { follow_hosts: vec!["*".parse().expect("a pattern")], ..settings() }
}

/// Runs a crawl whose requests finish in an order that `choices` gives. Returns the depth of each page, and checks the
/// limits on the way.
fn run(
    settings: Settings,
    web: &mut Web,
    mut choices: impl Iterator<Item = usize>,
) -> BTreeMap<String, usize> {
    let (concurrency, per_host) = (settings.concurrency, settings.per_host);
    let mut crawl = Crawl::new(settings);
    let (mut flying, mut found): (Vec<Fetch>, _) = (Vec::new(), BTreeMap::new());
    loop {
        match crawl.next(Duration::ZERO) {
            Next::Fetch(fetch) => {
                let of_host = flying.iter().filter(|other| other.url.host() == fetch.url.host()).count();
                assert!(flying.len() < concurrency && of_host < per_host, "too many requests at once");
                flying.push(fetch);
            }
            Next::Report(report) => panic!("{report:?}"),
            Next::Wait(time) => {
                assert!(!flying.is_empty() && time.is_none(), "the crawl waits for nothing");
                let fetch = flying.swap_remove(choices.next().unwrap_or(0) % flying.len());
                let report = web.answer(&mut crawl, &fetch, Duration::ZERO).expect("a report");
                if report.kind == Kind::Page {
                    let earlier = found.insert(report.url.to_string(), report.depth as usize);
                    assert_eq!(earlier, None, "{} is fetched twice", report.url);
                }
            }
            Next::Done => {
                assert!(flying.is_empty());
                return found;
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_crawl_visits_what_a_search_finds(
        graph in graphs(),
        concurrency in 1_usize..6,
        per_host in 1_usize..4,
        choices in prop::collection::vec(any::<usize>(), 60),
    ) {
        let settings = Settings { concurrency, per_host, ..everywhere() };
        let found = run(settings, &mut web(&graph), choices.into_iter());
        prop_assert!(found.keys().eq(search(&graph, usize::MAX).keys()));
    }

    #[test]
    fn with_a_limit_each_depth_is_that_of_the_shortest_path(
        graph in graphs(),
        max in 0_u32..4,
        choices in prop::collection::vec(any::<usize>(), 60),
    ) {
        let settings = Settings { max_depth: Some(max), concurrency: 4, ..everywhere() };
        let found = run(settings, &mut web(&graph), choices.into_iter());
        prop_assert_eq!(found, search(&graph, max as usize));
    }

    #[test]
    fn a_limit_of_pages_is_kept(graph in graphs(), max_pages in 0_u64..9, choices in prop::collection::vec(any::<usize>(), 60)) {
        let settings = Settings { max_pages, concurrency: 4, ..everywhere() };
        let found = run(settings, &mut web(&graph), choices.into_iter());
        let all = search(&graph, usize::MAX);
        prop_assert_eq!(found.len(), all.len().min(usize::try_from(max_pages).expect("small")));
        prop_assert!(found.keys().all(|url| all.contains_key(url)));
    }
}

#[test]
fn links_out_of_scope_are_counted_or_checked() {
    let page = links([
        "/in",
        "http://b.example/x",
        "HTTPS://A.example/s",
        "http://a.example:81/",
        "/skip/me",
        "/in/skip.pdf",
        "mailto:a@a.example",
        "http://10.0.0.1/",
        "ftp://a.example/",
        "javascript:void(0)",
        "http://",
        "#top",
        "tel:1",
    ]);
    let mut web = Web::new([("/", page.clone())]);
    let excluding = Settings {
        exclude: vec!["/skip/".parse().expect("a pattern"), "*.pdf$".parse().expect("a pattern")],
        robots: false,
        ..settings()
    };
    let (crawl_of, _) = crawl(excluding.clone(), &mut web);
    assert_eq!(web.pages(), ["http://a.example/", "http://a.example/in", "https://a.example/s"]);
    let skipped = crawl_of.summary().skipped;
    assert_eq!((skipped.external, skipped.patterns, skipped.private, skipped.invalid), (2, 2, 1, 1));

    let mut web = Web::new([("/", page), ("http://b.example/x", status(204, &[]))]);
    let (crawl_of, reports) = crawl(Settings { check_external: true, ..excluding }, &mut web);
    let checks: BTreeSet<_> = reports
        .iter()
        .filter(|report| report.kind == Kind::Check)
        .map(|report| report.url.as_str())
        .collect();
    assert_eq!(checks, BTreeSet::from(["http://10.0.0.1/", "http://a.example:81/", "http://b.example/x"]));
    assert!(
        !report(&reports, "http://b.example/x").is_broken()
            && report(&reports, "http://a.example:81/").is_broken()
    );
    assert!(!report(&reports, "http://10.0.0.1/").is_broken());
    assert_eq!((crawl_of.summary().checks, crawl_of.summary().errors["private address"]), (2, 1));
    assert_eq!(
        report(&reports, "http://b.example/x").referrer.as_ref().map(|url| url.as_str()),
        Some("http://a.example/")
    );
}

#[test]
fn only_what_is_included_is_fetched() {
    let mut web = Web::new([("/", links(["/docs/a", "/b"])), ("/docs/a", links(["/docs/c"]))]);
    let (crawl, _) = crawl(
        Settings { include: vec!["/docs/".parse().expect("a pattern")], robots: false, ..settings() },
        &mut web,
    );
    assert_eq!(web.pages(), ["http://a.example/", "http://a.example/docs/a", "http://a.example/docs/c"]);
    assert_eq!(crawl.summary().skipped.patterns, 1);
}

#[test]
fn style_sheets_and_sitemaps_have_links() {
    let index = "<sitemapindex><sitemap><loc>http://a.example/s/2.xml</loc></sitemap><sitemap><loc>http://b.example/3.xml</loc></sitemap></sitemapindex>";
    let list =
        "<urlset><url><loc>http://a.example/new</loc></url><url><loc>http://b.example/</loc></url></urlset>";
    let mut web = Web::new([
        ("/robots.txt", text("sitemap: /s/1.xml\nsitemap: /s/1.xml")),
        ("/s/1.xml", text(index)),
        ("/s/2.xml", text(list)),
        ("/", html("<link rel=stylesheet href=/css/a.css>")),
        ("/css/a.css", status(200, &[("content-type", "text/css")])),
    ]);
    if let Some(crate::site::Answer::Page { body, .. }) =
        web.answers.get_mut("http://a.example/css/a.css").and_then(|all| all.first_mut())
    {
        *body = b"@import 'b.css'; a { b: url(../c.png) }".to_vec();
    }
    let (crawl, reports) = crawl(settings(), &mut web);
    let pages: BTreeSet<_> = web.pages().into_iter().collect();
    assert_eq!(
        pages,
        ["/", "/c.png", "/css/a.css", "/css/b.css", "/new"]
            .map(|path| format!("http://a.example{path}"))
            .iter()
            .map(String::as_str)
            .collect()
    );
    assert_eq!(report(&reports, "/new").referrer.as_ref().map(|url| url.path()), Some("/s/2.xml"));
    assert_eq!(crawl.summary().skipped.external, 2);
}

#[test]
fn a_check_that_the_server_refuses_is_repeated_with_get() {
    let mut web = Web::new([
        ("/", links(["http://b.example/", "http://b.example/gone"])),
        ("http://b.example/", status(405, &[])),
    ])
    .then("http://b.example/", status(200, &[]));
    let (_, reports) = crawl(Settings { check_external: true, robots: false, ..settings() }, &mut web);
    let report_of = report(&reports, "http://b.example/");
    assert_eq!((report_of.status, report_of.attempts), (Some(200), 2));
    assert_eq!(report(&reports, "http://b.example/gone").attempts, 1);
}

#[test]
fn pages_can_ask_not_to_follow_them() {
    let tagged = |tag: &str| match links(["/c"]) {
        crate::site::Answer::Page { status, mut headers, body } => {
            headers.push(("x-robots-tag", tag.to_owned()));
            crate::site::Answer::Page { status, headers, body }
        }
        other => other,
    };
    let mut web = Web::new([
        ("/", html("<a href=a><a href=b>")),
        ("/a", html("<meta name=robots content=nofollow><a href=c>")),
        ("/b", tagged("noindex, nofollow")),
    ]);
    let (crawl, _) = crawl(settings(), &mut web);
    assert_eq!((web.pages().len(), crawl.summary().skipped.nofollow), (3, 2));
}

#[test]
fn links_are_listed_if_asked_for() {
    let mut web = Web::new([("/", links(["/a", "/a", "b#c", "http://b.example"]))]);
    let (_, reports) = crawl(Settings { list_links: true, robots: false, ..settings() }, &mut web);
    let links = &report(&reports, "/").links;
    let listed: Vec<_> = links.listed.iter().map(|url| url.as_str()).collect();
    assert_eq!(
        listed,
        ["http://a.example/a", "http://a.example/a", "http://a.example/b", "http://b.example/"]
    );
    assert_eq!((links.found, links.new), (4, 2));
}

#[test]
fn an_unknown_request_is_ignored() {
    let mut web = Web::new([("/", links(["/a"]))]);
    let mut crawl = Crawl::new(Settings { robots: false, ..settings() });
    let Next::Fetch(fetch) = crawl.next(Duration::ZERO) else { panic!("a request") };
    assert!(web.answer(&mut crawl, &fetch, Duration::ZERO).is_some());
    assert!(finish(&mut crawl, fetch.id, &status(200, &[]), 0, Duration::ZERO).is_none());
    crawl.abandon(fetch.id);
    assert_eq!((crawl.progress().queued, crawl.progress().done, crawl.progress().seen), (1, 1, 2));
}
