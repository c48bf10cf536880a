//! The text of a guest's panic, which the guest leaves in its memory before it traps.

use wasmtime::{Store, WasmCoreDump};

use sinbin::guests::one_line;

/// The name by which the core module of a guest exports the address of the text: a global. At the address are the length
/// of the text, in four bytes, little-endian, and the text in UTF-8.
const EXPORT: &str = "sinbin_panic";

/// The name by which the core module exports its memory.
const MEMORY: &str = "memory";

/// The maximum number of bytes of a text: more than [`one_line`] shows, so that it marks what is left out.
const MAX_TEXT: usize = 1028;

/// The text of a panic, as a cause of the error of a call.
#[derive(Debug, thiserror::Error)]
#[error("the guest panicked at {0}")]
pub(crate) struct Panicked(String);

/// Adds the text of the guest's panic to the error of a call, if the guest has left one. `store` is that of the call.
pub(crate) fn with_text<T: 'static>(error: wasmtime::Error, store: &mut Store<T>) -> wasmtime::Error {
    match error.downcast_ref().and_then(|dump| text(dump, store)) {
        Some(text) => error.context(Panicked(one_line(&text))),
        None => error,
    }
}

/// Returns the text of the panic in the memory of an instance.
fn text<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>) -> Option<Vec<u8>> {
    dump.instances().iter().find_map(|instance| {
        let address = instance.get_global(&mut *store, EXPORT)?.get(&mut *store).i32()?;
        let memory = instance.get_memory(&mut *store, MEMORY)?.data(&*store);
        text_at(memory, address.cast_unsigned()).map(<[u8]>::to_vec)
    })
}

/// Returns the text at an address. The guest determines the address and the length, so both can be wrong.
fn text_at(memory: &[u8], address: u32) -> Option<&[u8]> {
    let (length, text) = memory.get(address as usize..)?.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let text = text.get(..length).filter(|text| !text.is_empty())?;
    Some(&text[..text.len().min(MAX_TEXT)])
}

#[cfg(test)]
mod tests {
    use super::{MAX_TEXT, text_at};

    #[test]
    fn a_wrong_address_or_length_is_no_text() {
        let memory = [&[9, 3, 0, 0, 0][..], b"abc", &[0; 4]].concat();
        assert_eq!(text_at(&memory, 1), Some(&b"abc"[..]));
        for address in [0, 2, 8, 9, 12, 13, u32::MAX] {
            assert_eq!(text_at(&memory, address), None, "{address}");
        }
        let long = [&5000_u32.to_le_bytes()[..], &[b'x'; 5000]].concat();
        assert_eq!(text_at(&long, 0).map(<[u8]>::len), Some(MAX_TEXT));
    }
}
