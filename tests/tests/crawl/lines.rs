//! The lines of JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use sinbin_tests::{Ended, run};

/// Runs `sinbin crawl --json` with these arguments.
pub fn crawl(args: &[&str]) -> Ended {
    run(&[&["crawl", "--json"], args].concat())
}

/// Returns the objects by their URLs. Asserts that each URL has one.
pub fn objects(ended: &Ended) -> BTreeMap<String, Value> {
    let mut objects = BTreeMap::new();
    for line in ended.stdout.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let url = object["url"].as_str().expect("a URL").to_owned();
        assert!(objects.insert(url.clone(), object).is_none(), "two lines for {url}");
    }
    objects
}
