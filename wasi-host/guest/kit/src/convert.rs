//! Conversions between the types of the contract and those of the core.

use sinbin_core::driven::{self, ConnectError, ConnectId, SourceHandle};
use sinbin_core::{Instant, JobId, Rest as CoreRest};

use crate::bindings::exports::sinbin::service::guest::{Answer, Event, Limits};
use crate::bindings::sinbin::service::types::{Command, Interest, Parcel, Piece, Rest, Target, Wants, Watch};

pub(crate) fn event(event: Event) -> driven::Event {
    match event {
        Event::Listener(source) => driven::Event::Listener(SourceHandle(source)),
        Event::Accepted(arrival) => driven::Event::Accepted {
            listener: SourceHandle(arrival.listener),
            connection: SourceHandle(arrival.connection),
            len: arrival.len,
        },
        Event::Received(piece) => {
            driven::Event::Received { source: SourceHandle(piece.source), len: piece.len }
        }
        Event::Ended(source) => driven::Event::Ended(SourceHandle(source)),
        Event::Writable(source) => driven::Event::Writable(SourceHandle(source)),
        Event::Stuck(source) => driven::Event::Stuck(SourceHandle(source)),
        Event::Hangup(source) => driven::Event::Hangup(SourceHandle(source)),
        Event::Failed(source) => driven::Event::Failed(SourceHandle(source)),
        Event::Idle(source) => driven::Event::Idle(SourceHandle(source)),
        Event::Computed(parcel) => {
            driven::Event::Computed { job: JobId::from_bits(parcel.job), len: parcel.len }
        }
        Event::Lost(job) => driven::Event::Lost(JobId::from_bits(job)),
        Event::Stop => driven::Event::Stop,
        Event::Took(nanos) => driven::Event::Took(nanos),
        Event::More => driven::Event::More,
        Event::Connected(connection) => driven::Event::Connected {
            request: ConnectId(connection.request),
            source: SourceHandle(connection.source),
            len: connection.len,
        },
        Event::ConnectFailed(failure) => driven::Event::ConnectFailed {
            request: ConnectId(failure.request),
            // Both types have the reasons in the same order.
            reason: ConnectError::ALL.get(failure.reason as usize).copied().unwrap_or(ConnectError::Other),
        },
        Event::WallClock(nanos) => driven::Event::WallClock(nanos),
        Event::Entropy(len) => driven::Event::Entropy { len },
    }
}

pub(crate) fn takes(takes: driven::ServiceLimits, wants: Wants) -> Limits {
    Limits { connections: takes.connections, block: takes.block, wants }
}

fn interest(interest: sinbin_core::Interest) -> Interest {
    Interest::from_bits_truncate(interest.bits())
}

fn command(command: driven::Command) -> Option<Command> {
    Some(match command {
        driven::Command::Watch { source, interest: what } => {
            Command::Watch(Watch { source: source.0, interest: interest(what) })
        }
        driven::Command::Send { source, len } => Command::Send(Piece { source: source.0, len }),
        driven::Command::Unread { source, len } => Command::Unread(Piece { source: source.0, len }),
        driven::Command::Shutdown(source) => Command::Shutdown(source.0),
        driven::Command::Close(source) => Command::Close(source.0),
        driven::Command::Submit { job, len } => Command::Submit(Parcel { job: job.to_bits(), len }),
        driven::Command::Cancel(job) => Command::Cancel(job.to_bits()),
        driven::Command::Connect { request, len } => Command::Connect(Target { request: request.0, len }),
        driven::Command::Abandon(request) => Command::Abandon(request.0),
        // A command of a later core that this contract does not have.
        _ => return None,
    })
}

pub(crate) fn answer(answer: driven::TurnOutput) -> Answer {
    Answer {
        rest: match answer.rest {
            CoreRest::Ready => Rest::Ready,
            CoreRest::Until(Instant::NEVER) => Rest::Waiting,
            CoreRest::Until(deadline) => Rest::Until(deadline.as_nanos()),
            CoreRest::Stalled => Rest::Stalled,
            CoreRest::Empty => Rest::Over,
        },
        room: answer.room,
        commands: answer.commands.into_iter().filter_map(command).collect(),
        output: answer.output,
    }
}
