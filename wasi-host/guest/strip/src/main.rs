//! Copies a wasm file without its custom sections, such as the names of functions: `strip FROM TO`. The code does not change, so
//! that the names in the first file also apply to the second.

use std::error::Error;
use std::{env, fs};

/// The id of a custom section in a module or component.
const CUSTOM: u8 = 0;
/// The id of a component's section with a core module.
const CORE_MODULE: u8 = 1;
/// The id of a component's section with a nested component.
const COMPONENT: u8 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = env::args().skip(1);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else {
        return Err("usage: strip FROM TO".into());
    };
    let wasm = fs::read(&from)?;
    fs::write(to, stripped(&wasm).ok_or_else(|| format!("{from} is not a wasm file"))?)?;
    Ok(())
}

/// Returns a module or component without custom sections at any level of nesting. Returns `None` for other files.
fn stripped(wasm: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = wasm.split_at_checked(8)?;
    let is_component = match header.strip_prefix(b"\0asm")? {
        [_, _, 0, 0] => false,
        [_, _, 1, 0] => true,
        _ => return None,
    };
    let mut out = header.to_vec();
    while let Some((&id, behind)) = rest.split_first() {
        let (length, behind) = number(behind)?;
        let (body, behind) = behind.split_at_checked(length)?;
        rest = behind;
        let inner = match id {
            CUSTOM => continue,
            CORE_MODULE | COMPONENT if is_component => Some(stripped(body)?),
            _ => None,
        };
        let body = inner.as_deref().unwrap_or(body);
        out.push(id);
        push_number(&mut out, body.len());
        out.extend_from_slice(body);
    }
    Some(out)
}

/// Decodes a number in LEB128, and returns it with the remaining bytes.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// Appends a number in LEB128.
fn push_number(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let byte = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        out.push(if number == 0 { byte } else { byte | 0x80 });
        if number == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{number, push_number, stripped};

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn numbers_are_decoded_as_they_are_encoded() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 20, u32::MAX as usize] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, value);
            bytes.push(7);
            assert_eq!(number(&bytes), Some((value, &[7][..])));
        }
        assert_eq!(number(&[0x80; 6]), None);
        assert_eq!(number(&[]), None);
    }

    #[test]
    fn custom_sections_are_removed_at_each_level() {
        let module = [MODULE, &[0, 2, 1, b'n'], &[1, 1, 0], &[0, 1, 0]].concat();
        assert_eq!(stripped(&module), Some([MODULE, &[1, 1, 0]].concat()));
        let length = u8::try_from(module.len()).unwrap();
        let component = [COMPONENT, &[0, 1, 0], &[1, length], &module, &[7, 1, 0]].concat();
        let expected = [COMPONENT, &[1, 11], MODULE, &[1, 1, 0], &[7, 1, 0]].concat();
        assert_eq!(stripped(&component), Some(expected));
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b""[..], b"\0asm", b"text, and more of it", &[MODULE, &[1, 9, 0]].concat()] {
            assert_eq!(stripped(bytes), None, "{bytes:?}");
        }
    }
}
