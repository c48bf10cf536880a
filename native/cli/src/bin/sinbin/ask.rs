//! `sinbin ask`: sends lines to a server, and prints the answers.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crate::cli::AskArgs;
use crate::perf::advice;
use sinbin_cli::stream::OUT;

/// Timeout for connecting.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &AskArgs) -> Result<ExitCode, Box<dyn Error>> {
    let server = args.connect;
    let stream =
        TcpStream::connect_timeout(&server, PATIENCE).map_err(|error| not_connected(server, &error))?;
    stream.set_read_timeout(args.timeout.0)?;
    let mut requests = args.lines.join("\n");
    requests.push('\n');
    // A thread sends, because a server may stop reading until its answers are received.
    let mut sender = stream.try_clone()?;
    thread::spawn(move || {
        // An error of the connection is reported by the thread that receives.
        sender.write_all(requests.as_bytes()).ok();
        sender.shutdown(Shutdown::Write).ok();
    });
    print(stream, args)
}

/// Prints the received bytes until the server closes the connection.
fn print(mut stream: TcpStream, args: &AskArgs) -> Result<ExitCode, Box<dyn Error>> {
    let server = args.connect;
    let mut buffer = vec![0; 64 << 10];
    let mut is_answered = false;
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) if is_answered => return Ok(ExitCode::SUCCESS),
            Ok(0) => return Err(format!("{server} closed the connection without an answer").into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(args, is_answered, &error).into()),
        };
        is_answered = true;
        match OUT.write_all(&buffer[..count]) {
            Ok(()) => {}
            // The reader has closed the pipe, as `| head -1` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(format!("cannot write to stdout: {error}").into()),
        }
    }
}

/// Returns the message for an error of connecting.
fn not_connected(server: SocketAddr, error: &io::Error) -> String {
    if error.kind() == ErrorKind::ConnectionRefused {
        return format!(
            "nothing listens on {server}; start `sinbin serve fib`, or set the address with --connect"
        );
    }
    let advice = advice::on(error).map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("cannot connect to {server}: {error}{advice}")
}

/// Returns the message for an error of receiving.
fn broken(args: &AskArgs, is_answered: bool, error: &io::Error) -> String {
    let server = args.connect;
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut if is_answered => format!(
            "{server} did not close the connection within {} after its last answer; set a longer --timeout",
            args.timeout
        ),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("{server} did not answer within {}; set a longer --timeout", args.timeout)
        }
        _ => format!("the connection to {server} failed: {error}"),
    }
}
