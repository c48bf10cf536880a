//! Readers of what servers send: pages, style sheets, sitemaps and robots.txt.

mod charset;
mod content;
mod css;
mod html;
mod links;
mod robots;
mod sitemap;
mod srcset;
mod tokens;

pub(crate) use charset::decode;
pub(crate) use content::Content;
pub(crate) use html::{Page, is_nofollow};
pub(crate) use links::LinkList;
pub(crate) use robots::{MAX_ROBOTS_BYTES, Robots, product_token};
pub(crate) use sitemap::Sitemap;

/// Returns the links of a style sheet.
pub(crate) fn read_css(text: &str, max_links: usize) -> LinkList {
    let mut links = LinkList::new(max_links);
    css::read(text, &mut links);
    links
}
