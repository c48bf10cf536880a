//! The attribute `srcset`: several images with descriptions of their sizes.

/// Passes the URLs of `text` to `push` (HTML, "parse a srcset attribute").
pub(crate) fn read(text: &str, mut push: impl FnMut(&str)) {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_ascii_whitespace() || char == ',');
        if rest.is_empty() {
            return;
        }
        let end = rest.find(|char: char| char.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        let without_comma = url.trim_end_matches(',');
        push(without_comma);
        rest = if without_comma.len() < url.len() { after } else { after_descriptors(after) };
    }
}

/// Returns what follows the comma after descriptors. A comma within parentheses is part of a descriptor.
fn after_descriptors(text: &str) -> &str {
    let mut is_in_parens = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => is_in_parens = true,
            b')' => is_in_parens = false,
            b',' if !is_in_parens => return &text[at..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    fn urls(text: &str) -> Vec<String> {
        let mut urls = Vec::new();
        super::read(text, |url| urls.push(url.to_owned()));
        urls
    }

    #[test]
    fn candidates() {
        assert_eq!(urls("a.png 1x, b.png 2x"), ["a.png", "b.png"]);
        assert_eq!(urls("a.png, b.png 300w,c.png"), ["a.png", "b.png", "c.png"]);
        assert_eq!(urls(" ,, a,b.png 1x (2, 3),\tc.png,"), ["a,b.png", "c.png"]);
        assert_eq!(urls("data:image/png;base64,AAAA 1x"), ["data:image/png;base64,AAAA"]);
        assert_eq!(urls(""), Vec::<String>::new());
        assert_eq!(urls(" , "), Vec::<String>::new());
    }
}
