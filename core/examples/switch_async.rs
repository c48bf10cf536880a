//! [`switch`](../switch.rs) with `async fn`s: `switch_async yield TASKS SWITCHES`, or `switch_async spawn TASKS`, where
//! one task spawns this many others that end at once.

use std::marker::PhantomData;
use std::pin::pin;

use sinbin_core::task::{AsyncHost, ConnTask, Handle, NoWakers, Pool, Put, RunContext};
use sinbin_core::{Executor, Fixed, Host, Instant, IoError, Rest, SourceId};

/// A host without I/O.
struct Idle<'d, F>(PhantomData<(Handle<'d>, F)>);

impl<'d, F: Future + 'd> Host for Idle<'d, F> {
    type Storage = Fixed<65, 0, 0>;
    type Task = ConnTask<'d, F>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Err(IoError::Unsupported)
    }

    fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        Err(IoError::Unsupported)
    }

    fn close(&mut self, _: SourceId) {}

    fn serve(&mut self, _: SourceId, _: SourceId) -> ConnTask<'d, F> {
        unreachable!("nothing is accepted")
    }
}

impl<'d, F: Future + 'd> AsyncHost<'d> for Idle<'d, F> {}

async fn yields(handle: Handle<'_>, mut times: u64) {
    while times > 0 {
        times -= 1;
        handle.yield_now().await;
    }
}

fn argument(position: usize) -> u64 {
    let text = std::env::args().nth(position);
    text.and_then(|text| text.parse().ok()).expect("usage: switch_async yield TASKS SWITCHES, or spawn TASKS")
}

fn run<'d, F: Future + 'd>(first: impl IntoIterator<Item = Put<'d, F>>) {
    let mut executor = Box::new(Executor::<Idle<'d, F>>::new(&Fixed));
    for (task, _) in first {
        assert!(executor.spawn(ConnTask::Own(task)).is_ok(), "at most 64 tasks");
    }
    let mut host = Idle(PhantomData);
    while executor.kernel.rest() == Rest::Ready {
        executor.turn(Instant::ZERO, &mut host);
    }
}

fn main() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    match std::env::args().nth(1).as_deref() {
        Some("yield") => {
            let (tasks, switches) = (argument(2), argument(3));
            let pool = pin!(Pool::<_, _>::fixed::<64>());
            let pool = pool.as_ref();
            let task = |_| pool.put(handle, yields(handle, switches / tasks)).ok();
            run((0..tasks).map_while(task));
        }
        _ => {
            let tasks = argument(2);
            let children = pin!(Pool::<_, _>::fixed::<8>());
            let children = children.as_ref();
            let parent = pin!(Pool::<_, _>::fixed::<1>());
            let spawn = async {
                for _ in 0..tasks / 8 {
                    for _ in 0..8 {
                        let child = children.put(handle, async {}).expect("all have ended");
                        handle.start(child.0.erase()).expect("there is room");
                    }
                    handle.yield_now().await;
                }
            };
            let parent = parent.as_ref().put(handle, spawn).ok();
            run(parent);
        }
    }
}
