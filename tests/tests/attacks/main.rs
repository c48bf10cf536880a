//! What an enemy would try: clients, guests and files that want more than others, each bounded, each answered.

#![cfg(unix)]

mod guests;
mod logs;
mod signals;
