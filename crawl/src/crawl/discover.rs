//! From links to entries of the frontier.

use url::Url;

use super::Crawl;
use crate::fetch::Kind;
use crate::frontier::Entry;
use crate::reading::LinkList;
use crate::report::Links;
use crate::scope::Place;
use crate::target::{self, NoTarget};

/// Where links were found.
pub(super) struct Source<'a> {
    /// The URL that links are relative to.
    pub base: &'a Url,
    pub referrer: &'a Url,
    /// The depth of the links' targets.
    pub depth: u32,
}

impl Crawl {
    /// Queues the targets of links that the crawl does not know and that are in scope.
    pub(super) fn follow(&mut self, list: &LinkList, source: &Source<'_>) -> Links {
        let mut links = Links::default();
        self.summary.skipped.many += list.dropped();
        for link in list.iter() {
            self.follow_link(link, source, &mut links);
        }
        links
    }

    fn follow_link(&mut self, link: &str, source: &Source<'_>, links: &mut Links) {
        let target = match target::resolve(source.base, link) {
            Ok(target) => target,
            Err(NoTarget::Fragment | NoTarget::Scheme(_)) => return,
            Err(NoTarget::Invalid) => return self.summary.skipped.invalid += 1,
        };
        links.found += 1;
        self.summary.skipped.credentials += u64::from(target.had_credentials);
        if self.settings.list_links {
            links.listed.push(target.url.clone());
        }
        if self.seen.contains(self.seen.fingerprint(target.url.as_str())) {
            return;
        }
        if let Some(kind) = self.kind_of(&target.url, source.depth) {
            let is_new = self.queue_if_new(&target.url, kind, source.depth, Some(source.referrer));
            links.new += u32::from(is_new);
        }
    }

    /// Returns the purpose of a request for a link. Counts a link that is not followed.
    fn kind_of(&mut self, url: &Url, depth: u32) -> Option<Kind> {
        let checks = self.settings.check_external;
        let skipped = &mut self.summary.skipped;
        let counter = match self.scope.place(url) {
            _ if url.as_str().len() > self.settings.max_url_bytes => &mut skipped.long,
            _ if self.settings.max_depth.is_some_and(|max| depth > max) => &mut skipped.depth,
            Place::Inside => return Some(Kind::Page),
            // The report of a private address says so.
            Place::External | Place::Private if checks => return Some(Kind::Check),
            Place::External => &mut skipped.external,
            Place::Excluded => &mut skipped.patterns,
            Place::Private => &mut skipped.private,
        };
        *counter += 1;
        None
    }

    /// Queues a URL after all others. Returns true if the crawl did not know it, and has the capacity for it.
    pub(super) fn queue_if_new(&mut self, url: &Url, kind: Kind, depth: u32, referrer: Option<&Url>) -> bool {
        let referrer = referrer.map(|referrer| referrer.as_str().to_owned());
        let entry = Entry::new(url.as_str().to_owned(), kind, depth, referrer);
        let Some(at) = self.admit(url) else { return false };
        self.schedule.push_back(at, &entry);
        true
    }

    /// Remembers a URL. Returns its host if the URL is new, and the crawl has the capacity for it.
    pub(super) fn admit(&mut self, url: &Url) -> Option<usize> {
        let fingerprint = self.seen.fingerprint(url.as_str());
        if self.seen.contains(fingerprint) {
            return None;
        }
        let is_full = self.seen.len() >= self.settings.max_frontier
            || self.schedule.queue_bytes() >= self.settings.max_queue_bytes;
        let host = if is_full { None } else { self.schedule.host_of(url) };
        match host {
            Some(_) => self.seen.insert(fingerprint),
            None => self.summary.skipped.full += 1,
        }
        host
    }
}
