//! Tests that each backend fulfills the contract: on the real system, and on a model of it that controls the time.

mod idle;
mod model;
mod system;

use super::portable;
#[cfg(target_os = "linux")]
use super::{epoll, kqueue};
