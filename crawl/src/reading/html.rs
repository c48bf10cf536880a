//! Links, title and instructions of HTML pages.

use html5gum::emitters::callback::CallbackEvent;

use super::links::LinkList;
use super::tokens::{Sink, tokenize};
use super::{css, srcset};

/// The longest title that is kept, in bytes.
const MAX_TITLE: usize = 300;

/// The links, title and instructions of an HTML page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The links, relative to [`base`](Self::base) or the page's own URL.
    pub links: LinkList,
    /// The `href` of the first `<base>`.
    pub base: Option<String>,
    pub title: Option<String>,
    /// True if the page asks robots not to follow its links.
    pub is_nofollow: bool,
}

impl Page {
    /// Reads a page by the tokens of the HTML standard. Any text is a page. O(length).
    pub fn read(text: &str, max_links: usize) -> Self {
        let mut reader = Reader {
            page: Self { links: LinkList::new(max_links), base: None, title: None, is_nofollow: false },
            element: Element::Other,
            is_in_tag: false,
            is_nested: false,
            attribute: Attribute::Other,
            values: Values::default(),
            text: Text::Other,
        };
        tokenize(text.as_bytes(), &mut reader);
        reader.page
    }
}
/// Elements that mean more than their attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Base,
    Link,
    Meta,
    Style,
    Title,
    NoScript,
    Object,
    Other,
}

/// The meaning of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Url,
    SourceSet,
    Style,
    /// Kept until the end of the tag.
    Href,
    Rel,
    Name,
    HttpEquiv,
    Content,
    Other,
}

/// The meaning of the text between tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Markup,
    Style,
    Title,
    Other,
}

/// The attributes of a `<base>`, `<link>` or `<meta>`.
#[derive(Debug, Default)]
struct Values {
    href: Option<String>,
    rel: Option<String>,
    name: Option<String>,
    http_equiv: Option<String>,
    content: Option<String>,
}

struct Reader {
    page: Page,
    element: Element,
    /// False within an end tag, whose attributes mean nothing.
    is_in_tag: bool,
    /// True within the markup of a `<noscript>`.
    is_nested: bool,
    attribute: Attribute,
    values: Values,
    text: Text,
}

impl Sink for Reader {
    fn on_event(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.element = Element::of(name);
                self.is_in_tag = true;
                self.attribute = Attribute::Other;
                self.text = Text::Other;
                if matches!(self.element, Element::Base | Element::Link | Element::Meta) {
                    self.values = Values::default();
                }
            }
            CallbackEvent::AttributeName { name } if self.is_in_tag => {
                self.attribute = Attribute::of(self.element, name);
            }
            CallbackEvent::AttributeValue { value }
                if self.is_in_tag && self.attribute != Attribute::Other =>
            {
                self.on_value(&String::from_utf8_lossy(value));
            }
            CallbackEvent::CloseStartTag { .. } => self.on_tag(),
            CallbackEvent::EndTag { .. } => self.text = Text::Other,
            CallbackEvent::String { value } => match self.text {
                Text::Style => css::read(&String::from_utf8_lossy(value), &mut self.page.links),
                Text::Title if self.page.title.is_none() => {
                    self.page.title = title(&String::from_utf8_lossy(value));
                }
                Text::Markup => self.on_markup(&String::from_utf8_lossy(value)),
                Text::Title | Text::Other => {}
            },
            _ => {}
        }
    }

    fn wants_text(&self) -> bool {
        self.text != Text::Other
    }
}

impl Reader {
    fn on_value(&mut self, value: &str) {
        let kept = match self.attribute {
            Attribute::Url => return self.page.links.push(value),
            Attribute::SourceSet => return srcset::read(value, |url| self.page.links.push(url)),
            Attribute::Style => return css::read(value, &mut self.page.links),
            Attribute::Href => &mut self.values.href,
            Attribute::Rel => &mut self.values.rel,
            Attribute::Name => &mut self.values.name,
            Attribute::HttpEquiv => &mut self.values.http_equiv,
            Attribute::Content => &mut self.values.content,
            Attribute::Other => return,
        };
        // The first of equal attributes counts.
        kept.get_or_insert_with(|| value.to_owned());
    }

