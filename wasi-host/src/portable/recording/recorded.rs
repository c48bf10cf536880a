//! The host of a command that is recorded, or whose calls are printed: the usual host answers each call.

use std::sync::Arc;
use std::time::Instant;

use sinbin::observe::GuestMemory;
use wasmtime::Result;

use super::super::limits::Limits;
use super::super::{Guest, Outcome, StoreData};
use super::answer::{Answer, message};
use super::commands::POLL;
use super::format::End;
use super::interface::{show_answer, show_call};
use super::writer::Recording;

/// A function that receives each call in the form of a trace.
pub type Trace = fn(&str);

/// The host's state of a command that is recorded.
pub(in super::super) struct Recorded {
    pub(super) guest: Guest,
    pub(super) recorder: Recorder,
}

/// The destinations of the calls.
pub(in super::super) struct Recorder {
    recording: Option<Recording>,
    trace: Option<Trace>,
    began: Instant,
    /// The encoded arguments and the encoded result of the current call.
    arguments: Vec<u8>,
    answer: Vec<u8>,
}

impl Recorded {
    pub(in super::super) const fn new(guest: Guest, recorder: Recorder) -> Self {
        Self { guest, recorder }
    }

    /// Completes the recording, after the command has ended.
    pub(in super::super) fn finish(self, ended: &Result<Outcome, super::super::Error>) {
        if let Some(recording) = self.recorder.recording {
            recording.end(&End::of(ended));
        }
    }
}

impl StoreData for Recorded {
    fn limits(&mut self) -> &mut Limits {
        &mut self.guest.limits
    }

    fn tick(&mut self) -> Result<()> {
        self.guest.tick()
    }

    fn stack_at_tick(&mut self) -> Option<Arc<GuestMemory>> {
        self.guest.stack_at_tick()
    }

    fn finish_io(&mut self, outcome: Outcome) {
        self.guest.finish_io(outcome);
    }
}

impl Recorder {
    pub(in super::super) fn new(recording: Option<Recording>, trace: Option<Trace>) -> Self {
        Self { recording, trace, began: Instant::now(), arguments: Vec::new(), answer: Vec::new() }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self) {
        self.arguments.clear();
    }

    /// Returns the encoded arguments of the current call, to append further ones.
    pub(super) fn arguments(&mut self) -> &mut Vec<u8> {
        &mut self.arguments
    }

    /// Records the current call and its result. Returns the result.
    pub(super) fn end<A: Answer>(&mut self, function: u32, answer: A) -> A {
        self.answer.clear();
        let answer = answer.put(&mut self.answer);
        if let Some(recording) = &mut self.recording {
            recording.call(function, function == POLL, &self.arguments, &self.answer);
        }
        if let Some(trace) = self.trace {
            let mut text =
                format!("{:.6} {}", self.began.elapsed().as_secs_f64(), show_call(function, &self.arguments));
            show_answer(function, &self.answer, &mut text);
            trace(&text);
        }
        answer
    }
}

impl End {
    /// Returns the end to record.
    pub(super) fn of(ended: &Result<Outcome, super::super::Error>) -> Self {
        match ended {
            Ok(outcome) => Self::Ended(*outcome),
            Err(super::super::Error::Trap(error) | super::super::Error::Link(error)) => {
                Self::Trapped(message(error))
            }
            Err(error) => Self::Trapped(error.to_string()),
        }
    }
}
