//! Dice as a component that a host drives. Each byte that a client sends is answered by the number of a die, and a line with
//! the seconds since 1970. Random numbers, the time and the log are those of the host, so that a recording contains them.
#![no_std]

extern crate alloc;

use alloc::format;

use sinbin_core::task::{Conn, Error};
use sinbin_guest::{log, random, unix_time};

sinbin_guest::tasks!(serve);

async fn serve(conn: Conn<'_>) -> Result<(), Error> {
    let mut buf = [0; 64];
    loop {
        let n = conn.recv(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        for byte in &buf[..n] {
            let rolled = match roll() {
                Some(number) => number,
                None => return conn.send_all(b"the host has no dice\n").await,
            };
            match byte {
                b'!' => panic!("the die fell off the table after a {rolled}"),
                b'?' => log::warn!("a client asked for line\nbreaks, and rolled {rolled}"),
                b'.' => (0..10_000).for_each(|line| log::info!("line {line}")),
                _ => log::debug!("rolled {rolled}"),
            }
            let time = unix_time().map_or(0, |time| time.as_secs());
            conn.send_all(format!("{rolled} {time}\n").as_bytes()).await?;
        }
    }
}

/// Returns a number from 1 to 6, each with the same probability, or `None` without random numbers.
fn roll() -> Option<u8> {
    loop {
        let mut byte = [0];
        random(&mut byte).ok()?;
        // 252 is the largest multiple of 6 in a byte.
        if byte[0] < 252 {
            return Some(byte[0] % 6 + 1);
        }
    }
}
