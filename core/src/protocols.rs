//! The shipped services and their protocols, as pure state machines.

pub mod echo;
pub mod fib;
pub mod fib_protocol;
pub mod fib_service;
