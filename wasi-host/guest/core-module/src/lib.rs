//! The talk's Fibonacci service as a core module, for hosts that support only core wasm. The module imports nothing.
//!
//! The contract is that of `wit/service.wit`, rule by rule. The difference is the way in which the host and the service
//! exchange values: the host requests a buffer, writes to it, and calls a function, whose result is an
//! [answer](record::AnswerRecord).
//!
//! | export | what it does |
//! | --- | --- |
//! | `memory` | The memory that contains all of this. Any call may grow it, and so move it |
//! | `sinbin_input(len: i32) -> i32` | Returns the address of a buffer of `len` bytes for the input of the next call. The buffer is valid until that call |
//! | `sinbin_events(count: i32) -> i32` | Returns the address of a buffer of `count` records for the events of the next turn. The buffer is valid until that call |
//! | `sinbin_start(connections: i32, buffered: i32, computes: i32, slice: i32) -> i32` | Starts the service, once. The input is its arguments, each followed by a zero byte; the numbers are the contract's `settings`. Kind 0: the service runs, and accepts at most `room` bytes of one source in one turn. Kind 1: the start failed, and the output is the error message |
//! | `sinbin_turn(now: i64, window: i32) -> i32` | Passes the events and the input to the service, and runs every task that is ready. The kind is the contract's `rest`: 0 ready, 1 until `deadline`, 2 waiting, 3 stalled, 4 over |
//! | `sinbin_compute(budget: i32) -> i32` | Computes a slice of the job in the input; requires no start. Kind 0: the job is not done, and the output is its state; 1: the job is done, and the output is its result; 2: the input is not a job |
//! | `sinbin_ignored() -> i64` | Returns the number of events since the start that named nothing or were invalid |
//!
//! Numbers are little-endian and unsigned. Buffers are addresses in `memory`, or 0 if there is not enough memory.
//! `sinbin_start`, `sinbin_turn` and `sinbin_compute` return the address of an answer:
//!
//! | offset | in an answer (32 bytes) | | offset | in a record (24 bytes) |
//! | --- | --- | --- | --- | --- |
//! | 0 | `kind: u32` | | 0 | `kind: u32`: the event or command, numbered from 0 in the contract's order |
//! | 4 | `room: u32` | | 4 | `len: u32`; for a `watch` the sum of 1 for recv, 2 for send, 4 for hangup; for a `connect-failed` the reason, numbered from 0 in the contract's order |
//! | 8 | `deadline: u64` | | 8 | `source`, `job`, `request` or `listener`: `u64`; for `took` and `wall-clock` the nanoseconds; for a `log` the level, numbered from 0 |
//! | 16 | commands: address and count, `u32` each | | 16 | `connection: u64`, for an arrival; `source: u64`, for a `connected` |
//! | 24 | output: address and length, `u32` each | | | |
//!
//! An answer and the memory that it points to are valid until the next call. After a call that traps, every further
//! call of the instance traps as well: drop the instance.
#![no_std]
#![cfg(target_arch = "wasm32")]

extern crate alloc;

mod module;
mod record;
mod sole;

use module::Module;
use sole::Sole;

static MODULE: Sole<Module> = Sole::new(Module::new());

/// Allocates a buffer for the next call's input.
#[unsafe(no_mangle)]
extern "C" fn sinbin_input(len: u32) -> usize {
    MODULE.with(|module| module.input(len))
}

/// Allocates a buffer for the next turn's events.
#[unsafe(no_mangle)]
extern "C" fn sinbin_events(count: u32) -> usize {
    MODULE.with(|module| module.events(count))
}

/// Starts the service.
#[unsafe(no_mangle)]
extern "C" fn sinbin_start(connections: u32, buffered: u32, computes: u32, slice: u32) -> usize {
    MODULE.with(|module| module.start(connections, buffered, computes != 0, slice))
}

/// Runs a turn.
#[unsafe(no_mangle)]
extern "C" fn sinbin_turn(now: u64, window: u32) -> usize {
    MODULE.with(|module| module.turn(now, window))
}

/// Computes a slice of a job.
#[unsafe(no_mangle)]
extern "C" fn sinbin_compute(budget: u32) -> usize {
    MODULE.with(|module| module.compute(budget))
}

/// Returns the number of ignored events.
#[unsafe(no_mangle)]
extern "C" fn sinbin_ignored() -> u64 {
    MODULE.with(|module| module.ignored())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The host reports the location by the stack.
    core::arch::wasm32::unreachable()
}
