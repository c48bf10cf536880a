use serde::Deserialize;

use crate::client::noise;

/// The most bytes of a step. A larger number is likely a typing error.
const MOST: usize = 16 << 20;

/// Bytes as written in a file.
#[derive(Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "bytes are a text, a table of one of text, hex, noise, number, or a list of those"
)]
pub(super) enum RawBytes {
    Text(String),
    Table(RawTable),
    List(Vec<Self>),
}

/// A notation of bytes, and a repeat count.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    text: Option<String>,
    hex: Option<String>,
    /// The number of pseudorandom bytes, the same each time.
    noise: Option<usize>,
    /// The number of digits in which the client's number is written.
    number: Option<usize>,
    repeat: Option<usize>,
}

impl RawBytes {
    /// Evaluates to the bytes for the client with this number.
    pub(super) fn bytes(&self, client: usize) -> Result<Vec<u8>, String> {
        let bytes = match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Table(table) => table.bytes(client)?,
            Self::List(list) => {
                let parts: Result<Vec<_>, _> = list.iter().map(|part| part.bytes(client)).collect();
                parts?.concat()
            }
        };
        at_most(bytes.len())?;
        Ok(bytes)
    }
}

impl RawTable {
    fn bytes(&self, client: usize) -> Result<Vec<u8>, String> {
        let once = match (&self.text, &self.hex, self.noise, self.number) {
            (Some(text), None, None, None) => text.clone().into_bytes(),
            (None, Some(hex), None, None) => unhex(hex)?,
            (None, None, Some(count), None) => {
                at_most(count)?;
                noise(count)
            }
            (None, None, None, Some(digits @ 1..=9)) => format!("{client:0digits$}").into_bytes(),
            (None, None, None, Some(digits)) => {
                return Err(format!("number = {digits}: it takes 1 to 9 digits"));
            }
            _ => return Err("bytes take one of text, hex, noise and number".to_owned()),
        };
        let repeat = self.repeat.unwrap_or(1);
        at_most(once.len().saturating_mul(repeat))?;
        Ok(once.repeat(repeat))
    }
}

fn at_most(len: usize) -> Result<(), String> {
    if len > MOST {
        return Err(format!("{len} bytes are more than the {MOST} that a step may have"));
    }
    Ok(())
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<_>> =
        text.chars().filter(|char| !char.is_whitespace()).map(|char| char.to_digit(16)).collect();
    let wrong = || {
        format!("hex = {text:?}: it takes pairs of hexadecimal digits, with blanks between them if you like")
    };
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(wrong)?;
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits");
    Ok(digits.chunks(2).map(byte).collect())
}
