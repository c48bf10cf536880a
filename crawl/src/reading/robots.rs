//! robots.txt (RFC 9309), with `Crawl-delay` and `Sitemap`.

use std::time::Duration;

use crate::pattern::PathPattern;

/// The number of bytes of a robots.txt that are read (RFC 9309, 2.5).
pub(crate) const MAX_ROBOTS_BYTES: usize = 500 << 10;

/// The number of sitemaps of a robots.txt that are read.
const MAX_SITEMAPS: usize = 1000;

/// The number of `*` in the rules of one crawler, of which each is a search in every path. The busiest sites have some
/// hundreds.
const MAX_WILDCARDS: usize = 2000;

/// The rules of a robots.txt for one crawler.
#[derive(Debug, Default)]
pub(crate) struct Robots {
    /// The rules, ordered by [`PathPattern::order`]. No two have equal patterns.
    rules: Vec<Rule>,
    pub delay: Option<Duration>,
    pub sitemaps: Vec<String>,
    /// The memory of the rules, in bytes.
    pub bytes: usize,
}

#[derive(Debug, Clone)]
struct Rule {
    is_allowed: bool,
    pattern: PathPattern,
}

/// The rules for one crawler, or for all crawlers.
#[derive(Debug, Default)]
struct Group {
    exists: bool,
    rules: Vec<Rule>,
    wildcards: usize,
    delay: Option<Duration>,
}

impl Rule {
    /// Returns the rank of the rule: of those that match, the highest one decides. The longest pattern comes first, and
    /// `Allow` before `Disallow` of equal length.
    fn rank(&self) -> (usize, bool) {
        (self.pattern.len(), self.is_allowed)
    }
}

impl Group {
    /// Adds a rule. One that exceeds [`MAX_WILDCARDS`] allows nothing, or forbids all that begins like it: too little is
    /// fetched then, and never what the file forbids.
    fn push(&mut self, is_allowed: bool, mut pattern: PathPattern) {
        let wildcards = pattern.wildcards();
        if self.wildcards + wildcards <= MAX_WILDCARDS {
            self.wildcards += wildcards;
        } else if is_allowed {
            return;
        } else {
            pattern.widen();
        }
        self.rules.push(Rule { is_allowed, pattern });
    }
}

/// Returns the name by which a robots.txt addresses the crawler that sends `user_agent`.
pub(crate) fn product_token(user_agent: &str) -> &str {
    let end = user_agent.find(|char: char| !(char.is_ascii_alphabetic() || matches!(char, '-' | '_')));
    &user_agent[..end.unwrap_or(user_agent.len())]
}

impl Robots {
    /// Reads a robots.txt for the crawler of that product token. Lines that mean nothing are skipped. O(length).
    pub fn read(body: &[u8], token: &str) -> Self {
        let body = &body[..body.len().min(MAX_ROBOTS_BYTES)];
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let (mut own, mut all) = (Group::default(), Group::default());
        // True if the present group is for this crawler, and for all; a group begins with one or more agents.
        let (mut is_own, mut is_all, mut is_in_agents) = (false, false, false);
        let mut sitemaps = Vec::new();
        for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (key, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
            if is("user-agent") {
                if !is_in_agents {
                    (is_own, is_all, is_in_agents) = (false, false, true);
                }
                is_all |= value == b"*";
                let value = std::str::from_utf8(value).unwrap_or_default();
                is_own |= !token.is_empty() && product_token(value).eq_ignore_ascii_case(token);
                own.exists |= is_own;
                continue;
            }
            if is("sitemap") {
                if let Ok(url) = std::str::from_utf8(value)
                    && sitemaps.len() < MAX_SITEMAPS
                    && !url.is_empty()
                {
                    sitemaps.push(url.to_owned());
                }
                continue;
            }
            let (is_allow, is_disallow) = (is("allow"), is("disallow"));
            if !is_allow && !is_disallow && !is("crawl-delay") {
                continue;
            }
            is_in_agents = false;
            let delay = if is_allow || is_disallow { None } else { seconds(value) };
            for group in [(is_own, &mut own), (is_all, &mut all)]
                .into_iter()
                .filter_map(|(is, group)| is.then_some(group))
            {
                group.delay = group.delay.or(delay);
                // An empty pattern matches nothing.
                if (is_allow || is_disallow) && !value.is_empty() {
                    group.push(is_allow, PathPattern::new(value));
                }
            }
        }
        let Group { mut rules, delay, .. } = if own.exists { own } else { all };
        // Of rules with equal patterns, the one that decides comes first, and the others are removed.
        rules.sort_by(|a, b| a.pattern.order(&b.pattern).then_with(|| b.rank().cmp(&a.rank())));
        rules.dedup_by(|rule, before| rule.pattern.order(&before.pattern).is_eq());
        rules.shrink_to_fit();
        let bytes = rules.iter().map(|rule| size_of::<Rule>() + rule.pattern.bytes()).sum();
        Self { rules, delay, sitemaps, bytes }
    }

