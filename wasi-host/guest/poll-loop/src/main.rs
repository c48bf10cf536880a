//! An ordinary WASI command, for the tests of the host. The command does not use sinbin, does not end by itself, and
//! ignores its stdin.
//!
//! - `poll-loop echo ADDR` is an ordinary echo server on std's sockets and libc's `poll`. It serves each ready
//!   connection once, then polls again.
//! - `poll-loop try ADDR` is an echo server too. It never polls, but tries all of its sockets in turn, forever.
//! - `poll-loop spin` computes forever, and `poll-loop hang` sleeps forever. Both ignore the end of stdin.
//! - `poll-loop talk` writes to stdout until that fails.
//! - `poll-loop shout TEXT` writes the text to stderr forever, as a line each time.
//! - `poll-loop gush` writes to stdout without checking for capacity.
//! - `poll-loop hoard` creates resources without limit, and `poll-loop crowd` polls one resource millions of times in
//!   one call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Duration;

use wasi::cli::stdout::get_stdout;
use wasi::clocks::monotonic_clock::subscribe_duration;
use wasi::io::poll::poll;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["echo", address] => echo(&TcpListener::bind(address)?),
        ["try", address] => try_all(&TcpListener::bind(address)?),
        ["spin"] => spin(),
        ["hang"] => std::thread::sleep(Duration::from_secs(u64::from(u32::MAX))),
        ["talk"] => talk()?,
        ["shout", text] => loop {
            writeln!(io::stderr(), "{text}")?;
        },
        ["gush"] => gush(),
        ["hoard"] => loop {
            std::mem::forget(subscribe_duration(u64::MAX));
        },
        ["crowd"] => {
            let one = subscribe_duration(u64::MAX);
            drop(poll(&vec![&one; 5_000_000]));
        }
        _ => return Ok(ExitCode::from(1)),
    }
    Ok(ExitCode::SUCCESS)
}

fn echo(listener: &TcpListener) -> ! {
    listener.set_nonblocking(true).expect("a listener that does not block");
    say(&format!("listening on {}", listener.local_addr().expect("a bound listener")));
    let mut streams: Vec<TcpStream> = Vec::new();
    loop {
        let mut polled: Vec<_> = streams.iter().map(|stream| readable(stream.as_raw_fd())).collect();
        polled.push(readable(listener.as_raw_fd()));
        wait(&mut polled);
        // In reverse order, since `swap_remove` moves the last stream to the index of the removed one.
        for index in (0..streams.len()).rev() {
            if polled[index].revents != 0 && !serve(&mut streams[index]) {
                streams.swap_remove(index);
            }
        }
        if polled.last().is_some_and(|listener| listener.revents != 0) {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).expect("a stream that does not block");
                streams.push(stream);
            }
        }
    }
}

fn try_all(listener: &TcpListener) -> ! {
    listener.set_nonblocking(true).expect("a listener that does not block");
    say(&format!("listening on {}", listener.local_addr().expect("a bound listener")));
    let mut streams: Vec<TcpStream> = Vec::new();
    loop {
        streams.retain_mut(serve);
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("a stream that does not block");
            streams.push(stream);
        }
    }
}

fn readable(fd: i32) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

fn wait(polled: &mut [libc::pollfd]) {
    let count = polled.len().try_into().expect("a number that poll takes");
    // SAFETY: `polled` is valid for `count` descriptors, and outlives the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, -1) };
    assert!(ready >= 0, "poll: {}", io::Error::last_os_error());
}

/// Sends back the received bytes. Returns false if the connection has ended.
fn serve(stream: &mut TcpStream) -> bool {
    let mut input = [0; 512];
    match stream.read(&mut input) {
        Ok(0) => false,
        // The tests send so few bytes that they always fit into the send buffer.
        Ok(count) => stream.write_all(&input[..count]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn spin() -> ! {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn talk() -> io::Result<()> {
    loop {
        writeln!(io::stdout(), "a line that is long enough to fill a pipe in time, if nobody reads it")?;
    }
}

fn gush() {
    let stdout = get_stdout();
    while stdout.write(&[b'x'; 4096]).is_ok() {}
}

fn say(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}
