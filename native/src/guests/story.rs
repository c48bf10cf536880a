//! Descriptions of turns for people: a line for each event and each command.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sinbin_core::driven::recording::Turn;
use sinbin_core::driven::{Command, Event, SourceHandle, TurnOutput};
use sinbin_core::{Instant, Interest, IoError, Rest, SourceId};

/// The level of detail of a story.
#[derive(Clone, Copy)]
pub(crate) struct Detail {
    /// The maximum number of events, and of commands.
    lines: usize,
    /// The maximum number of bytes shown of each.
    bytes: usize,
}

impl Detail {
    /// No limits.
    pub(crate) const WHOLE: Self = Self { lines: usize::MAX, bytes: usize::MAX };
    /// An excerpt that a person can read. Omissions are marked by an ellipsis, which does not occur in a story
    /// otherwise.
    pub(crate) const BRIEF: Self = Self { lines: 50, bytes: 200 };
}

/// Writes a turn and its answer, or `None` if the guest failed.
pub(crate) fn turn(
    out: &mut dyn Write,
    number: u64,
    turn: &Turn<'_>,
    answer: Option<&TurnOutput>,
    detail: Detail,
) -> io::Result<()> {
    writeln!(out, "turn {number} at {}, window {}", Seconds(turn.now), turn.window)?;
    let mut input = turn.input;
    for event in turn.events.iter().take(detail.lines) {
        tell(out, *event, &mut input, detail)?;
    }
    rest(out, "  …", turn.events.len(), "events", detail)?;
    let Some(answer) = answer else { return writeln!(out, "  -> the guest fails") };
    let mut output = &answer.output[..];
    for command in answer.commands.iter().take(detail.lines) {
        obey(out, *command, &mut output, detail)?;
    }
    rest(out, "  -> …", answer.commands.len(), "commands", detail)?;
    match answer.rest {
        Rest::Ready => write!(out, "  -> again at once")?,
        Rest::Until(Instant::NEVER) => write!(out, "  -> waits")?,
        Rest::Until(deadline) => write!(out, "  -> waits until {}", Seconds(deadline))?,
        Rest::Stalled => write!(out, "  -> waits, and nothing can wake it")?,
        Rest::Empty => write!(out, "  -> is over")?,
    }
    writeln!(out, "; room for {}", answer.room)
}

/// Writes that another guest takes over.
pub(crate) fn fresh(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "a fresh guest takes over")
}

/// Writes the number of omitted lines, if there are any.
fn rest(out: &mut dyn Write, mark: &str, there: usize, of: &str, detail: Detail) -> io::Result<()> {
    match there.saturating_sub(detail.lines) {
        0 => Ok(()),
        more => writeln!(out, "{mark} and {more} {of} more"),
    }
}

fn tell(out: &mut dyn Write, event: Event, input: &mut &[u8], detail: Detail) -> io::Result<()> {
    let bytes = |bytes| Bytes { bytes, most: detail.bytes };
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
            writeln!(out, "  received {}: {}", name(source), bytes(take(input, len)))
        }
        Event::Ended(source) => writeln!(out, "  ended {}", name(source)),
        Event::Writable(source) => writeln!(out, "  writable {}", name(source)),
        Event::Stuck(source) => writeln!(out, "  stuck {}", name(source)),
        Event::Hangup(source) => writeln!(out, "  hangup {}", name(source)),
        Event::Failed(source) => writeln!(out, "  failed {}", name(source)),
        Event::Idle(source) => writeln!(out, "  idle {}", name(source)),
        Event::Computed { job, len } => {
            writeln!(out, "  computed job {}: {}", job, bytes(take(input, len)))
        }
        Event::Lost(job) => writeln!(out, "  lost job {}", job),
        Event::Stop => writeln!(out, "  stop"),
        Event::Took(nanos) => writeln!(out, "  the turn before took {:?}", Duration::from_nanos(nanos)),
        Event::More => writeln!(out, "  more comes in later turns"),
        Event::Connected { request, source, len } => {
            write!(out, "  connected {} by request {:x}", name(source), request.0)?;
            match address(take(input, len)) {
                Some(peer) => writeln!(out, " to {peer}"),
                None => writeln!(out),
            }
        }
        Event::ConnectFailed { request, reason } => {
            writeln!(out, "  request {:x} failed: {}", request.0, IoError::from(reason))
        }
        Event::WallClock(nanos) => {
            writeln!(out, "  the wall clock shows {}", Seconds(Instant::from_nanos(nanos)))
        }
        Event::Entropy { len } => writeln!(out, "  entropy: {}", bytes(take(input, len))),
        _ => writeln!(out, "  an event that is not known here"),
    }
}

fn obey(out: &mut dyn Write, command: Command, output: &mut &[u8], detail: Detail) -> io::Result<()> {
    let bytes = |bytes| Bytes { bytes, most: detail.bytes };
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
            writeln!(out, "  -> send {}: {}", name(source), bytes(take(output, len)))
        }
        Command::Unread { source, len } => writeln!(out, "  -> unread {}: {len} bytes", name(source)),
        Command::Shutdown(source) => writeln!(out, "  -> shutdown {}", name(source)),
        Command::Close(source) => writeln!(out, "  -> close {}", name(source)),
        Command::Submit { job, len } => {
            writeln!(out, "  -> submit job {}: {}", job, bytes(take(output, len)))
        }
        Command::Cancel(job) => writeln!(out, "  -> cancel job {}", job),
        Command::Connect { request, len } => {
            writeln!(out, "  -> connect by request {:x}: {}", request.0, bytes(take(output, len)))
        }
        Command::Abandon(request) => writeln!(out, "  -> abandon request {:x}", request.0),
        Command::Print { len } => writeln!(out, "  -> print {}", bytes(take(output, len))),
        Command::Log { level, len } => writeln!(out, "  -> log {level:?}: {}", bytes(take(output, len))),
        _ => writeln!(out, "  -> a command that is not known here"),
    }
}

/// Removes and returns the bytes of an event or a command: `len` bytes, or as many as there are.
fn take<'b>(bytes: &mut &'b [u8], len: u32) -> &'b [u8] {
    let len = bytes.len().min(len as usize);
    bytes.split_off(..len).unwrap_or_default()
}

fn name(source: SourceHandle) -> SourceId {
    SourceId::from_bits(source.0)
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let ip: IpAddr = Ipv6Addr::from(*ip).to_canonical();
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

/// Bytes that are displayed escaped, up to a limit.
struct Bytes<'b> {
    bytes: &'b [u8],
    most: usize,
}

impl std::fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, most } = *self;
        let shown = &bytes[..bytes.len().min(most)];
        let mark = if shown.len() < bytes.len() { "…" } else { "" };
        write!(f, "{} bytes \"{}\"{mark}", bytes.len(), shown.escape_ascii())
    }
}

/// A time since the start of the recording's clock.
struct Seconds(Instant);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = self.0.as_nanos();
        write!(f, "{}.{:09} s", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}
