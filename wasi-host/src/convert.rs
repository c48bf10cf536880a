//! Conversions between the types of the core and those of the contract.

use sinbin::driven::{self, ConnectId, SourceHandle};
use sinbin::{Instant, JobId, Rest as CoreRest};

use crate::contract::{
    Answer, Arrival, Command, ConnectError, Connection, Entry, Event, Failure, Interest, Level, Limits,
    Parcel, Piece, Rest, Settings, Tally, Target, Wants, Watch,
};

pub(crate) fn settings(start: &driven::ServiceSettings) -> Settings {
    let driven::ServiceSettings { arguments, max_connections, max_buffered, computes, slice, max_jobs: _ } =
        start.clone();
    Settings { arguments, max_connections, max_buffered, computes, slice }
}

pub(crate) fn takes(limits: Limits) -> driven::ServiceLimits {
    let wants = driven::Wants {
        wall_clock: limits.wants.contains(Wants::WALL_CLOCK),
        entropy: limits.wants.contains(Wants::ENTROPY),
    };
    driven::ServiceLimits { connections: limits.connections, block: limits.block, wants }
}

pub(crate) fn counts(tally: Tally) -> driven::Tally {
    let mut counts = driven::Tally::default();
    (counts.jobs, counts.cancelled, counts.ignored) = (tally.jobs, tally.cancelled, tally.ignored);
    counts
}

/// Converts an event. Returns `None` for an event of a later core that this contract does not have.
pub(crate) fn event(event: driven::Event) -> Option<Event> {
    use driven::Event as Core;
    Some(match event {
        Core::Listener(source) => Event::Listener(source.0),
        Core::Accepted { listener, connection, len } => {
            Event::Accepted(Arrival { listener: listener.0, connection: connection.0, len })
        }
        Core::Received { source, len } => Event::Received(Piece { source: source.0, len }),
        Core::Ended(source) => Event::Ended(source.0),
        Core::Writable(source) => Event::Writable(source.0),
        Core::Stuck(source) => Event::Stuck(source.0),
        Core::Hangup(source) => Event::Hangup(source.0),
        Core::Failed(source) => Event::Failed(source.0),
        Core::Idle(source) => Event::Idle(source.0),
        Core::Computed { job, len } => Event::Computed(Parcel { job: job.to_bits(), len }),
        Core::Lost(job) => Event::Lost(job.to_bits()),
        Core::Stop => Event::Stop,
        Core::Took(nanos) => Event::Took(nanos),
        Core::More => Event::More,
        Core::Connected { request, source, len } => {
            Event::Connected(Connection { request: request.0, source: source.0, len })
        }
        Core::ConnectFailed { request, reason } => {
            Event::ConnectFailed(Failure { request: request.0, reason: connect_error(reason) })
        }
        Core::WallClock(nanos) => Event::WallClock(nanos),
        Core::Entropy { len } => Event::Entropy(len),
        _ => return None,
    })
}

fn command(command: Command) -> driven::Command {
    use driven::Command as Core;
    match command {
        Command::Watch(Watch { source, interest: wanted }) => {
            Core::Watch { source: SourceHandle(source), interest: interest(wanted) }
        }
        Command::Send(Piece { source, len }) => Core::Send { source: SourceHandle(source), len },
        Command::Unread(Piece { source, len }) => Core::Unread { source: SourceHandle(source), len },
        Command::Shutdown(source) => Core::Shutdown(SourceHandle(source)),
        Command::Close(source) => Core::Close(SourceHandle(source)),
        Command::Submit(Parcel { job, len }) => Core::Submit { job: JobId::from_bits(job), len },
        Command::Cancel(job) => Core::Cancel(JobId::from_bits(job)),
        Command::Connect(Target { request, len }) => Core::Connect { request: ConnectId(request), len },
        Command::Abandon(request) => Core::Abandon(ConnectId(request)),
        Command::Log(Entry { level, len }) => Core::Log { level: log_level(level), len },
    }
}

fn log_level(level: Level) -> driven::LogLevel {
    match level {
        Level::Error => driven::LogLevel::Error,
        Level::Warn => driven::LogLevel::Warn,
        Level::Info => driven::LogLevel::Info,
        Level::Debug => driven::LogLevel::Debug,
        Level::Trace => driven::LogLevel::Trace,
    }
}

fn connect_error(reason: driven::ConnectError) -> ConnectError {
    use driven::ConnectError as Core;
    match reason {
        Core::NotPermitted => ConnectError::NotPermitted,
        Core::Invalid => ConnectError::Invalid,
        Core::Unresolved => ConnectError::Unresolved,
        Core::Refused => ConnectError::Refused,
        Core::Unreachable => ConnectError::Unreachable,
        Core::TimedOut => ConnectError::TimedOut,
        Core::Reset => ConnectError::Reset,
        Core::NoRoom => ConnectError::NoRoom,
        _ => ConnectError::Other,
    }
}

fn interest(wanted: Interest) -> sinbin::Interest {
    use sinbin::Interest as Core;
    let of = |flag, interest| if wanted.contains(flag) { interest } else { Core::NONE };
    of(Interest::RECV, Core::RECV) | of(Interest::SEND, Core::SEND) | of(Interest::HANGUP, Core::HANGUP)
}

pub(crate) fn answer(answer: Answer) -> driven::TurnOutput {
    driven::TurnOutput {
        rest: match answer.rest {
            Rest::Ready => CoreRest::Ready,
            Rest::Until(deadline) => CoreRest::Until(Instant::from_nanos(deadline)),
            Rest::Waiting => CoreRest::Until(Instant::NEVER),
            Rest::Stalled => CoreRest::Stalled,
            Rest::Over => CoreRest::Empty,
        },
        room: answer.room,
        commands: answer.commands.into_iter().map(command).collect(),
        output: answer.output,
    }
}
