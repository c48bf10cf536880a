//! The backends on a model of the system: time passes when the clock is read, hours at once if it must be, waits are
//! interrupted, and more is ready than there is room for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use polling::Event as _;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use sinbin_core::{Instant, Interest, Readiness};
