//! The talk's Fibonacci service as a core module, for hosts that have core wasm and nothing else. It imports nothing.
//!
//! The contract is that of `wit/service.wit`, rule by rule; what differs is how the two sides hand over what they say.
//! The host asks for a place, writes to it, and calls; what the call came to lies in an [answer](record::AnswerRecord).
//!
//! | export | what it does |
//! | --- | --- |
//! | `memory` | Where all of this lies. It may grow, and so move, in any call |
//! | `sinbin_input(len: i32) -> i32` | A place of `len` bytes for the next call's input. Good for one call |
//! | `sinbin_events(count: i32) -> i32` | A place of `count` records for the next turn's events. Good for one call |
//! | `sinbin_start(connections: i32, buffered: i32, computes: i32, slice: i32) -> i32` | Starts the service, once. The input is its arguments, a zero byte behind each; the numbers are the contract's `settings`. Kind 0: it runs, and takes `room` bytes of one source in one turn. Kind 1: it does not; the output says why |
//! | `sinbin_turn(now: i64, window: i32) -> i32` | Tells the events with the input, and runs every task that can run. The kind is how it rests: 0 ready, 1 until `deadline`, 2 waiting, 3 stalled, 4 over |
//! | `sinbin_compute(budget: i32) -> i32` | Computes a slice of the job in the input; needs no start. Kind 0: there is more to do, and the output is the job as it stands; 1: done, it is the result; 2: the input was no job |
//! | `sinbin_ignored() -> i64` | How many events named nothing that there is, or were none, since the start |
//!
//! Numbers are little-endian and unsigned. Places are addresses in `memory`, and 0 where there is no memory left. What
//! starts, runs a turn and computes returns the address of the answer:
//!
//! | at | of an answer (32 bytes) | | at | of a record (24 bytes) |
//! | --- | --- | --- | --- | --- |
//! | 0 | `kind: u32` | | 0 | `kind: u32`: which event or command, counted from 0 in the contract's order |
//! | 4 | `room: u32` | | 4 | `len: u32`; of a `watch`, 1 for recv, 2 for send, 4 for hangup, added up |
//! | 8 | `deadline: u64` | | 8 | `source`, `job` or `listener`: `u64`; of `took`, the nanoseconds |
//! | 16 | commands: address and count, `u32` each | | 16 | `connection: u64`, of an arrival |
//! | 24 | output: address and length, `u32` each | | | |
//!
//! An answer and what it points to are good until the next call. A call that traps leaves an instance of which every
//! further one traps too: drop it.
#![no_std]
#![cfg(target_arch = "wasm32")]

extern crate alloc;

mod module;
mod record;
mod sole;

use module::Module;
use sole::Sole;

static MODULE: Sole<Module> = Sole::new(Module::new());

/// Makes a place for the next call's input.
#[unsafe(no_mangle)]
extern "C" fn sinbin_input(len: u32) -> usize {
    MODULE.with(|module| module.input(len))
}

/// Makes a place for the next turn's events.
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

/// Counts what was ignored.
#[unsafe(no_mangle)]
extern "C" fn sinbin_ignored() -> u64 {
    MODULE.with(|module| module.ignored())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The host reports where, by the stack.
    core::arch::wasm32::unreachable()
}