    /// Returns true if the path and query may be fetched. `path` is in the form of
    /// [`canonical_path`](crate::pattern::canonical_path). O(length · (log rules + [`MAX_WILDCARDS`])), and without `*` in
    /// the rules O(length · log rules).
    pub fn allows(&self, path: &[u8]) -> bool {
        let mut best = None;
        for rule in self.candidates(path) {
            if Some(rule.rank()) > best && rule.pattern.matches(path) {
                best = Some(rule.rank());
            }
        }
        path == b"/robots.txt" || best.is_none_or(|(_, is_allowed)| is_allowed)
    }

    /// Returns the rules whose literals `path` begins with: those with a `*`, and at most two for each byte of `path`.
    fn candidates(&self, path: &[u8]) -> impl Iterator<Item = &Rule> {
        // The rules whose literals begin with the first bytes of `path`: at first all, and fewer with each byte.
        let mut rest = self.rules.as_slice();
        (0..=path.len())
            .map_while(move |length| {
                // A literal comes before those that it is the beginning of.
                let (here, longer) =
                    rest.split_at(rest.partition_point(|rule| rule.pattern.literal().len() == length));
                if longer.is_empty() && here.is_empty() {
                    return None;
                }
                rest = path.get(length).map_or(&[], |byte| {
                    let from = longer.partition_point(|rule| rule.pattern.literal()[length] < *byte);
                    let to = longer.partition_point(|rule| rule.pattern.literal()[length] <= *byte);
                    &longer[from..to]
                });
                Some(here)
            })
            .flatten()
    }
}

