//! Attacks: what an enemy would try, on the real binaries.

#![cfg(unix)]

mod files;
