//! Paths of a mirror: where the page of a URL is stored.

use std::path::PathBuf;

use url::Url;

/// Returns the path of the file for `url`, relative to the folder of the mirror.
pub fn path(url: &Url, content_type: Option<&[u8]>) -> PathBuf {
    let _ = content_type;
    PathBuf::from(url.host_str().unwrap_or("host")).join("index.html")
}