    /// Reads what browsers without scripts show, which is a text to the tokenizer. One level is enough: deeper ones exist
    /// to exhaust the stack.
    fn on_markup(&mut self, text: &str) {
        self.is_nested = true;
        // The markup can begin with a text, which is not markup again.
        self.text = Text::Other;
        tokenize(text.as_bytes(), self);
        self.is_nested = false;
    }

    fn on_tag(&mut self) {
        self.is_in_tag = false;
        match self.element {
            Element::Base => self.page.base = self.page.base.take().or(self.values.href.take()),
            Element::Link => self.on_link(),
            Element::Meta => self.on_meta(),
            Element::Style => self.text = Text::Style,
            Element::Title => self.text = Text::Title,
            Element::NoScript if !self.is_nested => self.text = Text::Markup,
            Element::NoScript | Element::Object | Element::Other => {}
        }
    }

    fn on_link(&mut self) {
        // A connection is announced, not a file.
        let is_hint =
            |rel: &str| rel.eq_ignore_ascii_case("preconnect") || rel.eq_ignore_ascii_case("dns-prefetch");
        let is_hint = self.values.rel.as_ref().is_some_and(|rel| rel.split_ascii_whitespace().any(is_hint));
        if let Some(href) = self.values.href.take().filter(|_| !is_hint) {
            self.page.links.push(&href);
        }
    }

    fn on_meta(&mut self) {
        let Some(content) = self.values.content.take() else { return };
        let is = |value: &Option<String>, text: &str| {
            value.as_ref().is_some_and(|value| value.trim().eq_ignore_ascii_case(text))
        };
        if is(&self.values.http_equiv, "refresh")
            && let Some(url) = refresh(&content)
        {
            self.page.links.push(url);
        }
        if is(&self.values.name, "robots") {
            self.page.is_nofollow |= is_nofollow(&content);
        }
    }
}

impl Element {
    fn of(name: &[u8]) -> Self {
        match name {
            b"base" => Self::Base,
            b"link" => Self::Link,
            b"meta" => Self::Meta,
            b"style" => Self::Style,
            b"title" => Self::Title,
            b"object" => Self::Object,
            b"noscript" | b"noframes" => Self::NoScript,
            _ => Self::Other,
        }
    }
}

impl Attribute {
    fn of(element: Element, name: &[u8]) -> Self {
        match (name, element) {
            (b"href", Element::Base | Element::Link) => Self::Href,
            (b"rel", Element::Link) => Self::Rel,
            (b"name", Element::Meta) => Self::Name,
            (b"http-equiv", Element::Meta) => Self::HttpEquiv,
            (b"content", Element::Meta) => Self::Content,
            (b"data", Element::Object) => Self::Url,
            (b"href" | b"xlink:href" | b"src" | b"poster" | b"background" | b"lowsrc", _) => Self::Url,
            (b"srcset" | b"imagesrcset", _) => Self::SourceSet,
            (b"style", _) => Self::Style,
            _ => Self::Other,
        }
    }
}

/// Returns the URL of `<meta http-equiv=refresh>` (HTML, "shared declarative refresh steps").
fn refresh(content: &str) -> Option<&str> {
    let rest = content.trim_start().trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let rest = rest.trim_start();
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start();
    let after_name =
        rest.get(..3).filter(|name| name.eq_ignore_ascii_case("url")).map(|_| rest[3..].trim_start());
    let rest = match after_name.and_then(|rest| rest.strip_prefix('=')) {
        Some(rest) => rest.trim_start(),
        None => rest,
    };
    let url = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split(quote).next()?,
        _ => rest,
    };
    Some(url.trim()).filter(|url| !url.is_empty())
}

/// Returns true if `content` asks robots not to follow links.
pub(crate) fn is_nofollow(content: &str) -> bool {
    content
        .split(',')
        .map(str::trim)
        .any(|word| word.eq_ignore_ascii_case("nofollow") || word.eq_ignore_ascii_case("none"))
}

