//! What an enemy would try, each bounded, on every host: `SINBIN_HOST` and `SINBIN_WRITTEN_AS` say which.

#![cfg(unix)]

mod floods;
mod listeners;
