//! Tasks that yield in turn and do nothing else: `switch TASKS SWITCHES`. The benchmark counts the instructions for two
//! numbers of switches. The difference gives the cost of one switch.

use std::pin::Pin;

use sinbin_core::{Cx, Executor, Fixed, Host, Instant, IoError, Rest, SourceId, Step, Task};

/// A host without I/O.
struct Idle;

/// A task that yields this many times.
struct Yielder(u64);

impl Host for Idle {
    type Storage = Fixed<64, 0, 0>;
    type Task = Yielder;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Closed)
    }

    fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Err(IoError::Closed)
    }

    fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        Err(IoError::Closed)
    }

    fn close(&mut self, _: SourceId) {}

    fn serve(&mut self, _: SourceId, _: SourceId) -> Yielder {
        Yielder(0)
    }
}

impl Task<Idle> for Yielder {
    fn resume(mut self: Pin<&mut Self>, _: &mut Cx<'_, Idle>) -> Step {
        if self.0 == 0 {
            return Step::Done;
        }
        self.0 -= 1;
        Step::Yield
    }
}

fn argument(position: usize) -> u64 {
    let text = std::env::args().nth(position);
    text.and_then(|text| text.parse().ok()).expect("usage: switch TASKS SWITCHES")
}

fn main() {
    let (tasks, switches) = (argument(1), argument(2));
    let mut executor = Box::new(Executor::<Idle>::new(&Fixed));
    for _ in 0..tasks {
        assert!(executor.spawn(Yielder(switches / tasks)).is_ok(), "at most 16384 tasks");
    }
    while executor.kernel.rest() == Rest::Ready {
        executor.turn(Instant::ZERO, &mut Idle);
    }
}
