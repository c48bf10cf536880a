//! The upper-case service, as a component that a host drives.
#![no_std]

sinbin_guest::service!(sinbin_core::echo::Upper, sinbin_arguments::upper);
