//! The parser of steps.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::bytes::RawBytes;
use super::script::{Piece, Step};

/// The longest pause. Longer ones would delay the table too much.
const LONGEST_PAUSE: u64 = 2000;

/// The kinds of steps, and the further keys that each may have. `pause-ms` beside another key belongs to that key.
const KINDS: [(&str, &[&str]); 6] = [
    ("send", &["pieces", "pause-ms"]),
    ("expect", &[]),
    ("expect-one-of", &[]),
    ("reach", &[]),
    ("await", &[]),
    ("pause-ms", &[]),
];

/// The sizes into which bytes are cut.
#[derive(Deserialize)]
#[serde(untagged, expecting = "pieces is a size, or a list of sizes of which the last one goes on")]
enum Sizes {
    All(usize),
    Each(Vec<usize>),
}

/// Parses a step of the client with this number.
pub(super) fn read_step(value: &Value, client: usize) -> Result<Step, String> {
    match value {
        Value::String(word) => read_word(word),
        Value::Table(table) => read_table(table, client),
        _ => Err(format!("a step is a word or a table, and no {}", value.type_str())),
    }
}

fn read_word(word: &str) -> Result<Step, String> {
    Ok(match word {
        "connect" => Step::Connect,
        "half-close" => Step::HalfClose,
        "flush" => Step::Flush,
        "expect-nothing" => Step::ExpectNothing,
        "expect-end" => Step::ExpectEnd { or_reset: false },
        "expect-end-or-reset" => Step::ExpectEnd { or_reset: true },
        "reset" => Step::Reset,
        "close" => Step::Close,
        _ => {
            return Err(format!(
                "{word:?} is none of connect, half-close, flush, expect-nothing, expect-end, expect-end-or-reset, \
                 reset, close"
            ));
        }
    })
}

fn read_table(table: &Table, client: usize) -> Result<Step, String> {
    let kind = KINDS.iter().find(|(kind, _)| table.contains_key(*kind));
    let (kind, beside) =
        kind.ok_or("a step has one of send, expect, expect-one-of, reach, await, pause-ms")?;
    if let Some(other) = table.keys().find(|key| key != kind && !beside.contains(&key.as_str())) {
        return Err(format!("{other} does not belong beside {kind}"));
    }
    match *kind {
        "send" => {
            let bytes = field::<RawBytes>(table, "send")?.bytes(client)?;
            let sizes =
                if table.contains_key("pieces") { field(table, "pieces")? } else { Sizes::All(usize::MAX) };
            let pause = if table.contains_key("pause-ms") { pause(table)? } else { Duration::ZERO };
            cut(&bytes, sizes, pause).map(Step::Send)
        }
        "expect" => Ok(Step::Expect(vec![field::<RawBytes>(table, "expect")?.bytes(client)?])),
        "expect-one-of" => {
            let any: Vec<RawBytes> = field(table, "expect-one-of")?;
            any.iter().map(|bytes| bytes.bytes(client)).collect::<Result<_, _>>().map(Step::Expect)
        }
        "reach" => field(table, "reach").map(Step::Reach),
        "await" => field(table, "await").map(Step::Await),
        _ => pause(table).map(Step::Pause),
    }
}

fn field<T: DeserializeOwned>(table: &Table, key: &str) -> Result<T, String> {
    let value = table[key].clone().try_into();
    value.map_err(|error: toml::de::Error| format!("{key}: {}", error.message()))
}

fn pause(table: &Table) -> Result<Duration, String> {
    match field(table, "pause-ms")? {
        ms @ 0..=LONGEST_PAUSE => Ok(Duration::from_millis(ms)),
        ms => {
            Err(format!("pause-ms = {ms}: it takes 0 to {LONGEST_PAUSE}; nothing should depend on it anyway"))
        }
    }
}

/// Cuts `bytes` into pieces of these sizes, with a `pause` between any two.
fn cut(mut bytes: &[u8], sizes: Sizes, pause: Duration) -> Result<Vec<Piece>, String> {
    let sizes = match sizes {
        Sizes::All(size) => vec![size],
        Sizes::Each(sizes) => sizes,
    };
    if sizes.is_empty() || sizes.contains(&0) {
        return Err("pieces has a size, and none is 0".to_owned());
    }
    if bytes.is_empty() {
        return Err("there is nothing to send".to_owned());
    }
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter().chain(std::iter::repeat(&sizes[sizes.len() - 1]));
    while let (false, Some(size)) = (bytes.is_empty(), sizes.next()) {
        let (piece, rest) = bytes.split_at(bytes.len().min(*size));
        let pause = if pieces.is_empty() { Duration::ZERO } else { pause };
        pieces.push(Piece { pause, bytes: piece.to_vec() });
        bytes = rest;
    }
    Ok(pieces)
}
