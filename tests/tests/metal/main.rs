//! The firmware of `metal/firmware` on an emulated Cortex-M4: it answers over real TCP, its memory stays flat under load,
//! no wake from an interrupt is lost, and a stack that overflows is reported.

#![cfg(unix)]

mod cable;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use sinbin_tests::{Client, PATIENCE, Running, Server, connect, fib, firmware, firmware_on, foreign_lacks};

/// The number of sockets of the firmware here, as on a board for 16 connections.
const SOCKETS: usize = 16;

/// Returns true, and prints a notice, if QEMU is not installed.
fn lacks_qemu() -> bool {
    foreign_lacks("qemu").is_some()
}

/// Returns the command that runs a program which needs no network.
fn program(name: &str) -> Command {
    firmware(name, "", SOCKETS)
}

#[test]
fn the_services_answer_written_either_way() {
    if lacks_qemu() {
        return;
    }
    for features in ["", "async"] {
        let server = Server::announced(firmware("fib", features, SOCKETS));
        assert_eq!(server.ask("30\n1\nx\n"), "832040\n1\nerror: not an integer\n");
        let server = Server::announced(firmware("upper", features, SOCKETS));
        assert_eq!(server.ask("hello"), "HELLO_SB");
    }
}

/// The board `mps2-an385` has a Cortex-M3, which runs the instructions of a Cortex-M0.
#[test]
fn the_services_answer_without_the_instructions_of_larger_cores() {
    if lacks_qemu() {
        return;
    }
    let server = Server::announced(firmware_on("mps2-an385", "fib", "", SOCKETS));
    assert_eq!(server.ask("30\n1\nx\n"), "832040\n1\nerror: not an integer\n");
}

#[test]
fn tasks_without_a_kernel_run_on_a_cortex_m0() {
    if lacks_qemu() {
        return;
    }
    let ended = Running::start(firmware_on("microbit", "tick", "", SOCKETS)).wait();
    let ticks = "tick 1\ntick 2\ntick 3\ntick 4\ntick 5\n";
    assert_eq!((ended.stdout.as_str(), ended.code), (ticks, Some(0)), "{ended:?}");
}

/// Beyond the sockets, clients are refused. The others are served, and each socket that is left serves the next client.
#[test]
fn clients_beyond_the_sockets_are_refused_and_none_hangs() {
    if lacks_qemu() {
        return;
    }
    let server = Server::announced(firmware("fib", "", SOCKETS));
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..SOCKETS)
            .map(|n| {
                let mut client = server.client();
                client.ask(u32::try_from(n).expect("a small number"));
                client
            })
            .collect();
        // All sockets are in use. QEMU accepts the connection, and ends it when the board refuses.
        let refused = server.client();
        assert!(ends(refused.stream()), "the client is told that it is refused");
        for client in &mut clients {
            client.ask(20);
        }
        for client in clients {
            client.end();
            let mut client = client;
            assert_eq!(client.rest(), "");
        }
    }
}

/// Waits until the connection ends, by a reset or otherwise, without a byte.
fn ends(mut stream: &TcpStream) -> bool {
    use std::io::Read;
    stream.read(&mut [0]).map_or(true, |count| count == 0)
}

/// A job is computed in slices: a client that echoes numbers is answered meanwhile.
#[test]
fn a_job_holds_up_no_other_client() {
    if lacks_qemu() {
        return;
    }
    let mut command = firmware("fib", "", SOCKETS);
    command.args(["--max-n", "93"]);
    let server = Server::announced(command);
    let mut slow = server.client();
    // This job would take a thousand years.
    slow.send("93\n");
    let mut fast = server.client();
    for n in 0..100 {
        fast.ask(n % 10);
    }
    assert!(slow.is_silent());
    slow.reset();
    fast.ask(7);
}

/// The emulator with its serial port.
struct Board {
    child: Child,
    keys: ChildStdin,
    lines: Receiver<String>,
}

impl Board {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
        let (keys, out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, keys, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line on the serial port")
    }

