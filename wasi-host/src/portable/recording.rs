//! Recordings of WASI commands, which contain each call of a command, its arguments and its result.
//!
//! A command depends only on the results of its calls. With these, a [`Replay`] runs the command again without network,
//! clock, random numbers or files, and compares its calls and their arguments to the byte: what it sends, what it writes
//! to its standard streams and files, and how it ends. Nothing of the host that answered the calls takes part, so a
//! recording can be replayed by another version of it.
//!
//! # The format
//!
//! A recording begins with the twelve bytes `sinbin-calls`, and a version byte. Blocks follow. A block is a length of four
//! bytes, a CRC-32 (IEEE) of four bytes, both little-endian, and as many bytes as the length says. The checksum covers
//! the lengths, as eight bytes, and the bytes of all blocks up to and including this one: it detects a block that is
//! damaged, missing or inserted. Numbers are LEB128, of up to 64 bits; strings and bytes are preceded by their length.
//!
//! The first block is the [`Header`]: the name of the program, the SHA-256 of the component's file in 32 bytes, and the
//! two limits. Each other block has whole records. A record begins with the identifier of a function in four bytes,
//! little-endian, and the microseconds since the record before. The encoded arguments and the encoded result follow,
//! each as bytes. The arguments of `poll` are coded by their difference from those of the last `poll`: the numbers of
//! equal bytes at the beginning and at the end, and the bytes between. The identifier 0 is that of the end, which
//! consists of the number of calls, a byte for its kind, and the exit code or the reason of the trap.

mod answer;
mod commands;
mod files;
mod format;
mod interface;
mod player;
mod reader;
mod recorded;
mod sockets;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod writer;

pub use format::Header;
pub use player::{Replay, ReplayError, Replayed, ToTrace};
pub use reader::{ReadError, is_recording};
pub use recorded::Trace;
pub use writer::Recording;

pub(super) use player::Player;
pub(super) use recorded::{Recorded, Recorder};

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use sinbin::files::open_regular;

/// Returns the SHA-256 of a component's file, for a [`Header`].
///
/// # Errors
///
/// Fails if the file can't be read.
pub fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hash) = (open_regular(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}
