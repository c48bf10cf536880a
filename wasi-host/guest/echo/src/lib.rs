//! The echo service, as a component that a host drives.
#![no_std]

sinbin_guest::service!(sinbin_core::echo::Echo, sinbin_arguments::echo);
