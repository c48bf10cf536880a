//! The crawler: `crawler URL [CONCURRENCY]` requests what is linked on a site, each URL once, with reqwest. It reads pages
//! by the same tokenizer as `sinbin crawl`, and knows no robots.txt, no limits and no state.

use std::collections::{HashSet, VecDeque};

use html5gum::{Token, Tokenizer};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use tokio::task::JoinSet;

use crate::{MainError, argument};

/// The number of requests at a time, by default.
const CONCURRENCY: usize = 8;

/// The attributes that are links.
const LINKS: [&[u8]; 2] = [b"href", b"src"];

/// The known URLs of a site.
struct Site {
    start: Url,
    seen: HashSet<Url>,
    queue: VecDeque<Url>,
}

impl Site {
    /// Puts a URL on the queue, unless it is of another site or known.
    fn add(&mut self, mut url: Url) {
        url.set_fragment(None);
        if url.origin() == self.start.origin() && self.seen.insert(url.clone()) {
            self.queue.push_back(url);
        }
    }
}

/// Requests a URL, and returns the links of the page.
async fn fetch(client: Client, url: Url) -> Result<Vec<Url>, reqwest::Error> {
    let response = client.get(url).send().await?.error_for_status()?;
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let (is_page, url) = (kind.starts_with(b"text/html"), response.url().clone());
    let body = response.bytes().await?;
    Ok(if is_page { links(&url, &body) } else { Vec::new() })
}

fn links(page: &Url, body: &[u8]) -> Vec<Url> {
    let mut links = Vec::new();
    for Ok(token) in Tokenizer::new(body) {
        let Token::StartTag(tag) = token else { continue };
        for name in LINKS {
            let link = tag.attributes.get(name).and_then(|link| std::str::from_utf8(link).ok());
            links.extend(link.and_then(|link| page.join(link).ok()));
        }
    }
    links
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let start = Url::parse(argument(arguments, 0, "URL")?)?;
    let concurrency = arguments.get(1).map_or(Ok(CONCURRENCY), |number| number.parse())?;
    let client = Client::builder().build()?;
    let mut site = Site { start: start.clone(), seen: HashSet::new(), queue: VecDeque::new() };
    site.add(start);
    let mut running = JoinSet::new();
    loop {
        while running.len() < concurrency
            && let Some(url) = site.queue.pop_front()
        {
            running.spawn(fetch(client.clone(), url));
        }
        let Some(fetched) = running.join_next().await else { break };
        match fetched? {
            Ok(links) => links.into_iter().for_each(|link| site.add(link)),
            Err(error) => eprintln!("{error}"),
        }
    }
    println!("{} URLs", site.seen.len());
    Ok(())
}
