//! The screenshots in the documentation: `just monitor-pictures` makes them again.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use sinbin_tests::{Browser, Running, Server, example, lacks_chromium};

use super::{monitor, next_look, open, pid};

/// The directory of the pictures.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src");
/// The number of clients.
const CLIENTS: u64 = 36;
/// The looks of which the sparklines show something.
const LOOKS: u64 = 150;
/// The maximum size of a picture in bytes.
const MAX_BYTES: u64 = 150_000;

#[test]
#[ignore = "it writes the pictures of the documentation"]
fn pictures() {
    assert!(!lacks_chromium(), "the pictures are made by chromium");
    let server = Server::fib(&["--workers", "1"]);
    let monitor = monitor(&[&pid(&server)], &["--every", "100ms"]);
    let is_over = AtomicBool::new(false);
    scope(|scope| {
        // Also if this fails, the clients end.
        let _end = End(&is_over);
        for number in 0..CLIENTS {
            let (address, is_over) = (server.address(), &is_over);
            scope.spawn(move || ask(address, number, is_over));
        }
        let mut browser = open(&monitor, 1280, "");
        while browser.evaluate("Number(document.body.dataset.look)").as_u64() < Some(LOOKS) {
            next_look(&mut browser);
        }
        browser.resize(1280, 1080);
        for scheme in ["dark", "light"] {
            prefer(&mut browser, scheme);
            next_look(&mut browser);
            save(&format!("monitor-{scheme}.png"), &browser.picture());
        }
        browser.resize(390, 844);
        next_look(&mut browser);
        save("monitor-phone.png", &browser.picture());
    });

    let mut command = example("tangle");
    command.args(["10000", "3600000"]);
    let tangle = Running::start(command);
    tangle.says("both wait");
    let monitor = super::monitor(&[&pid(&tangle)], &[]);
    let mut browser = open(&monitor, 1280, "");
    browser.resize(1280, 860);
    prefer(&mut browser, "light");
    browser.evaluate("document.querySelector('.zoom[data-bin=task]').click()");
    next_look(&mut browser);
    save("monitor-deadlock.png", &browser.picture());
}

/// Sets the colours. Without motion, no dot is between two bins.
fn prefer(browser: &mut Browser, scheme: &str) {
    browser.prefer(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
}

/// Ends the clients when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again, more and less often, until it is over.
fn ask(address: SocketAddr, number: u64, is_over: &AtomicBool) {
    let stream = TcpStream::connect(address).expect("the server listens");
    let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    for round in number.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let n = if number.is_multiple_of(6) { 21 + round % 3 } else { 3 + round % 15 };
        stream.write_all(format!("{n}\n").as_bytes()).expect("the server receives");
        replies.read_line(&mut String::new()).expect("a reply");
        // The pauses let tasks wait for different times, and the load rise and fall.
        let pause = 2 + (1 << (number % 12)) + 40 * (round / 50 % 3);
        let pauses = (0..pause).step_by(100).take_while(|_| !is_over.load(Ordering::Relaxed));
        pauses.for_each(|begin| sleep(Duration::from_millis((pause - begin).min(100))));
    }
}

/// Writes a picture, and compresses it if a tool for that is installed.
fn save(name: &str, png: &[u8]) {
    let path = Path::new(DOCS).join(name);
    std::fs::write(&path, png).expect("the picture is written");
    // A palette of 256 colours is enough for a page, and makes the file a third as large.
    let shrink = Command::new("pngquant").args(["--force", "--strip", "--ext", ".png"]).arg(&path).status();
    let size = std::fs::metadata(&path).expect("the picture exists").len();
    let compressed = shrink.is_ok_and(|status| status.success());
    assert!(
        compressed && size < MAX_BYTES,
        "{name} has {size} bytes; pngquant of the package pngquant compresses it"
    );
}
