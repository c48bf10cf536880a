//! Links in the texts of the repository lead somewhere, every page is in the book's summary, and its programs are tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const BOOK: &str = "docs/src";

/// Texts outside of the book that people read on the repository's pages.
const TEXTS: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "tests/dialogues/README.md",
    "wasi-host/guest/README.md",
];

/// A text, and what in it other texts can link to.
struct Page {
    text: String,
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(file: &str) -> Self {
        let path = Path::new(WORKSPACE).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        Self::of(&included(&path, &text))
    }

    fn of(text: &str) -> Self {
        let text = without_code(text);
        let mut anchors = BTreeSet::new();
        let headings = text.lines().filter(|line| line.starts_with('#'));
        for heading in headings.map(|line| line.trim_start_matches('#').trim()) {
            let anchor = anchor(heading);
            let numbered = (1..).map(|n| format!("{anchor}-{n}"));
            let free = std::iter::once(anchor.clone()).chain(numbered).find(|name| !anchors.contains(name));
            anchors.insert(free.expect("there is always another number"));
        }
        Self { text, anchors }
    }
}

/// Returns `text` with the files in it that mdBook would include.
fn included(path: &Path, text: &str) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let file = line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
        let Some(file) = file else {
            whole += line;
            whole.push('\n');
            continue;
        };
        let file = path.parent().expect("a file lies in a directory").join(file.trim());
        whole += &fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    whole
}

/// Returns `text` without code, in which brackets are no links. Lines stay where they are.
fn without_code(text: &str) -> String {
    let mut is_code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            // Odd parts are between backticks.
            kept.extend(line.split('`').enumerate().map(|(i, part)| if i % 2 == 0 { part } else { "code" }));
        }
        kept.push('\n');
    }
    assert!(!is_code, "a block of code has no end");
    kept
}

/// Returns the name by which a heading is linked to. mdBook and the hosts of repositories agree on it for such headings.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Returns the targets of all links and pictures in `text`, each with the number of its line.
fn links(text: &str) -> Vec<(usize, &str)> {
    let target = |(at, _): (usize, _)| {
        let rest = &text[at + 2..];
        Some((text[..at].matches('\n').count() + 1, &rest[..rest.find(')')?]))
    };
    text.match_indices("](").filter_map(target).collect()
}

/// Returns `path` without `.` and `..`, if it stays within the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            _ => return None,
        }
    }
    Some(normal)
}

