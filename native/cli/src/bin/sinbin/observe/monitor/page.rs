//! The page, in one piece, with the policy that lets a browser run nothing else.

use std::sync::LazyLock;

use data_encoding::BASE64;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/page/", $name))
    };
}

const HTML: &str = file!("index.html");

/// The style. The playground shares its first part.
const STYLE: &str = concat!(file!("shared/look.css"), file!("monitor.css"));

/// The script. The playground shares its first parts.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    file!("shared/dom.js"),
    file!("shared/dots.js"),
    file!("words.js"),
    file!("charts.js"),
    file!("picture.js"),
    file!("table.js"),
    file!("facts.js"),
    file!("live.js"),
    file!("start.js"),
);

/// The page and its content security policy.
pub(crate) struct Page {
    pub(crate) html: String,
    pub(crate) policy: HeaderValue,
}

/// Returns the page.
pub(crate) fn page() -> &'static Page {
    static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
        html: HTML.replace("@style@", STYLE).replace("@script@", SCRIPT),
        policy: HeaderValue::from_str(&policy())
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
    });
    &PAGE
}

/// Returns the policy: the style and the script are those of the page, by their hashes, and requests go to the monitor.
fn policy() -> String {
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}
