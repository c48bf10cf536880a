//! Attacks on the real binaries, each of limited duration, for every host: `SINBIN_HOST` and `SINBIN_WRITTEN_AS` select
//! it.

#![cfg(unix)]

mod connects;
mod files;
mod floods;
mod guests;
mod listeners;
mod logs;
mod signals;
mod slow;
