//! A question before a measurement whose replies an echo server would give too: fib(1) is 1, and fib(5) is 5.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::advice::on_reply;
use super::client::fibonacci;

/// The number that is asked for, which differs from its Fibonacci number.
const N: u32 = 10;

/// The longest time to wait for the answer. A server that does not answer is measured nevertheless, and reported then.
const PATIENCE: Duration = Duration::from_secs(1);

/// The maximum length of the answer.
const MAX_LINE: u64 = 80;

/// Fails if only requests are to be sent that an echo server would answer correctly, and the server is not a fib server.
pub(crate) fn check(server: SocketAddr, ns: &[u32], timeout: Option<Duration>) -> Result<(), String> {
    if !ns.iter().all(|n| fibonacci(*n) == u64::from(*n)) {
        return Ok(());
    }
    let patience = timeout.map_or(PATIENCE, |timeout| timeout.min(PATIENCE));
    match ask(server, patience).as_deref().map(|said| (said, verdict(said))) {
        Some((said, Some(why))) => Err(format!("the server said {said:?} to fib({N}); {why}")),
        _ => Ok(()),
    }
}

/// Returns the advice on an answer that is no number.
fn verdict(said: &str) -> Option<String> {
    let is_number = said.trim().parse::<u64>().is_ok_and(|number| number != u64::from(N));
    if is_number { None } else { on_reply(N, said) }
}

/// Returns the first line that the server answers, if it does so in time.
fn ask(server: SocketAddr, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&server, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    stream.write_all(format!("{N}\n").as_bytes()).ok()?;
    let mut line = Vec::new();
    BufReader::new(stream).take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_noticed_and_a_number_is_not() {
        assert!(verdict("10\n").is_some_and(|why| why.contains("sends back")));
        assert!(verdict("HTTP/1.1 400 Bad Request\r\n").is_some());
        assert!(verdict("10\n_SB").is_some());
        assert_eq!(verdict("55\n"), None);
        // Another number is measured, and reported if it is wrong.
        assert_eq!(verdict("1\n"), None);
        assert_eq!(verdict("error: too many jobs\n"), None);
    }
}
