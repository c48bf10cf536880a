//! Addresses on a command line.

use std::net::{Ipv4Addr, SocketAddr};

use sinbin::Place;

/// Parses a place to listen at: `unix:` and a path, or an [address].
///
/// # Errors
///
/// Fails with a message for the user that lists the accepted forms.
pub fn place(text: &str) -> Result<Place, String> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() && cfg!(unix) => Ok(Place::Path(path.into())),
        _ => address(text).map(Place::Address),
    }
}

/// Parses an address with a port, such as `127.0.0.1:25000` or `[::1]:25000`. In `localhost:25000`, `:25000` and `25000`, the
/// address is 127.0.0.1.
///
/// # Errors
///
/// Fails with a message for the user that lists the accepted forms.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().ok().or_else(|| local(text)).ok_or_else(|| {
        "expected an IP address and a port, such as 127.0.0.1:25000 or [::1]:25000, or a port of 127.0.0.1, such as localhost:25000 or 25000"
            .to_owned()
    })
}

/// Parses a port of 127.0.0.1, with or without the name `localhost`.
fn local(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    // `parse` also accepts a sign.
    let is_port = matches!(host, "" | "localhost") && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_port)?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

#[cfg(test)]
mod tests {
    use super::{address, place};
    use sinbin::Place;

    #[test]
    fn a_path_is_a_place() {
        assert_eq!(place("unix:/run/a b:1"), Ok(Place::Path("/run/a b:1".into())));
        assert_eq!(place("25000"), Ok(Place::Address(([127, 0, 0, 1], 25000).into())));
        assert!(place("unix:").is_err() && place("/run/a").is_err());
    }

    #[test]
    fn short_forms_of_addresses_are_accepted() {
        for (text, meaning) in [
            ("25000", "127.0.0.1:25000"),
            (":25000", "127.0.0.1:25000"),
            ("localhost:25000", "127.0.0.1:25000"),
            ("127.0.0.1:25000", "127.0.0.1:25000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("0", "127.0.0.1:0"),
            ("[::1]:25000", "[::1]:25000"),
            ("[::]:65535", "[::]:65535"),
        ] {
            assert_eq!(address(text), Ok(meaning.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_examples() {
        for text in [
            "",
            ":",
            "localhost",
            "localhost:",
            "127.0.0.1",
            "::1",
            "::1:25000",
            "[::1]",
            "[::1]:",
            "65536",
            "+80",
            "-1",
            ":+80",
            " 80",
            "80 ",
            "1.2.3:80",
            "example.org:80",
            "LOCALHOST:80:80",
        ] {
            let error = address(text).expect_err(text);
            assert!(error.contains("127.0.0.1:25000") && error.contains("[::1]:25000"), "{text}: {error}");
        }
    }
}
