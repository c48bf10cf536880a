//! The lines of JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use sinbin_tests::{Ended, Running, guest, run, sinbin_wasi};

/// Runs `sinbin crawl --json` with these arguments.
pub fn crawl(args: &[&str]) -> Ended {
    run(&[&["crawl", "--json"], args].concat())
}

/// Runs the crawler in the sandbox, with these options of `sinbin-wasi` and arguments of the crawler.
pub fn crawl_sandboxed(options: &[&str], args: &[&str]) -> Ended {
    let guest = guest("crawl.wasm");
    let run = ["run", guest.to_str().expect("a UTF-8 path")];
    Running::start(sinbin_wasi(&[&run, options, &["--"], args].concat())).wait()
}

/// Runs the crawler in a sandbox that can reach this machine.
pub fn crawl_in_sandbox(args: &[&str]) -> Ended {
    crawl_sandboxed(&["--allow-connect", "127.0.0.1:*"], args)
}

/// The ways to run the crawler.
pub const WAYS: [fn(&[&str]) -> Ended; 2] = [crawl, crawl_in_sandbox];

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