/// Returns the pages of the book, without its summary.
fn pages() -> BTreeSet<String> {
    let files = fs::read_dir(Path::new(WORKSPACE).join(BOOK)).expect("there are docs");
    let names =
        files.map(|file| file.expect("an entry").file_name().into_string().expect("its name is text"));
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

/// Returns what is wrong with a link to `target` in `file`, if anything is.
fn wrong(pages: &BTreeMap<String, Page>, file: &str, target: &str) -> Option<String> {
    if target.contains(char::is_whitespace) || target.is_empty() {
        return Some("is no address".into());
    }
    if let Some(outside) = target.strip_prefix("https://") {
        let host = outside.split('/').next().unwrap_or_default();
        return (!host.contains('.')).then(|| "names no host".into());
    }
    if target.contains(':') || target.starts_with('/') {
        return Some("is neither https nor relative".into());
    }
    let (path, fragment) = target.split_once('#').map_or((target, None), |(path, name)| (path, Some(name)));
    let to = match path {
        "" => PathBuf::from(file),
        path => {
            let whole = Path::new(file).parent().expect("a file lies in a directory").join(path);
            let Some(to) = normal(&whole) else { return Some("leads out of the repository".into()) };
            to
        }
    };
    if file.starts_with(BOOK) && !to.starts_with(BOOK) {
        return Some("leads out of the book, where readers of the book can't follow".into());
    }
    if !Path::new(WORKSPACE).join(&to).exists() {
        return Some("leads to a file that does not exist".into());
    }
    let fragment = fragment?;
    let page = pages.get(to.to_str().expect("its name is text"));
    match page {
        Some(page) if page.anchors.contains(fragment) => None,
        Some(_) => Some("leads to a heading that does not exist".into()),
        None => Some("leads to a place in a file that has no headings".into()),
    }
}

#[test]
fn links_lead_somewhere() {
    let book = pages().into_iter().chain(["SUMMARY.md".to_owned()]).map(|page| format!("{BOOK}/{page}"));
    let files = TEXTS.map(String::from).into_iter().chain(book);
    let pages: BTreeMap<_, _> = files.map(|file| (file.clone(), Page::read(&file))).collect();
    let mut dead = Vec::new();
    for (file, page) in &pages {
        for (line, target) in links(&page.text) {
            dead.extend(wrong(&pages, file, target).map(|why| format!("{file}:{line}: {target} {why}")));
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn dead_links_are_found() {
    let page = Page::of("# A title, and `code`\n## Twice\n## Twice\n");
    assert_eq!(page.anchors, ["a-title-and-code", "twice", "twice-1"].map(String::from).into());
    let pages = BTreeMap::from([("docs/src/gallery.md".to_owned(), page)]);
    for good in ["#twice-1", "gallery.md#twice", "design.md", "picture.svg", "https://example.com/a_(b)"] {
        assert_eq!(wrong(&pages, "docs/src/gallery.md", good), None, "{good}");
    }
    let bad =
        ["#thrice", "b.md", "../../README.md", "../../../x.md", "http://example.com", "https://x", "a b"];
    for bad in bad {
        assert!(wrong(&pages, "docs/src/gallery.md", bad).is_some(), "{bad}");
    }
    let text = "[a](b.md)\n`[c](d.md)`\n```\n[e](f.md)\n```\n![g](h.svg) [i](j.md)\n";
    assert_eq!(links(&without_code(text)), [(1, "b.md"), (6, "h.svg"), (6, "j.md")]);
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = Page::read(&format!("{BOOK}/SUMMARY.md"));
    let listed: BTreeSet<_> = links(&summary.text).into_iter().map(|(_, page)| page.to_owned()).collect();
    assert_eq!(listed, pages());
}

/// The page on callbacks is `sinbin::guide`, whose programs are tests of that module.
#[test]
fn the_programs_of_every_page_are_tests() {
    let tested = fs::read_to_string(format!("{WORKSPACE}/tests/src/book.rs")).expect("a list of pages");
    let untested = pages().into_iter().filter(|page| !tested.contains(&format!("\"{page}\"")));
    assert_eq!(untested.collect::<Vec<_>>(), ["callbacks.md"]);
}

/// Checks the guest of this repository on the page; `outside.rs` builds the other one.
#[test]
fn the_guest_on_the_page_is_one_that_is_built() {
    let read = |file: &str| fs::read_to_string(format!("{WORKSPACE}/{file}")).expect("a file of ours");
    let page = read("docs/src/sandbox.md");
    let code = read("wasi-host/guest/fib/src/lib.rs");
    let code: String =
        code.lines().filter(|line| !line.starts_with("//!")).flat_map(|line| [line, "\n"]).collect();
    assert!(page.contains(&format!("```rust,ignore\n{code}```\n")), "{code}");
}

/// The parts of programs on the page are those of the files, apart from their indentation.
#[test]
fn the_crawlers_on_the_page_are_those_that_run() {
    let flat = |text: &str| text.lines().map(|line| format!("{}\n", line.trim_start())).collect::<String>();
    let page = fs::read_to_string(format!("{WORKSPACE}/{BOOK}/crawlers.md")).expect("the page");
    let crawlers = fs::read_dir(format!("{WORKSPACE}/native/gallery/examples/crawl")).expect("the crawlers");
    let code =
        crawlers.map(|file| fs::read_to_string(file.expect("an entry").path()).expect("a file of ours"));
    let code = code.map(|code| flat(&code)).collect::<String>();
    let parts: Vec<_> = page.split("```rust,ignore\n").skip(1).collect();
    assert!(parts.len() >= 7);
    for part in parts {
        let (part, _) = part.split_once("```").expect("a block of code has an end");
        assert!(code.contains(&flat(part)), "{part}");
    }
}

#[test]
fn the_readme_fits_on_one_page() {
    let readme = fs::read_to_string(format!("{WORKSPACE}/README.md")).expect("there is a README");
    assert!(readme.lines().count() <= 150, "{} lines", readme.lines().count());
}
