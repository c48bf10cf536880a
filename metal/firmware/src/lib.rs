//! The shipped services as firmware for `mps2-an386`, a board with a Cortex-M4 and an Ethernet card that QEMU emulates.
//!
//! [`mps2`] is the board: its memory map, clock, serial port and network device. Everything else is the same on any
//! Cortex-M: copy [`mps2`] and `build.rs` for a board of yours. `metal/firmware/run` starts a program in QEMU.

#![no_std]

pub mod console;
#[cfg(not(microbit))]
pub mod embassy;
pub mod fault;
#[cfg(microbit)]
pub mod microbit;
#[cfg(not(microbit))]
pub mod mps2;
#[cfg(not(microbit))]
pub mod options;
#[cfg(not(microbit))]
pub mod quiet;
pub mod round_robin;
#[cfg(all(feature = "async", not(microbit)))]
pub mod services;
#[cfg(not(microbit))]
pub mod serving;
pub mod stack;
