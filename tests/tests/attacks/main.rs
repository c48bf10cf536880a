//! Attacks on the real binaries, each bounded, on every host: `SINBIN_HOST` and `SINBIN_WRITTEN_AS` say which.

#![cfg(unix)]

mod files;
mod floods;
mod guests;
mod listeners;
mod logs;
mod signals;
mod slow;
