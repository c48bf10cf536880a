//! A server and its clients in one program, so that the processor is never idle and each instruction counts. The server is
//! one of the binaries; the clients, the cable and the meter are the same for all.

#![no_std]

pub mod cable;
pub mod clients;
pub mod meter;
