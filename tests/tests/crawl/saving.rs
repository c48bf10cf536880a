//! `--save`: a mirror of the pages, and nothing outside of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sinbin_tests::{Directory, run};

use crate::web::{Web, html, links, respond};

/// Returns the paths of the files below the directory.
fn files_below(directory: &Directory) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut directories = vec![directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("it can be read");
            if entry.file_type().expect("a type").is_dir() {
                directories.push(entry.path());
            } else {
                files.insert(entry.path());
            }
        }
    }
    files
}

/// Paths that a file system or a careless program would take for others.
const EVIL: &[&str] = &[
    "/../../escaped",
    "/..%2f..%2fescaped",
    "/%2e%2e/%2e%2e/escaped",
    "/a/%2e%2e%2f%2e%2e%2fescaped",
    "/..%5c..%5cescaped",
    "/%00",
    "/a%00b",
    "/a%0ab",
    "//double//slashes//",
    "/%2fetc%2fpasswd",
    "/C:/windows",
    "/CON",
    "/trailing.",
    "/name?query=../../x",
    "/name?query=1",
    "/name",
    "/name/",
    "/name/below",
    "/~",
    "/-rf",
    "/.hidden",
    "/.",
    "/%ff%fe",
    "/caf%C3%A9",
];

#[test]
fn no_path_leads_out_of_the_directory() {
    let long = format!("/{}", "x".repeat(600));
    let web = Web::start(move |request, stream| match &*request.path {
        "/" => html(stream, links(EVIL.iter().copied().chain([&*long]))),
        path => html(stream, format!("page {path}")),
    });
    let outer = Directory::new("evil");
    let inner = outer.path().join("one/two");
    let ended = run(&["crawl", "--no-robots", "--save", inner.to_str().expect("UTF-8"), &web.url("/")]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let files = files_below(&outer);
    assert!(files.iter().all(|file| file.starts_with(&inner)), "{files:?}");
    // Each page has a file of its own.
    let pages: BTreeSet<String> =
        files.iter().map(|file| fs::read_to_string(file).expect("a page")).collect();
    assert_eq!((files.len(), pages.len()), (web.requests().len(), web.requests().len()), "{files:?}");
}

#[test]
fn pages_are_saved_as_they_were_decoded_and_nothing_else() {
    let web = Web::start(|request, stream| match &*request.path {
        "/" => html(stream, links(["/picture.png", "/missing", "/large.bin"])),
        "/picture.png" => respond(stream, "200 OK", "Content-Type: image/png\r\n", [0, 1, 2, 255]),
        "/large.bin" => {
            respond(stream, "200 OK", "Content-Type: application/octet-stream\r\n", vec![7; 2 << 20])
        }
        _ => respond(stream, "404 Not Found", "Content-Type: text/html\r\n", "not here"),
    });
    let directory = Directory::new("plain");
    let save = directory.path().to_str().expect("UTF-8");
    let ended = run(&["crawl", "--no-robots", "--save", save, &web.url("/")]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let files = files_below(&directory);
    assert_eq!(files.len(), 3, "{files:?}");
    let of =
        |name: &str| files.iter().find(|file| file.ends_with(name)).unwrap_or_else(|| panic!("{files:?}"));
    assert_eq!(fs::read(of("picture.png")).expect("a file"), [0, 1, 2, 255]);
    assert_eq!(fs::read(of("large.bin")).expect("a file").len(), 2 << 20);
    // A page above the limit is not saved, and that is said.
    let directory = Directory::new("limited");
    let save = directory.path().to_str().expect("UTF-8");
    let ended = run(&["crawl", "--no-robots", "--save", save, "--max-page-size", "1M", &web.url("/")]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("large.bin is larger than --max-page-size"), "{}", ended.stderr);
    assert_eq!(files_below(&directory).len(), 2);
}

#[test]
fn a_full_disk_ends_the_crawl_with_a_message() {
    let web = Web::start(|request, stream| {
        html(stream, if request.path == "/" { links(["/2"]) } else { String::new() })
    });
    let directory = Directory::new("full");
    let save = directory.path().to_str().expect("UTF-8");
    let ended = run(&["crawl", "--no-robots", "--save", save, &web.url("/")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // The first page goes to a full disk the next time.
    let first = files_below(&directory).into_iter().find(|file| !fs::read(file).expect("a file").is_empty());
    let first = first.expect("the first page has links");
    fs::remove_file(&first).expect("it exists");
    symlink("/dev/full", &first).expect("a link");
    let state = directory.path().join("state");
    let arguments = ["crawl", "--no-robots", "--save", save, "--state", state.to_str().expect("UTF-8")];
    let ended = run(&[&arguments[..], &[&web.url("/")]].concat());
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("cannot save"), "{}", ended.stderr);
    // The page is fetched again when there is space.
    fs::remove_file(&first).expect("the link");
    let ended = run(&[&arguments[..], &[&web.url("/")]].concat());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(first.exists());
}
