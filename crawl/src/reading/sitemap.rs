//! Sitemaps and indexes of sitemaps (sitemaps.org), as XML or as lines of text.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::links::LinkList;

/// A sitemap, or an index of sitemaps.
#[derive(Debug)]
pub(crate) struct Sitemap {
    /// The pages that the sitemap lists.
    pub pages: LinkList,
    /// The sitemaps that the index lists.
    pub sitemaps: LinkList,
    /// The first fault of the document. What is before it counts.
    pub error: Option<String>,
}

/// The position of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Root,
    /// Within `<url>`.
    Url,
    /// Within `<sitemap>`.
    Sitemap,
    /// Within the `<loc>` of one of these.
    Location {
        is_page: bool,
    },
    Other,
}

impl Sitemap {
    /// Reads a sitemap. No entity is expanded but the predefined ones. O(length).
    pub fn read(text: &str, max_links: usize) -> Self {
        let mut sitemap =
            Self { pages: LinkList::new(max_links), sitemaps: LinkList::new(max_links), error: None };
        let text = text.trim_start();
        if text.starts_with('<') {
            sitemap.error = sitemap.read_xml(text).err().map(|error| printable(&error));
        } else {
            text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| sitemap.pages.push(line));
        }
        sitemap
    }

    fn read_xml(&mut self, text: &str) -> Result<(), String> {
        let mut reader = Reader::from_str(text);
        // The elements from the root to the present one.
        let mut path: Vec<Element> = Vec::new();
        let mut location = String::new();
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) => {
                    let parent = path.last().copied();
                    let element = Element::of(tag.local_name().as_ref(), parent);
                    if parent.is_none() && element != Element::Root {
                        return Err("the root is neither <urlset> nor <sitemapindex>".to_owned());
                    }
                    if path.len() >= MAX_DEPTH {
                        return Err(format!("more than {MAX_DEPTH} nested elements"));
                    }
                    location.clear();
                    path.push(element);
                }
                Event::End(_) => match path.pop() {
                    Some(Element::Location { is_page: true }) => self.pages.push(&location),
                    Some(Element::Location { is_page: false }) => self.sitemaps.push(&location),
                    _ => {}
                },
                Event::Eof if path.is_empty() => return Ok(()),
                Event::Eof => return Err("the document ends within an element".to_owned()),
                event if matches!(path.last(), Some(Element::Location { .. })) => {
                    append(&event, &mut location);
                }
                _ => {}
            }
        }
    }
}

/// Returns an error for one line of a terminal: it can quote the document.
fn printable(error: &str) -> String {
    error
        .chars()
        .take(200)
        .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
        .collect()
}

/// The deepest element that is read. A sitemap with extensions needs 5.
const MAX_DEPTH: usize = 64;

/// The longest URL that is read, in bytes.
const MAX_LOCATION: usize = 64 << 10;

/// Appends the text of `event`.
fn append(event: &Event<'_>, location: &mut String) {
    if location.len() > MAX_LOCATION {
        return;
    }
    match event {
        Event::Text(text) => location.push_str(&text.xml10_content()),
        Event::CData(text) => location.push_str(&text.xml10_content()),
        Event::GeneralRef(reference) => match reference.resolve_char_ref() {
            Ok(Some(char)) => location.push(char),
            _ => {
                let name = reference.xml10_content();
                location.push_str(resolve_predefined_entity(&name).unwrap_or_default());
            }
        },
        _ => {}
    }
}

impl Element {
    fn of(name: &str, parent: Option<Self>) -> Self {
        match (name, parent) {
            ("urlset" | "sitemapindex", None) => Self::Root,
            ("url", Some(Self::Root)) => Self::Url,
            ("sitemap", Some(Self::Root)) => Self::Sitemap,
            // The extension for images has an <image:loc>, in an element of its own.
            ("loc", Some(Self::Url)) => Self::Location { is_page: true },
            ("loc", Some(Self::Sitemap)) => Self::Location { is_page: false },
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sitemap;

    fn read(text: &str) -> (Vec<String>, Vec<String>, bool) {
        let sitemap = Sitemap::read(text, 100);
        let list = |links: &super::LinkList| links.iter().map(str::to_owned).collect();
        (list(&sitemap.pages), list(&sitemap.sitemaps), sitemap.error.is_some())
    }

    #[test]
    fn a_sitemap() {
        let text = r#"<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
            <url><loc> http://a.example/?a=1&amp;b=2&#38;c </loc><lastmod>2025-01-01</lastmod>
                <image:image><image:loc>http://a.example/no.png</image:loc><loc>no</loc></image:image></url>
            <url><loc><![CDATA[http://a.example/<b>]]></loc></url><!-- <url><loc>no</loc></url> --></urlset>"#;
        assert_eq!(
            read(text),
            (vec!["http://a.example/?a=1&b=2&c".into(), "http://a.example/<b>".into()], vec![], false)
        );
    }

    #[test]
    fn an_index() {
        let text = "<sitemapindex><sitemap><loc>a.xml</loc></sitemap><sitemap><loc>b.xml</loc></sitemap></sitemapindex>";
        assert_eq!(read(text), (vec![], vec!["a.xml".into(), "b.xml".into()], false));
    }

    #[test]
    fn lines_of_text() {
        assert_eq!(
            read("http://a.example/\r\n\nhttp://b.example/"),
            (vec!["http://a.example/".into(), "http://b.example/".into()], vec![], false)
        );
    }

    #[test]
    fn faults_end_the_document() {
        assert_eq!(read("<urlset><url><loc>a</loc></url><url><loc>b</lo"), (vec!["a".into()], vec![], true));
        assert_eq!(read("<html><a href=x>"), (vec![], vec![], true));
        assert_eq!(read(&"<urlset>".repeat(100)), (vec![], vec![], true));
        let error = Sitemap::read("<urlset><url></\u{1b}[31m></urlset>", 9).error.expect("a fault");
        assert!(!error.contains('\u{1b}'), "{error:?}");
        let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><urlset><url><loc>x&b;y</loc></url></urlset>";
        assert_eq!(read(bomb), (vec!["xy".into()], vec![], false));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(<urlset>|<url>|<loc>|</|<!\\[CDATA\\[|&|;|\\PC){0,40}") {
            read(&text);
        }
    }
}
