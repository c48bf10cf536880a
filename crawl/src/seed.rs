//! Seeds: the URLs that a user names.

use url::Url;

use crate::target;

/// Error returned when a text is no seed. Its message contains no user name or password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The text is no URL.
    #[error("not a URL: {0}")]
    Invalid(url::ParseError),
    /// The scheme is neither http nor https.
    #[error("the scheme {0}: is neither http: nor https:")]
    Scheme(String),
    /// The URL contains a user name or a password.
    #[error("the URL of {0} contains a user name or a password, which a crawl does not send")]
    Credentials(String),
}

/// Returns the URL that a user means by `text`. Without a scheme, http is meant.
///
/// # Errors
///
/// Fails with a [`SeedError`] if the text is no URL of http or https, or contains credentials.
///
/// ```
/// use sinbin_crawl::{SeedError, parse_seed};
///
/// assert_eq!(parse_seed("Example.org:8080/a/../b#c").unwrap().as_str(), "http://example.org:8080/b");
/// assert_eq!(parse_seed("ftp://example.org/"), Err(SeedError::Scheme("ftp".to_owned())));
/// assert_eq!(parse_seed("http://me:secret@example.org/"), Err(SeedError::Credentials("example.org".to_owned())));
/// ```
pub fn parse_seed(text: &str) -> Result<Url, SeedError> {
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    let target = target::of(url.map_err(SeedError::Invalid)?).map_err(|error| match error {
        target::NoTarget::Scheme(scheme) => SeedError::Scheme(scheme),
        target::NoTarget::Fragment | target::NoTarget::Invalid => {
            SeedError::Invalid(url::ParseError::EmptyHost)
        }
    })?;
    match target.had_credentials {
        true => Err(SeedError::Credentials(target.url.host_str().unwrap_or_default().to_owned())),
        false => Ok(target.url),
    }
}
