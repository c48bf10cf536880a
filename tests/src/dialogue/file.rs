use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use toml::Value;

use super::check::check;
use super::error::Wrong;
use super::script::{Client, Dialogue, Need, Service, Step};
use super::words::read_step;

/// The largest `count` of a client.
const MOST_CLIENTS: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDialogue {
    shows: String,
    #[serde(default)]
    options: BTreeMap<String, RawOption>,
    #[serde(default)]
    needs: Vec<Need>,
    client: Vec<RawClient>,
}

/// The value of an option. A command line passes it as text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "the value of an option is a number or a text")]
enum RawOption {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    name: Option<String>,
    count: Option<usize>,
    /// The unparsed steps: each is parsed on its own, so that an error can name its number.
    steps: Vec<Value>,
}

/// Reads all dialogues below `directory`, which has one directory for each service. Returns them in the order of their
/// names.
///
/// # Errors
///
/// Fails if a file cannot be read or is not a valid dialogue. The message names file, client and step.
pub fn read_all(directory: &Path) -> Result<Vec<Dialogue>, Wrong> {
    let mut dialogues = Vec::new();
    for service in Service::ALL {
        let directory = directory.join(service.name());
        let unreadable = |error| Wrong::Unreadable { path: directory.clone(), error };
        let entries: Result<Vec<_>, _> = fs::read_dir(&directory).map_err(unreadable)?.collect();
        let mut paths: Vec<_> = entries.map_err(unreadable)?.iter().map(fs::DirEntry::path).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| Wrong::Unreadable { path: path.clone(), error })?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            dialogues.push(parse(service, &stem, &text)?);
        }
    }
    Ok(dialogues)
}

/// Parses one dialogue; `stem` is the file's name without its extension.
///
/// # Errors
///
/// Fails if the text is not a valid dialogue.
pub fn parse(service: Service, stem: &str, text: &str) -> Result<Dialogue, Wrong> {
    let name = format!("{service}/{stem}");
    let raw: RawDialogue =
        toml::from_str(text).map_err(|error| Wrong::Syntax { name: name.clone(), error: Box::new(error) })?;
    let mut clients = Vec::new();
    for (index, client) in raw.client.iter().enumerate() {
        client.expand(&name, index, &mut clients)?;
    }
    let RawDialogue { shows, options, needs, .. } = raw;
    let options = options.into_iter().map(|(option, value)| (option, value.text())).collect();
    let dialogue = Dialogue { name, service, shows, options, needs, clients };
    check(&dialogue)?;
    Ok(dialogue)
}

impl RawOption {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl RawClient {
    /// Adds `count` clients to `clients`.
    fn expand(&self, dialogue: &str, index: usize, clients: &mut Vec<Client>) -> Result<(), Wrong> {
        let name = self.name.clone().unwrap_or_else(|| format!("client {}", index + 1));
        let count = self.count.unwrap_or(1);
        if !(1..=MOST_CLIENTS).contains(&count) {
            let what = format!("count = {count}: it takes 1 to {MOST_CLIENTS}");
            return Err(Wrong::Client { name: dialogue.to_owned(), client: name, what });
        }
        for number in 0..count {
            let name = if self.count.is_some() { format!("{name} #{number}") } else { name.clone() };
            let steps = self.steps.iter().enumerate().map(|(step, value)| {
                read_step(value, number).map_err(|what| {
                    let (dialogue, client) = (dialogue.to_owned(), name.clone());
                    Wrong::Step { name: dialogue, client, step: step + 1, what }
                })
            });
            let steps = complete(steps.collect::<Result<_, _>>()?);
            clients.push(Client { name, steps });
        }
        Ok(())
    }
}

/// Adds the implicit steps: connecting first, and flushing and closing last.
fn complete(mut steps: Vec<Step>) -> Vec<Step> {
    if !steps.contains(&Step::Connect) {
        steps.insert(0, Step::Connect);
    }
    if !matches!(steps.last(), Some(Step::ExpectEnd { .. } | Step::Reset | Step::Close)) {
        steps.extend([Step::Flush, Step::Close]);
    }
    steps
}
