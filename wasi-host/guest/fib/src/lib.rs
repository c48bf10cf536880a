//! The talk's Fibonacci service, as a component that a host drives.
#![no_std]

sinbin_guest::service!(sinbin_core::fib_service::Fib, sinbin_arguments::fib);