/// Returns a number of seconds, which can have a fraction.
fn seconds(value: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use url::Url;

    use super::{MAX_ROBOTS_BYTES, MAX_WILDCARDS, Robots, product_token};
    use crate::pattern::{PathPattern, canonical_path};

    fn allows(robots: &str, agent: &str, path: &str) -> bool {
        let url = Url::parse("http://a.example").and_then(|base| base.join(path)).expect("a path");
        Robots::read(robots.as_bytes(), product_token(agent)).allows(&canonical_path(&url))
    }

    /// RFC 9309, 5.1.
    const SIMPLE: &str = "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\n\
        User-Agent: foobot\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\n\
        User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n\nUser-Agent: quxbot\n";

    #[test]
    fn the_simple_example_of_the_rfc() {
        for (agent, path, is_allowed) in [
            ("other", "/a.gif", false),
            ("other", "/a.gif?x", true),
            ("other", "/example/", false),
            ("other", "/example", true),
            ("other", "/publications/", true),
            ("foobot/1.0", "/", false),
            ("FooBot", "/example/page.html", true),
            ("foobot", "/example/allowed.gif", true),
            ("foobot", "/example/other.gif", false),
            ("barbot", "/example/page.html", false),
            ("bazbot", "/example/page.html", false),
            ("bazbot", "/a.gif", true),
            ("quxbot", "/example/a.gif", true),
            ("foobot", "/robots.txt", true),
        ] {
            assert_eq!(allows(SIMPLE, agent, path), is_allowed, "{agent} {path}");
        }
    }

    #[test]
    fn the_longest_match_decides() {
        // RFC 9309, 5.2.
        let robots = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n";
        assert!(!allows(robots, "foobot", "/example/page/disallowed.gif"));
        assert!(allows(robots, "foobot", "/example/page/a.gif"));
        let robots = "user-agent: *\ndisallow: /page\nallow: /page\nallow: /p\ndisallow: /*.php$";
        assert!(allows(robots, "x", "/page"));
        assert!(!allows(robots, "x", "/page.php"));
        assert!(allows(robots, "x", "/page.php5"));
    }

    #[test]
    fn groups_of_one_agent_are_combined() {
        // RFC 9309, 2.2.1.
        let robots = "user-agent: ExampleBot\ndisallow: /foo\ndisallow: /bar\n\nuser-agent: ExampleBot\ndisallow: /baz\n\
            user-agent: *\nuser-agent: BazBot\ndisallow: /all\n";
        for path in ["/foo", "/bar", "/baz"] {
            assert!(!allows(robots, "ExampleBot/0.1", path));
        }
        assert!(allows(robots, "examplebot", "/all"));
        assert!(
            !allows(robots, "bazbot", "/all")
                && !allows(robots, "other", "/all")
                && allows(robots, "other", "/foo")
        );
    }

    #[test]
    fn percent_encoding() {
        // RFC 9309, 2.2.2 and 2.2.3.
        for (pattern, path) in [
            ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
            ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https://foo.bar"),
            ("/foo/bar/\u{30c4}", "/foo/bar/%E3%83%84"),
            ("/foo/bar/%e3%83%84", "/foo/bar/\u{30c4}"),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
            ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html"),
            ("/path/foo-%24", "/path/foo-$"),
            ("/a%2fb", "/a%2Fb"),
        ] {
            let robots = format!("user-agent: *\ndisallow: {pattern}$");
            assert!(!allows(&robots, "x", path), "{pattern} {path}");
        }
        assert!(allows("user-agent: *\ndisallow: /a%2fb", "x", "/a/b"));
    }

    #[test]
    fn what_is_no_rule_is_skipped() {
        assert!(!allows("\u{feff}user-agent: *\r\rdisallow: / # all\r\nfoo\nbar: x\n", "x", "/a"));
        assert!(allows("disallow: /\nuser-agent: *\ndisallow:\n", "x", "/a"));
        assert!(allows("<html>\n<a href=\"http://a: b\">", "x", "/a"));
        assert!(!allows("user-agent: *\nsitemap: /s\nuser-agent: b\ndisallow: /\n", "b", "/a"));
    }

    #[test]
    fn delays_and_sitemaps() {
        let robots = "Sitemap: http://a.example/s.xml\nuser-agent: *\ncrawl-delay: 2.5\nuser-agent: b\nSITEMAP:/t.xml\ncrawl-delay: x";
        let of = |token| Robots::read(robots.as_bytes(), token);
        assert_eq!(of("x").delay, Some(Duration::from_millis(2500)));
        assert_eq!(of("b").delay, None);
        assert_eq!(of("b").sitemaps, ["http://a.example/s.xml", "/t.xml"]);
        for delay in ["-1", "nan", "inf", "1e400"] {
            assert_eq!(
                Robots::read(format!("user-agent: *\ncrawl-delay: {delay}").as_bytes(), "x").delay,
                None
            );
        }
    }

    #[test]
    fn a_huge_file_is_read_to_the_limit() {
        let mut robots = b"user-agent: *\ndisallow: /a\n".to_vec();
        robots.resize(MAX_ROBOTS_BYTES, b'#');
        robots.extend_from_slice(b"\ndisallow: /b\n");
        let robots = Robots::read(&robots, "x");
        assert!(!robots.allows(b"/a") && robots.allows(b"/b"));
    }

    /// Returns a robots.txt of rules, and the work that a path costs: the patterns that are compared with it, and the
    /// searches in these.
    fn work(rules: impl Iterator<Item = String>, path: &str) -> (Robots, usize, usize) {
        let file = rules.fold("user-agent: *\n".to_owned(), |file, rule| file + &rule + "\n");
        let robots = Robots::read(file.as_bytes(), "x");
        let (compared, searches) = robots
            .candidates(path.as_bytes())
            .fold((0, 0), |(compared, searches), rule| (compared + 1, searches + rule.pattern.wildcards()));
        (robots, compared, searches)
    }

    #[test]
    fn many_rules_cost_a_path_little() {
        let plain = (0..25_000).map(|rule| format!("disallow: /{rule:05}"));
        let (robots, compared, _) = work(plain, "/24999/a");
        assert!(!robots.allows(b"/24999/a") && robots.allows(b"/25000") && robots.allows(b"/2499"));
        assert_eq!(compared, 1);
        let equal =
            (0..25_000).map(|rule| format!("{}: /a", if rule == 9000 { "allow" } else { "disallow" }));
        let (robots, compared, _) = work(equal, "/a");
        assert!(robots.allows(b"/a"));
        assert_eq!(compared, 1);
    }

    #[test]
    fn wildcards_are_limited_to_the_side_of_caution() {
        let (robots, compared, searches) =
            work((0..28_000).map(|rule| format!("disallow: *z{rule:05}")), "/");
        assert!(compared <= MAX_WILDCARDS + 1 && searches <= MAX_WILDCARDS, "{compared} {searches}");
        assert!(
            !robots.allows(b"/z27999") && !robots.allows(b"/"),
            "the rules that are too many forbid more"
        );
        let rules = (0..3000).map(|rule| format!("disallow: /d/*z{rule:04}"));
        let (robots, ..) =
            work(rules.chain(["allow: /d/a*b*c$".into(), "allow: /d/long/enough".into()]), "/");
        assert!(!robots.allows(b"/d/abc") && robots.allows(b"/d/long/enough") && robots.allows(b"/e"));
        for stars in ["*".repeat(100_000), "*a".repeat(100_000)] {
            let (robots, compared, searches) = work([format!("disallow: /a{stars}b")].into_iter(), "/a");
            assert!(compared <= 1 && searches <= 1 && !robots.allows(b"/a/b") && robots.allows(b"/b"));
        }
    }

    /// Matches as RFC 9309 says, by trying each possibility.
    fn matches_slowly(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => true,
            [b'$'] => path.is_empty(),
            [b'*', rest @ ..] => (0..=path.len()).any(|at| matches_slowly(rest, &path[at..])),
            [first, rest @ ..] => {
                path.split_first().is_some_and(|(byte, path)| byte == first && matches_slowly(rest, path))
            }
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_an_exhaustive_search_does(pattern in "/[ab*]{0,7}\\$?", path in "/[ab]{0,8}") {
            let expected = matches_slowly(pattern.as_bytes(), path.as_bytes());
            prop_assert_eq!(PathPattern::new(pattern.as_bytes()).matches(path.as_bytes()), expected);
        }

        #[test]
        fn the_index_finds_the_rule_that_a_search_of_all_finds(
            rules in prop::collection::vec((any::<bool>(), "/[ab*]{0,5}\\$?"), 0..12),
            path in "/[ab]{0,6}",
        ) {
            let line = |(is_allow, pattern): &(bool, String)| {
                format!("{}: {pattern}\n", if *is_allow { "allow" } else { "disallow" })
            };
            let file = format!("user-agent: *\n{}", rules.iter().map(line).collect::<String>());
            let matching = rules.iter().filter(|(_, pattern)| matches_slowly(pattern.as_bytes(), path.as_bytes()));
            let decides = matching.map(|(is_allow, pattern)| (pattern.len(), *is_allow)).max();
            let expected = decides.is_none_or(|(_, is_allow)| is_allow);
            prop_assert_eq!(Robots::read(file.as_bytes(), "x").allows(path.as_bytes()), expected, "{}", file);
        }

        #[test]
        fn any_file_is_read(body in "(user-agent|allow|disallow|crawl-delay|sitemap|:|\n|\\*|\\$|/|%|\\PC){0,60}") {
            Robots::read(body.as_bytes(), "x").allows(b"/a");
        }
    }
}