/// Returns a title for one line of a terminal.
fn title(text: &str) -> Option<String> {
    let mut title = String::new();
    // The characters that change the direction of text would change the rest of a line.
    let is_space = |char: char| {
        char.is_whitespace()
            || char.is_control()
            || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(word);
        if title.len() > MAX_TITLE {
            title.truncate(title.floor_char_boundary(MAX_TITLE));
            break;
        }
    }
    Some(title).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Page;

    fn links(text: &str) -> Vec<String> {
        Page::read(text, 100).links.iter().map(str::to_owned).collect()
    }

    #[test]
    fn links_of_all_kinds() {
        let page = r#"<!doctype html><HTML><head>
            <link rel=stylesheet href=a.css><link rel="preconnect" href=//no.example><link rel=icon href=b.ico>
            <script src='c.js'>document.write('<a href=no>')</script><style>@import "d.css"; p { background: url(e.png) }</style>
            <body background=f.png><A HREF="g?x=1&amp;y=2#z">g</a><area href=h><img src=i srcset="j 1x, k 2x">
            <picture><source srcset=l></picture><video src=m poster=n><track src=o></video><audio src=p></audio>
            <iframe src=q></iframe><embed src=r><object data=s></object><input type=image src=t>
            <svg><image xlink:href=u /><use href="v"/></svg><td background=w style="background: url('x')">
            <noscript><img src=y></noscript><!-- <a href=no> --><a href='#no'><a name=no><a href=data:text/plain,no>"#;
        let expected: Vec<_> =
            "a.css b.ico c.js d.css e.png f.png g?x=1&y=2#z h i j k l m n o p q r s t u v w x y"
                .split(' ')
                .map(str::to_owned)
                .collect();
        assert_eq!(links(page), expected);
    }

    #[test]
    fn the_first_base_and_title_count() {
        let page = Page::read(
            "<title> A\n &lt;b&gt;\tc\x07 </title><base target=x><base href=/a/><base href=/b/><svg><title>no</title>",
            9,
        );
        assert_eq!((page.base.as_deref(), page.title.as_deref()), (Some("/a/"), Some("A <b> c")));
        assert_eq!(
            Page::read(&format!("<title>{}</title>", "\u{e4}".repeat(500)), 9).title.map(|title| title.len()),
            Some(300)
        );
        assert_eq!(Page::read("<title> </title>", 9).title, None);
    }

    #[test]
    fn a_refresh_is_a_link() {
        for content in ["0;url=a", "5; URL='a'", " 1.5 , Url = \"a\" b", "0; a", "0;url=a "] {
            let content = content.replace('"', "&quot;");
            assert_eq!(
                links(&format!("<meta http-equiv=Refresh content=\"{content}\">")),
                ["a"],
                "{content}"
            );
        }
        for content in ["5", "", "5;", "0;url=", "0;url=''"] {
            assert_eq!(
                links(&format!("<meta content=\"{content}\" http-equiv=refresh>")),
                Vec::<String>::new(),
                "{content}"
            );
        }
    }

    #[test]
    fn a_page_can_ask_robots_not_to_follow() {
        assert!(Page::read("<meta name=ROBOTS content='noindex, NoFollow'>", 9).is_nofollow);
        assert!(Page::read("<meta content=none name=robots>", 9).is_nofollow);
        assert!(
            !Page::read("<meta name=robots content=noindex><meta name=other content=nofollow>", 9)
                .is_nofollow
        );
    }

    #[test]
    fn links_after_the_limit_are_counted() {
        let page = Page::read(&"<a href=x>".repeat(10_000), 7);
        assert_eq!((page.links.iter().count(), page.links.dropped()), (7, 9993));
    }

    #[test]
    fn what_is_broken_is_read_as_browsers_do() {
        assert_eq!(links("<a href=a <a href='b><p>c"), ["a"]);
        assert_eq!(links("<a\nhref\n=\n\"a\nb\"/></a href=no><<a href=c>"), ["a\nb", "c"]);
        assert_eq!(links("<a href=\u{fffd}\0>"), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn nested_markup_ends() {
        assert_eq!(links(&format!("{}<a href=x>", "<noscript>".repeat(10_000))), Vec::<String>::new());
        assert_eq!(links("<noscript><a href=x></noscript><noscript><a href=y>"), ["x", "y"]);
        assert_eq!(links("<noscript>text<a href=x>text</noscript><noscript>text"), ["x"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(<|>|</|a|base|meta|style|script|noscript|title| href=| content=|url|[\"'&;=/!-]|\\PC|\0){0,80}") {
            Page::read(&text, 5);
        }
    }
}
