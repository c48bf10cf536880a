//! The functions of `wasi:cli`, `wasi:clocks`, `wasi:random` and `wasi:io`.

use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::WasiCliView;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr,
    terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::io::error;
use wasmtime_wasi::p2::bindings::random;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use super::answer::Answer;
use super::interface::{Function, id, interface};
use super::value::Value;
use super::{Player, Recorded};

type Pollable = Resource<DynPollable>;
type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

/// The functions that the replaying host must know by themselves.
pub(super) const POLL: u32 = id("poll.poll");
pub(super) const GET_STDERR: u32 = id("stderr.get-stderr");
pub(super) const DROP_OUTPUT: u32 = id("output-stream.drop");
pub(super) const WRITES: [u32; 2] = [id("output-stream.write"), id("output-stream.blocking-write-and-flush")];

/// The conversion of an error of a stream into a resource, which a command receives with the result of another call.
const NEW_ERROR: u32 = id("error.new");

interface! {
    ENVIRONMENT, environment::Host, "environment.", |guest| &mut guest.cli();
    fn get_environment() -> Result<Vec<(String, String)>>;
    fn get_arguments() -> Result<Vec<String>>;
    fn initial_cwd() -> Result<Option<String>>;
}

interface! {
    EXIT, exit::Host, "exit.", |guest| &mut guest.cli();
    fn exit(status: Result<(), ()>) -> Result<()>;
    fn exit_with_code(status_code: u8) -> Result<()>;
}

interface! {
    STDIN, stdin::Host, "stdin.", |guest| guest;
    fn get_stdin() -> Result<Input>;
}

interface! {
    STDOUT, stdout::Host, "stdout.", |guest| guest;
    fn get_stdout() -> Result<Output>;
}

interface! {
    STDERR, stderr::Host, "stderr.", |guest| guest;
    fn get_stderr() -> Result<Output>;
}

interface! {
    TERMINAL_INPUT, terminal_input::HostTerminalInput, "terminal-input.", |guest| guest;
    fn drop(this: Resource<terminal_input::TerminalInput>) -> Result<()>;
}

interface! {
    TERMINAL_OUTPUT, terminal_output::HostTerminalOutput, "terminal-output.", |guest| guest;
    fn drop(this: Resource<terminal_output::TerminalOutput>) -> Result<()>;
}

interface! {
    TERMINAL_STDIN, terminal_stdin::Host, "terminal-stdin.", |guest| guest;
    fn get_terminal_stdin() -> Result<Option<Resource<terminal_input::TerminalInput>>>;
}

interface! {
    TERMINAL_STDOUT, terminal_stdout::Host, "terminal-stdout.", |guest| guest;
    fn get_terminal_stdout() -> Result<Option<Resource<terminal_output::TerminalOutput>>>;
}

interface! {
    TERMINAL_STDERR, terminal_stderr::Host, "terminal-stderr.", |guest| guest;
    fn get_terminal_stderr() -> Result<Option<Resource<terminal_output::TerminalOutput>>>;
}

interface! {
    MONOTONIC_CLOCK, monotonic_clock::Host, "monotonic-clock.", |guest| guest;
    fn now() -> Result<u64>;
    fn resolution() -> Result<u64>;
    fn subscribe_instant(when: u64) -> Result<Pollable>;
    fn subscribe_duration(when: u64) -> Result<Pollable>;
}

interface! {
    WALL_CLOCK, wall_clock::Host, "wall-clock.", |guest| &mut guest.clocks();
    fn now() -> Result<wall_clock::Datetime>;
    fn resolution() -> Result<wall_clock::Datetime>;
}

interface! {
    RANDOM, random::random::Host, "random.", |guest| guest.ctx().ctx.random();
    fn get_random_bytes(len: u64) -> Result<Vec<u8>>;
    fn get_random_u64() -> Result<u64>;
}

interface! {
    INSECURE, random::insecure::Host, "insecure.", |guest| guest.ctx().ctx.random();
    fn get_insecure_random_bytes(len: u64) -> Result<Vec<u8>>;
    fn get_insecure_random_u64() -> Result<u64>;
}

interface! {
    INSECURE_SEED, random::insecure_seed::Host, "insecure-seed.", |guest| guest.ctx().ctx.random();
    fn insecure_seed() -> Result<(u64, u64)>;
}

