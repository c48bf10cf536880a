//! Each backend keeps the contract: on the system as it is, and on a model of it that owns the time.

mod idle;
mod model;
mod system;

use super::portable;
#[cfg(target_os = "linux")]
use super::{epoll, kqueue};
