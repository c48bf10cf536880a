//! Cuts of two documentation sites: the URLs that `sinbin crawl`, `wget -r` and LinkChecker request are the same.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Write, stderr};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lines::crawl;
use crate::web::{Web, respond};

/// The variable that requires all tools if it is 1, as in `.ci/run`.
const ALL: &str = "SINBIN_ALL_HOSTS";

/// The header by which a site permits LinkChecker more than 10 requests a second.
const UNLIMITED: &str = "LinkChecker: yes\r\n";

/// A site, and the beginnings of the paths that are served besides the first page. All other paths are missing.
struct Site {
    package: &'static str,
    root: &'static str,
    served: &'static [&'static str],
}

const SITES: [Site; 2] = [
    Site {
        package: "python3-doc",
        root: "/usr/share/doc/python3-doc/html",
        served: &["/tutorial/", "/installing/", "/extending/", "/_static/"],
    },
    Site {
        package: "apache2-doc",
        root: "/usr/share/doc/apache2-doc/manual",
        served: &["/en/index.html", "/en/ssl/", "/en/vhosts/", "/style/", "/images/"],
    },
];

impl Site {
    fn start(&self) -> Web {
        let (root, served) = (PathBuf::from(self.root), self.served);
        Web::start(move |request, stream| {
            let path = request.path.split('?').next().unwrap_or_default();
            let (path, is_first) = if path == "/" { ("/index.html", true) } else { (path, false) };
            let is_plain = Path::new(path).components().all(|part| part != Component::ParentDir);
            let file = is_plain && (is_first || served.iter().any(|start| path.starts_with(start)));
            let Some(bytes) = file.then(|| fs::read(root.join(&path[1..])).ok()).flatten() else {
                return respond(stream, "404 Not Found", UNLIMITED, "");
            };
            let kind = match path.rsplit_once('.').map(|(_, kind)| kind) {
                Some("html") => "text/html; charset=utf-8",
                Some("css") => "text/css",
                _ => "application/octet-stream",
            };
            respond(stream, "200 OK", &format!("{UNLIMITED}Content-Type: {kind}\r\n"), bytes)
        })
    }

    /// Returns the paths that `program` requests, which receives the URL of the first page. Without the root, LinkChecker
    /// would leave out pages outside of its directory.
    fn requests(&self, program: impl FnOnce(&str)) -> BTreeSet<String> {
        let web = self.start();
        program(&web.url("/"));
        web.requests().into_keys().filter(|path| path != "/robots.txt").collect()
    }
}

/// Returns true if a file or a program is missing, and says so.
fn lacks(what: &str, package: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(std::env::var_os(ALL).is_none_or(|all| all != "1"), "{what} is missing: install {package}");
        writeln!(stderr(), "skipped: {what} is missing: install {package}; with {ALL}=1 that is a failure")
            .ok();
    }
    !is_there
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    // Missing pages are an exit code of these programs.
    status.expect("it can be started");
}

fn is_installed(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn the_urls_are_those_of_wget_and_linkchecker() {
    let has_wget = !lacks("wget", "wget", is_installed("wget"));
    let has_linkchecker = !lacks("linkchecker", "linkchecker", is_installed("linkchecker"));
    // By default, LinkChecker sends 10 requests a second, and more only if the site permits that, too.
    let settings = std::env::temp_dir().join(format!("sinbin-crawl-{}-linkcheckerrc", std::process::id()));
    fs::write(&settings, "[checking]\nmaxrequestspersecond=10000\n").expect("a file");
    for site in SITES {
        if lacks(site.root, site.package, Path::new(site.root).exists()) {
            continue;
        }
        let ours = site.requests(|url| {
            let ended = crawl(&["--no-robots", url]);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        });
        assert!(ours.len() > 30, "{ours:?}");
        if has_wget {
            let directory = std::env::temp_dir().join(format!("sinbin-crawl-{}-wget", std::process::id()));
            let theirs = site.requests(|url| {
                let mut wget = Command::new("wget");
                wget.args(["-q", "-r", "-l", "inf", "-e", "robots=off", "--no-config", "-P"])
                    .arg(&directory)
                    .arg(url);
                run(&mut wget);
            });
            fs::remove_dir_all(&directory).ok();
            assert_same(&ours, &theirs, "wget");
        }
        if has_linkchecker {
            let theirs = site.requests(|url| {
                let mut linkchecker = Command::new("linkchecker");
                linkchecker.arg("-f").arg(&settings).args([
                    "--no-status",
                    "--no-robots",
                    "--no-warnings",
                    "-o",
                    "none",
                    url,
                ]);
                run(linkchecker.current_dir("/"));
            });
            assert_same(&ours, &theirs, "linkchecker");
        }
    }
    fs::remove_file(settings).ok();
}

fn assert_same(ours: &BTreeSet<String>, theirs: &BTreeSet<String>, name: &str) {
    let (more, less): (Vec<_>, Vec<_>) =
        (ours.difference(theirs).collect(), theirs.difference(ours).collect());
    assert!(more.is_empty() && less.is_empty(), "only sinbin: {more:?}; only {name}: {less:?}");
}
