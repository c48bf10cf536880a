//! The memory of a crawl that knows many URLs, all of which wait to be fetched.
//!
//! CI uses 100,000 URLs. `SINBIN_CRAWL_URLS=1000000 cargo test --release --package sinbin-crawl --test memory -- --nocapture`
//! uses a million, and walks all of them.

#![cfg(target_os = "linux")]

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use sinbin_crawl::{Crawl, Next, Outcome, Response, Settings, parse_seed};

/// The memory that may be used for each URL, in bytes: a million of them stay below 200 MB with the program itself.
const BYTES_PER_URL: usize = 170;

/// The number of links of a page.
const LINKS: usize = 1000;

/// Returns the largest memory that this process has used, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
}

/// Writes page `number` of a generated site: links to pages of 30 topics, with paths as documentation has them.
fn page(number: usize, urls: usize, body: &mut String) {
    body.clear();
    body.push_str("<!doctype html><title>A page</title>");
    for target in (number * LINKS + 1..).take(LINKS).take_while(|&target| target < urls) {
        let _ = write!(
            body,
            "<p><a href=\"/topic-{}/chapter-{}/a-page-of-number-{target}.html#top\">x</a>",
            target % 30,
            target / 97
        );
    }
}

fn step(crawl: &mut Crawl, body: &mut String, urls: usize) -> bool {
    match crawl.next(Duration::ZERO) {
        Next::Fetch(fetch) => {
            let number = match fetch.url.path().rsplit_once('-') {
                Some((_, number)) => number.trim_end_matches(".html").parse().expect("the number of a page"),
                None => 0,
            };
            page(number, urls, body);
            let response = Response {
                status: 200,
                content_type: Some(b"text/html"),
                body: body.as_bytes(),
                ..Response::default()
            };
            crawl.finished(fetch.id, Outcome::Response(response), Duration::ZERO).expect("a report");
            true
        }
        Next::Done => false,
        next => panic!("{next:?}"),
    }
}

#[test]
fn a_url_needs_little_memory() {
    let full = std::env::var("SINBIN_CRAWL_URLS").ok().map(|urls| urls.parse::<usize>().expect("a number"));
    let urls = full.unwrap_or(100_000);
    let settings = || Settings { robots: false, ..Settings::new([parse_seed("a.example").expect("a URL")]) };
    let (before, start, mut body) = (peak(), Instant::now(), String::new());
    let mut crawl = Crawl::new(settings());
    while crawl.progress().seen < urls {
        assert!(step(&mut crawl, &mut body, urls));
    }
    let queued = peak() - before;
    println!(
        "{urls} URLs seen, {} of them queued: {queued} bytes, {:?}",
        crawl.progress().queued,
        start.elapsed()
    );
    assert!(queued < urls * BYTES_PER_URL, "{} bytes for each of {urls} URLs", queued / urls);

    let (mut state, start) = (Vec::new(), Instant::now());
    crawl.save(&mut state).expect("memory");
    println!("a state of {} bytes, saved in {:?}", state.len(), start.elapsed());
    drop(crawl);
    let start = Instant::now();
    let mut crawl = Crawl::load(settings(), state.as_slice()).expect("a state");
    println!("loaded in {:?}", start.elapsed());
    assert_eq!(crawl.progress().seen, urls);
    drop(state);
    if full.is_some() {
        let start = Instant::now();
        while step(&mut crawl, &mut body, urls) {}
        println!("all {} pages in {:?}", crawl.summary().pages, start.elapsed());
        assert_eq!(crawl.summary().pages, urls as u64);
    }
    println!("peak of the process: {} bytes", peak());
    assert!(
        peak() - before < urls * BYTES_PER_URL,
        "{} bytes for each of {urls} URLs",
        (peak() - before) / urls
    );
}