interface! {
    POLLS, poll::Host, "poll.", |guest| guest;
    fn poll(list: Vec<Pollable>) -> Result<Vec<u32>>;
}

interface! {
    POLLABLE, poll::HostPollable, "pollable.", |guest| guest;
    fn ready(this: Pollable) -> Result<bool>;
    fn block(this: Pollable) -> Result<()>;
    fn drop(this: Pollable) -> Result<()>;
}

interface! {
    ERROR, error::HostError, "error.", |guest| &mut guest.table;
    fn to_debug_string(this: Resource<Error>) -> Result<String>;
    fn drop(this: Resource<Error>) -> Result<()>;
}

interface! {
    INPUT_STREAM, streams::HostInputStream, "input-stream.", |guest| guest;
    fn read(this: Input, len: u64) -> StreamResult<Vec<u8>>;
    fn blocking_read(this: Input, len: u64) -> StreamResult<Vec<u8>>;
    fn skip(this: Input, len: u64) -> StreamResult<u64>;
    fn blocking_skip(this: Input, len: u64) -> StreamResult<u64>;
    fn subscribe(this: Input) -> Result<Pollable>;
    fn drop(this: Input) -> Result<()>;
}

interface! {
    OUTPUT_STREAM, streams::HostOutputStream, "output-stream.", |guest| guest;
    fn check_write(this: Output) -> StreamResult<u64>;
    fn write(this: Output, contents: Vec<u8>) -> StreamResult<()>;
    fn blocking_write_and_flush(this: Output, contents: Vec<u8>) -> StreamResult<()>;
    fn flush(this: Output) -> StreamResult<()>;
    fn blocking_flush(this: Output) -> StreamResult<()>;
    fn subscribe(this: Output) -> Result<Pollable>;
    fn write_zeroes(this: Output, len: u64) -> StreamResult<()>;
    fn blocking_write_zeroes_and_flush(this: Output, len: u64) -> StreamResult<()>;
    fn splice(this: Output, src: Input, len: u64) -> StreamResult<u64>;
    fn blocking_splice(this: Output, src: Input, len: u64) -> StreamResult<u64>;
    fn drop(this: Output) -> Result<()>;
}

impl terminal_input::Host for Recorded {}
impl terminal_input::Host for Player {}
impl terminal_output::Host for Recorded {}
impl terminal_output::Host for Player {}
impl error::Host for Recorded {}
impl error::Host for Player {}

impl streams::Host for Recorded {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::LastOperationFailed(error) => {
                self.recorder.begin();
                let pushed = self.guest.table.push(error).map_err(Error::from);
                self.recorder.end(NEW_ERROR, pushed).map(streams::StreamError::LastOperationFailed)
            }
            error => streams::Host::convert_stream_error(&mut self.guest, error),
        }
    }
}

impl streams::Host for Player {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(_) => {
                self.begin();
                self.answer::<Result<_>>(NEW_ERROR).map(streams::StreamError::LastOperationFailed)
            }
            StreamError::Trap(error) => Err(error),
        }
    }
}

const NEW_ERRORS: &[Function] = &[Function {
    id: NEW_ERROR,
    name: "error.new",
    show_arguments: |_, _| Some(()),
    show_answer: |input, out| {
        <Result<Resource<Error>> as Answer>::take(input)?.show(out);
        Some(())
    },
}];

/// The functions of this file.
pub(super) const ALL: &[&[Function]] = &[
    ENVIRONMENT,
    EXIT,
    STDIN,
    STDOUT,
    STDERR,
    TERMINAL_INPUT,
    TERMINAL_OUTPUT,
    TERMINAL_STDIN,
    TERMINAL_STDOUT,
    TERMINAL_STDERR,
    MONOTONIC_CLOCK,
    WALL_CLOCK,
    RANDOM,
    INSECURE,
    INSECURE_SEED,
    POLLS,
    POLLABLE,
    ERROR,
    NEW_ERRORS,
    INPUT_STREAM,
    OUTPUT_STREAM,
];

/// Decodes the stream and the bytes of a call that writes.
pub(super) fn written(mut arguments: &[u8]) -> Option<(u32, Vec<u8>)> {
    Value::take(&mut arguments)
}
