//! Saved states: nothing is fetched twice, and nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use sinbin_crawl::{Crawl, Fetch, LoadError, Next, Report, Settings, parse_seed};

use crate::site::{Answer, Web, links, run, settings, status};
use crate::walk::{everywhere, graphs, web};

fn save(crawl: &Crawl) -> Vec<u8> {
    let mut state = Vec::new();
    crawl.save(&mut state).expect("memory");
    state
}

/// Runs a crawl until it ends, or `steps` requests were answered. The answers come in an order that `choices` gives.
fn run_some(
    crawl: &mut Crawl,
    web: &mut Web,
    steps: usize,
    choices: &mut impl Iterator<Item = usize>,
) -> (Vec<Report>, bool) {
    let (mut now, mut reports, mut answered): (_, Vec<Report>, _) = (Duration::ZERO, Vec::new(), 0);
    let mut flying: Vec<Fetch> = Vec::new();
    loop {
        match crawl.next(now) {
            Next::Fetch(fetch) => flying.push(fetch),
            Next::Report(report) => reports.push(report),
            Next::Wait(_) if answered >= steps => return (reports, false),
            Next::Wait(_) if !flying.is_empty() => {
                let fetch = flying.swap_remove(choices.next().unwrap_or(0) % flying.len());
                reports.extend(web.answer(crawl, &fetch, now));
                answered += 1;
            }
            Next::Wait(time) => now = time.expect("a time"),
            Next::Done => return (reports, true),
        }
    }
}

fn urls(reports: &[Report]) -> Vec<String> {
    let mut urls: Vec<_> = reports
        .iter()
        .map(|report| format!("{} {:?} {:?}", report.url, report.status, report.error))
        .collect();
    urls.sort();
    urls
}

/// Returns a site, some of whose pages are busy at first, or redirect.
fn rough_web(graph: &[Vec<usize>], busy: usize, moved: Option<usize>) -> Web {
    let mut web = web(&graph.to_vec());
    let count = web.answers.len();
    let targets: Vec<_> = web.answers.keys().cloned().collect();
    for (at, answers) in web.answers.values_mut().enumerate() {
        if at == busy % (count + 3) {
            answers.insert(0, status(503, &[("retry-after", "3")]));
        }
        if moved.is_some_and(|moved| at == moved % (count + 3)) {
            *answers = vec![crate::site::redirect(&targets[busy % count])];
        }
    }
    web
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_crawl_in_pieces_is_the_crawl_in_one(
        graph in graphs(),
        pieces in prop::collection::vec(0_usize..6, 0..12),
        choices in prop::collection::vec(any::<usize>(), 60),
        (busy, moved) in any::<(usize, usize)>(),
        max_depth in prop::option::of(2_u32..5),
    ) {
        let settings = Settings { robots: false, concurrency: 3, max_depth, ..everywhere() };
        let mut choices = choices.into_iter();
        // The depth of a redirect's target can depend on the order of answers.
        let moved = max_depth.is_none().then_some(moved);
        let mut web = rough_web(&graph, busy, moved);
        let (expected, _) = run_some(&mut Crawl::new(settings.clone()), &mut web, usize::MAX, &mut choices);

        let mut web = rough_web(&graph, busy, moved);
        let mut crawl = Crawl::new(settings.clone());
        let mut reports = Vec::new();
        for steps in pieces.into_iter().chain([usize::MAX]) {
            let (more, is_done) = run_some(&mut crawl, &mut web, steps, &mut choices);
            reports.extend(more);
            let state = save(&crawl);
            crawl = Crawl::load(settings.clone(), state.as_slice()).expect("a state");
            prop_assert_eq!(&save(&crawl), &state, "a state is saved as it was loaded");
            prop_assert!(!is_done || matches!(crawl.next(Duration::ZERO), Next::Done));
        }
        prop_assert_eq!(urls(&reports), urls(&expected));
        prop_assert_eq!(crawl.summary().pages, reports.len() as u64);
        prop_assert_eq!(crawl.summary().statuses.iter().sum::<u64>(), reports.len() as u64);
    }

    #[test]
    fn a_damaged_state_is_an_error(at in any::<prop::sample::Index>(), bit in 0_u32..8, end in any::<prop::sample::Index>()) {
        let state = some_state();
        let mut damaged = state.clone();
        damaged[at.index(state.len())] ^= 1 << bit;
        prop_assert!(Crawl::load(settings(), damaged.as_slice()).is_err());
        prop_assert!(Crawl::load(settings(), &state[..end.index(state.len())]).is_err());
    }

    #[test]
    fn junk_is_no_state(junk in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Crawl::load(settings(), junk.as_slice()).is_err());
        // With lengths that no memory holds.
        let junk = [&some_state()[..20], &vec![0xff; 400]].concat();
        prop_assert!(Crawl::load(settings(), junk.as_slice()).is_err());
    }
}

/// Returns the state after two pages.
fn some_state() -> Vec<u8> {
    let mut web = Web::new([("/", links(["/a", "/b", "http://b.example/"])), ("/a", links(["/c"]))]);
    let mut crawl = Crawl::new(Settings { robots: false, concurrency: 1, ..settings() });
    run_some(&mut crawl, &mut web, 2, &mut std::iter::empty());
    save(&crawl)
}

#[test]
fn errors_of_states() {
    let load = |state: &[u8]| Crawl::load(settings(), state).expect_err("no state");
    assert!(matches!(load(b"{\"pages\": 1234567}"), LoadError::Magic));
    let mut newer = some_state();
    newer[16] = 9;
    assert_eq!(load(&newer).to_string(), "the state has version 9, and this program reads version 2");
    assert!(matches!(load(b""), LoadError::Damaged("it ends early")));
}

#[test]
fn new_seeds_and_limits_hold_after_loading() {
    let mut web = Web::new([("/", links(["/a"])), ("/a", links(["/b"])), ("/new", links(["/c"]))]);
    let first = Settings { robots: false, max_pages: 1, ..settings() };
    let mut crawl = Crawl::new(first.clone());
    assert_eq!(run(&mut crawl, &mut web).len(), 1);
    let mut more = Settings { max_pages: 3, ..first };
    more.seeds.push(parse_seed("a.example/new").expect("a URL"));
    let mut crawl = Crawl::load(more, save(&crawl).as_slice()).expect("a state");
    assert_eq!(run(&mut crawl, &mut web).len(), 2);
    assert_eq!(web.pages(), ["http://a.example/", "http://a.example/a", "http://a.example/new"]);
    assert_eq!((crawl.summary().pages, crawl.progress().queued), (3, 2));
}

#[test]
fn a_request_in_flight_is_saved_as_queued() {
    let mut web =
        Web::new([("/", links(["/a", "/b"])), ("/a", Answer::Failure(sinbin_crawl::FailureKind::Reset))]);
    let mut crawl = Crawl::new(Settings { max_pages: 3, robots: false, ..settings() });
    run_some(&mut crawl, &mut web, 2, &mut std::iter::empty());
    // A page waits for its second attempt, and another one is in flight.
    assert_eq!((crawl.progress().in_flight, crawl.progress().queued), (1, 1));
    let mut crawl =
        Crawl::load(Settings { max_pages: 3, robots: false, ..settings() }, save(&crawl).as_slice())
            .expect("a state");
    assert_eq!((crawl.progress().in_flight, crawl.progress().queued), (0, 2));
    let found: BTreeSet<_> =
        run(&mut crawl, &mut web).into_iter().map(|report| report.url.path().to_owned()).collect();
    assert_eq!(found, BTreeSet::from(["/a".to_owned(), "/b".to_owned()]));
}
