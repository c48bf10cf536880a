//! What a guest is told and what it answers, for people: a line for each event and each command.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use sinbin_core::driven::recording::Turn;
use sinbin_core::driven::{Answer, Command, Event, Handle};
use sinbin_core::{Instant, Interest, Rest, SourceId};

/// A turn and its answer; `None` if the guest failed.
pub(crate) fn turn(
    out: &mut dyn Write,
    number: u64,
    turn: &Turn<'_>,
    answer: Option<&Answer>,
) -> io::Result<()> {
    writeln!(out, "turn {number} at {}, window {}", Seconds(turn.now), turn.window)?;
    let mut input = turn.input;
    for event in turn.events {
        tell(out, *event, &mut input)?;
    }
    let Some(answer) = answer else { return writeln!(out, "  -> the guest fails") };
    let mut output = &answer.output[..];
    for command in &answer.commands {
        obey(out, *command, &mut output)?;
    }
    match answer.rest {
        Rest::Ready => write!(out, "  -> again at once")?,
        Rest::Until(Instant::NEVER) => write!(out, "  -> waits")?,
        Rest::Until(deadline) => write!(out, "  -> waits until {}", Seconds(deadline))?,
        Rest::Stalled => write!(out, "  -> waits, and nothing can wake it")?,
        Rest::Empty => write!(out, "  -> is over")?,
    }
    writeln!(out, "; room for {}", answer.room)
}

/// Another guest takes over.
pub(crate) fn fresh(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "a fresh guest takes over")
}

fn tell(out: &mut dyn Write, event: Event, input: &mut &[u8]) -> io::Result<()> {
    match event {
        Event::Listener(source) => writeln!(out, "  listener {}", name(source)),
        Event::Accepted { listener, connection, len } => {
            write!(out, "  accepted {} by {}", name(connection), name(listener))?;
            match address(take(input, len)) {
                Some(peer) => writeln!(out, " from {peer}"),
                None => writeln!(out),
            }
        }
        Event::Received { source, len } => {
            writeln!(out, "  received {}: {}", name(source), Bytes(take(input, len)))
        }
        Event::Ended(source) => writeln!(out, "  ended {}", name(source)),
        Event::Writable(source) => writeln!(out, "  writable {}", name(source)),
        Event::Stuck(source) => writeln!(out, "  stuck {}", name(source)),
        Event::Hangup(source) => writeln!(out, "  hangup {}", name(source)),
        Event::Failed(source) => writeln!(out, "  failed {}", name(source)),
        Event::Idle(source) => writeln!(out, "  idle {}", name(source)),
        Event::Computed { job, len } => {
            writeln!(out, "  computed job {}: {}", job, Bytes(take(input, len)))
        }
        Event::Lost(job) => writeln!(out, "  lost job {}", job),
        Event::Stop => writeln!(out, "  stop"),
        _ => writeln!(out, "  an event that is not known here"),
    }
}

fn obey(out: &mut dyn Write, command: Command, output: &mut &[u8]) -> io::Result<()> {
    match command {
        Command::Watch { source, interest } => {
            write!(out, "  -> watch {} for", name(source))?;
            let names = [(Interest::RECV, "recv"), (Interest::SEND, "send"), (Interest::HANGUP, "hangup")];
            for (_, name) in names.iter().filter(|(flag, _)| interest.contains(*flag)) {
                write!(out, " {name}")?;
            }
            writeln!(out, "{}", if interest.is_empty() { " nothing" } else { "" })
        }
        Command::Send { source, len } => {
            writeln!(out, "  -> send {}: {}", name(source), Bytes(take(output, len)))
        }
        Command::Unread { source, len } => writeln!(out, "  -> unread {}: {len} bytes", name(source)),
        Command::Shutdown(source) => writeln!(out, "  -> shutdown {}", name(source)),
        Command::Close(source) => writeln!(out, "  -> close {}", name(source)),
        Command::Submit { job, len } => {
            writeln!(out, "  -> submit job {}: {}", job, Bytes(take(output, len)))
        }
        Command::Cancel(job) => writeln!(out, "  -> cancel job {}", job),
        _ => writeln!(out, "  -> a command that is not known here"),
    }
}

/// As many bytes as there are, of those that belong to this.
fn take<'b>(bytes: &mut &'b [u8], len: u32) -> &'b [u8] {
    let len = bytes.len().min(len as usize);
    bytes.split_off(..len).unwrap_or_default()
}

fn name(source: Handle) -> SourceId {
    SourceId::from_bits(source.0)
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let ip: IpAddr = Ipv6Addr::from(*ip).to_canonical();
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

/// Some bytes, escaped.
struct Bytes<'b>(&'b [u8]);

impl std::fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes \"{}\"", self.0.len(), self.0.escape_ascii())
    }
}

/// A time, since the recording's clock began.
struct Seconds(Instant);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = self.0.as_nanos();
        write!(f, "{}.{:09} s", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}