    /// Waits until the board listens.
    fn address(&self) -> SocketAddr {
        let line = self.line();
        let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("{line}"))
    }

    /// Asks for the number of bytes of the stack that were ever used, and for its size.
    fn stack(&mut self) -> (usize, usize) {
        self.keys.write_all(b"?").and_then(|()| self.keys.flush()).expect("the emulator reads");
        let line = self.line();
        let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
        let both = numbers.next().zip(numbers.next());
        both.unwrap_or_else(|| panic!("{line}"))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The number of requests of the load. `SINBIN_SOAK` sets another one.
const REQUESTS: usize = 8_000;

/// The stack that interrupts use.
const INTERRUPTS: usize = 512;

/// The number of clients of the load.
const CLIENTS: usize = 8;

#[test]
fn under_load_no_answer_is_lost_or_wrong_and_the_stack_does_not_grow() {
    if lacks_qemu() {
        return;
    }
    let requests = std::env::var("SINBIN_SOAK").map_or(REQUESTS, |count| count.parse().expect("a number"));
    for features in ["", "async"] {
        let mut board = Board::start(firmware("fib", features, SOCKETS));
        let address = board.address();
        load(address, requests / 10);
        let (before, _) = board.stack();
        load(address, requests);
        let (after, _) = board.stack();
        println!("{features}: {requests} requests of {CLIENTS} clients; the stack used {after} bytes");
        // An interrupt may come where the stack is deepest, or not.
        assert!(after <= before + INTERRUPTS, "the stack grows under load, from {before} to {after} bytes");
    }
}

/// The RAM of the board.
const RAM: usize = 64 * 1024;

/// The page "On the metal" has this formula.
#[test]
fn ram_is_what_the_formula_says() {
    if lacks_qemu() {
        return;
    }
    for sockets in [8, SOCKETS] {
        let mut board = Board::start(firmware("fib", "", sockets));
        let address = board.address();
        load(address, 1600);
        let (used, size) = board.stack();
        let all = RAM - size + used;
        let formula = 9_600 + 1_700 * sockets;
        assert!(all <= formula, "{sockets} connections take {all} bytes, and not {formula}");
        assert!(all >= formula / 10 * 9, "{sockets} connections take only {all} bytes of {formula}");
    }
}

/// The most RAM that sinbin takes for its tables with 16 sockets, without smoltcp, its buffers and the driver.
const OWN: u32 = 6_600;

#[test]
fn the_tables_take_little_of_the_ram() {
    if lacks_qemu() {
        return;
    }
    let ended = Running::start(program("ram")).wait();
    println!("{}", ended.stdout.trim_end());
    let own = ended.stdout.split_once("sinbin ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    assert!(own.is_some_and(|own: u32| own <= OWN), "{ended:?}");
}

/// Asks for this many numbers, by several clients at a time.
fn load(address: SocketAddr, requests: usize) {
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = Client::over(connect(address));
                for n in 0..requests / CLIENTS {
                    let n = u32::try_from((n + number) % 21).expect("a small number");
                    client.send(format!("{n}\n"));
                    assert_eq!(client.line(), fib(n).to_string());
                }
            });
        }
    });
}

#[test]
fn tasks_of_interrupts_and_time_run_side_by_side() {
    if lacks_qemu() {
        return;
    }
    let ended = Running::start(program("blink")).wait();
    assert!(ended.stdout.starts_with("blinked: Empty"), "{ended:?}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_driver_that_was_written_for_embassy_runs() {
    if lacks_qemu() {
        return;
    }
    let ended = Running::start(program("button")).wait();
    assert_eq!(
        (ended.stdout.as_str(), ended.code),
        ("pressed 1\npressed 2\npressed 3\n", Some(0)),
        "{ended:?}"
    );
}

/// The slice of a job, twice, and the rounds of the loop around it: a request that arrives in one slice is read behind
/// it, and its answer is sent behind the next one.
const LATENCY: u32 = 100_000;

/// Counts instructions, so that neither this machine nor the emulator's speed matters.
#[test]
fn the_latency_beside_jobs_is_bounded_in_instructions() {
    if lacks_qemu() {
        return;
    }
    let mut command = program("latency");
    command.env("SINBIN_QEMU", "-icount shift=0");
    let ended = Running::start(command).wait();
    println!("{}", ended.stdout.trim_end());
    let number_behind = |word: &str| -> Option<u32> {
        ended.stdout.split_once(word)?.1.split_ascii_whitespace().next()?.parse().ok()
    };
    assert!(number_behind("beside").is_some_and(|jobs| jobs > 0), "{ended:?}");
    assert!(number_behind("within").is_some_and(|longest| longest < LATENCY), "{ended:?}");
}

#[test]
fn no_wake_of_an_interrupt_is_lost_at_any_instruction() {
    if lacks_qemu() {
        return;
    }
    let mut command = program("sweep");
    // An instruction takes a nanosecond, and time jumps to the next interrupt while the processor sleeps.
    command.env("SINBIN_QEMU", "-icount shift=0,sleep=off");
    let ended = Running::start(command).wait();
    println!("{}", ended.stdout.trim_end());
    // From the wake in the interrupt to the line behind the `.await`; and from the interrupt to its handler, which both
    // critical sections and the dispatch of interrupts delay.
    for (executor, wake, delay) in [("round robin", 100, 120), ("kernel", 600, 160)] {
        let line = ended.stdout.lines().find(|line| line.starts_with(executor) && line.contains("none lost"));
        let number_behind = |word: &str| -> Option<u32> {
            line?.split_once(word)?.1.split_ascii_whitespace().next()?.parse().ok()
        };
        assert!(number_behind("takes").is_some_and(|took| took < wake), "{executor}: {ended:?}");
        assert!(number_behind("within").is_some_and(|late| late <= delay), "{executor}: {ended:?}");
    }
}

#[test]
fn a_stack_that_overflows_is_reported() {
    if lacks_qemu() {
        return;
    }
    let ended = Running::start(program("overflow")).wait();
    assert!(ended.stdout.contains("the stack has overflowed"), "{ended:?}");
    assert_eq!(ended.code, Some(1));
}
