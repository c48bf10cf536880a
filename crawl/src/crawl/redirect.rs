//! Redirects: whether they are followed, and loops among them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use url::Url;

use super::Crawl;
use crate::fetch::Kind;
use crate::frontier::Entry;
use crate::report::Error;
use crate::scope::Place;
use crate::target::{self, NoTarget};

/// The number of redirects that are remembered. Loops of further ones are not reported, but end as well.
const MAX_REMEMBERED: usize = 100_000;

/// The redirects so far, by the fingerprints of their URLs. These show a loop also if its URLs were found as links before.
#[derive(Debug, Default)]
pub(super) struct Redirects(BTreeMap<u64, u64>);

impl Redirects {
    /// Remembers a redirect. Returns true if it closes a loop of at most `max` redirects. O(max log n).
    fn closes_loop(&mut self, from: u64, to: u64, max: usize) -> bool {
        if self.0.len() < MAX_REMEMBERED {
            self.0.insert(from, to);
        }
        let mut at = to;
        for _ in 0..=max {
            if at == from {
                return true;
            }
            let Some(&next) = self.0.get(&at) else { return false };
            at = next;
        }
        false
    }

    pub fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(&from, &to)| (from, to))
    }
}

impl FromIterator<(u64, u64)> for Redirects {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(pairs: I) -> Self {
        Self(pairs.into_iter().take(MAX_REMEMBERED).collect())
    }
}

/// Returns the text of a header. If it is not UTF-8, its bytes are percent-encoded, as browsers do.
fn text_of(header: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(header) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let encode = |&byte: &u8| {
                if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            };
            Cow::Owned(header.iter().map(encode).collect())
        }
    }
}

impl Crawl {
    /// Returns the URL that a header `Location` names.
    pub(super) fn location(&mut self, from: &Url, location: Option<&[u8]>) -> Result<Url, Error> {
        let location = text_of(location.ok_or(Error::RedirectInvalid)?);
        let target = target::resolve(from, &location).map_err(|error| match error {
            NoTarget::Fragment => Error::RedirectLoop,
            NoTarget::Scheme(scheme) => Error::RedirectScheme(scheme),
            NoTarget::Invalid => Error::RedirectInvalid,
        })?;
        self.summary.skipped.credentials += u64::from(target.had_credentials);
        match self.scope.is_private(&target.url) {
            true => Err(Error::RedirectPrivate(target.url.host_str().unwrap_or_default().to_owned())),
            false if target.url.as_str().len() > self.settings.max_url_bytes => Err(Error::RedirectInvalid),
            false => Ok(target.url),
        }
    }

    /// Queues the target of a redirect, if it is followed and new.
    pub(super) fn follow_redirect(&mut self, entry: &Entry, from: &Url, to: &Url) -> Result<(), Error> {
        let max = self.settings.max_redirects;
        let (own, target) = (self.seen.fingerprint(from.as_str()), self.seen.fingerprint(to.as_str()));
        if self.redirects.closes_loop(own, target, max) {
            return Err(Error::RedirectLoop);
        }
        if entry.hops as usize >= max {
            return Err(Error::TooManyRedirects(max));
        }
        let kind = match (self.scope.place(to), entry.kind) {
            (Place::Inside, Kind::Sitemap) => Kind::Sitemap,
            (Place::Inside, _) => Kind::Page,
            (Place::External, Kind::Page | Kind::Check) if self.settings.check_external => Kind::Check,
            (Place::External | Place::Excluded | Place::Private, _) => return Err(Error::RedirectOutOfScope),
        };
        if let Some(at) = self.admit(to) {
            let referrer = Some(from.as_str().to_owned());
            let next = Entry {
                hops: entry.hops + 1,
                ..Entry::new(to.as_str().to_owned(), kind, entry.depth, referrer)
            };
            self.schedule.push_front(at, next);
        }
        Ok(())
    }
}
