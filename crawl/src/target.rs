//! From the text of a link to the URL that is fetched.

use url::Url;

/// A URL to fetch: http or https, without a fragment and without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub url: Url,
    /// True if a user name or password was removed.
    pub had_credentials: bool,
}

/// The reason why a link is no [`Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// The link leads into its own page.
    Fragment,
    /// The link has another scheme.
    Scheme(String),
    Invalid,
}

/// Returns the target of `link` on a page whose base is `base`.
pub(crate) fn resolve(base: &Url, link: &str) -> Result<Target, NoTarget> {
    let link = link.trim_matches(|char: char| char <= ' ');
    if link.starts_with('#') {
        return Err(NoTarget::Fragment);
    }
    // Spares the parser a `data:` of megabytes.
    if let Some(scheme) = scheme_of(link)
        && !scheme.eq_ignore_ascii_case("http")
        && !scheme.eq_ignore_ascii_case("https")
    {
        return Err(NoTarget::Scheme(scheme.to_ascii_lowercase()));
    }
    of(base.join(link).map_err(|_| NoTarget::Invalid)?)
}

/// Removes what is not sent from `url`.
pub(crate) fn of(mut url: Url) -> Result<Target, NoTarget> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NoTarget::Scheme(url.scheme().to_owned()));
    }
    let had_credentials = !url.username().is_empty() || url.password().is_some();
    if had_credentials {
        // These fail only for URLs without a host, which http and https do not have.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    if url.fragment().is_some() {
        url.set_fragment(None);
    }
    Ok(Target { url, had_credentials })
}

/// Returns the scheme that `link` begins with. A link with tabs or line breaks in its scheme is left to the parser.
fn scheme_of(link: &str) -> Option<&str> {
    let end = link
        .bytes()
        .take(32)
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))?;
    let (scheme, rest) = link.split_at(end);
    (rest.starts_with(':') && scheme.starts_with(|char: char| char.is_ascii_alphabetic())).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::{NoTarget, of, resolve};

    fn base() -> Url {
        "http://a.example/b/c?d".parse().expect("a URL")
    }

    #[test]
    fn links() {
        let to = |link: &str| resolve(&base(), link).map(|target| target.url.to_string());
        assert_eq!(to(" e?f#g\n"), Ok("http://a.example/b/e?f".into()));
        assert_eq!(to("//B.Example:80/%7e/../x/./%2e%2e/y"), Ok("http://b.example/y".into()));
        assert_eq!(to(""), Ok("http://a.example/b/c?d".into()));
        assert_eq!(to("ht\ntp://c.example"), Ok("http://c.example/".into()));
        assert_eq!(to("#x"), Err(NoTarget::Fragment));
        assert_eq!(to("JavaScript:x"), Err(NoTarget::Scheme("javascript".into())));
        assert_eq!(to("da\tta:x"), Err(NoTarget::Scheme("data".into())));
        assert_eq!(to("http://["), Err(NoTarget::Invalid));
        assert_eq!(resolve(&base(), "http://a:b@c.example/").map(|target| target.had_credentials), Ok(true));
    }

    proptest! {
        #[test]
        fn a_target_is_its_own_target(link in "(http://|https:|//|/|@|:|#|\\?|a|b\\.c|\\[|%|\\PC){0,12}") {
            if let Ok(target) = resolve(&base(), &link) {
                prop_assert!(matches!(target.url.scheme(), "http" | "https") && target.url.fragment().is_none());
                prop_assert!(target.url.username().is_empty() && target.url.password().is_none());
                prop_assert_eq!(of(target.url.clone()).map(|again| (again.url, again.had_credentials)), Ok((target.url, false)));
            }
        }
    }
}
