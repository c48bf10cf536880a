//! Tiny programs that only switch between tasks, or spawn them, for callgrind to count.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;

use clap::ValueEnum;
use tokio::task::LocalSet;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Switcher {
    /// Boxed closures in a deque: the minimal scheduler.
    Deque,
    /// Tasks of a tokio `LocalSet`, each of which wakes itself.
    Tokio,
}

/// The number of tasks that a parent spawns before it yields, as in sinbin-core's example.
const SPAWNED_AT_ONCE: usize = 8;

/// Runs `tasks` tasks that yield in turn, `switches` times in total.
pub(crate) fn run(switcher: Switcher, tasks: usize, switches: usize) {
    match switcher {
        Switcher::Deque => deque(tasks, switches / tasks),
        Switcher::Tokio => local_set(tasks, switches / tasks),
    }
}

/// Spawns `tasks` tasks, each of which ends in its first step.
pub(crate) fn spawn(switcher: Switcher, tasks: usize) {
    match switcher {
        Switcher::Deque => deque_spawn(tasks / SPAWNED_AT_ONCE),
        Switcher::Tokio => local_set_spawn(tasks / SPAWNED_AT_ONCE),
    }
}

fn deque(tasks: usize, turns: usize) {
    let mut ready: VecDeque<Box<dyn FnMut() -> bool>> = VecDeque::with_capacity(tasks);
    for _ in 0..tasks {
        let mut left = black_box(turns);
        ready.push_back(Box::new(move || {
            left -= 1;
            left > 0
        }));
    }
    while let Some(mut task) = ready.pop_front() {
        if task() {
            ready.push_back(task);
        }
    }
}

fn deque_spawn(turns: usize) {
    let mut ready: VecDeque<Box<dyn FnMut()>> = VecDeque::with_capacity(SPAWNED_AT_ONCE);
    for _ in 0..turns {
        for _ in 0..SPAWNED_AT_ONCE {
            // Without any state the box would not allocate.
            let mut runs = black_box(0);
            ready.push_back(Box::new(move || {
                runs += 1;
                black_box(runs);
            }));
        }
        while let Some(mut task) = ready.pop_front() {
            task();
        }
    }
}

fn local_set(tasks: usize, turns: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let set = LocalSet::new();
    for _ in 0..tasks {
        set.spawn_local(async move {
            for _ in 0..turns {
                yield_once().await;
            }
        });
    }
    runtime.block_on(set);
}

fn local_set_spawn(turns: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let set = LocalSet::new();
    set.spawn_local(async move {
        for _ in 0..turns {
            for _ in 0..SPAWNED_AT_ONCE {
                tokio::task::spawn_local(async {});
            }
            yield_once().await;
        }
    });
    runtime.block_on(set);
}

/// Yields by waking itself in the plain way. tokio's own `yield_now` defers the wake, which is a different operation.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
