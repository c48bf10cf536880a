//! The loop of a WASI 0.3 command.
//!
//! Each round polls the guest once, which runs all of its tasks that can go on. The round begins with the wait of the
//! reactor, inside the guest's future, because the host's state is accessible only there.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use sinbin::readiness::Notifier;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi::p3::bindings::{Command, CommandPre};

use super::super::{Error, Guest, Returned};

/// The waker of the loop. A wake from another thread, such as one that works on a file, ends the wait of the reactor.
struct Bell {
    rang: AtomicBool,
    /// True if the next poll is the first of a round.
    is_new_round: AtomicBool,
    thread: ThreadId,
    notifier: Notifier,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        if thread::current().id() != self.thread {
            self.notifier.notify();
        }
    }
}

/// Checks that a component is a command.
pub(in super::super) fn check(instance: InstancePre<Guest>) -> wasmtime::Result<()> {
    CommandPre::new(instance).map(drop)
}

/// Runs a command to its end on this thread, and returns what it returned.
///
/// # Errors
///
/// Fails if the command can't be instantiated. The inner result is that of the call, as for WASI 0.2.
pub(in super::super) fn run(
    store: &mut Store<Guest>,
    component: &Component,
    linker: &Linker<Guest>,
) -> Result<Returned, Error> {
    let bell = Arc::new(Bell {
        rang: AtomicBool::new(false),
        is_new_round: AtomicBool::new(false),
        thread: thread::current().id(),
        notifier: store.data().io.watcher().notifier(),
    });
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let command = {
        let mut starting = pin!(Command::instantiate_async(&mut *store, component, linker));
        // The start of an instance calls nothing that waits.
        loop {
            if let Poll::Ready(started) = starting.as_mut().poll(&mut context) {
                break started.map_err(Error::Link)?;
            }
        }
    };
    Ok(call(store, &command, &bell, &mut context))
}

/// Calls the command, and waits until all of its tasks have ended.
fn call(
    store: &mut Store<Guest>,
    command: &Command,
    bell: &Arc<Bell>,
    context: &mut Context<'_>,
) -> Returned {
    let mut running = pin!(store.run_concurrent(async |accessor| {
        let mut whole = pin!(async {
            let ended = command.wasi_cli_run().call_run(accessor).await?;
            // Tasks may go on after the function has returned.
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            Ok(ended)
        });
        poll_fn(|context| {
            if bell.is_new_round.swap(false, Ordering::AcqRel) {
                let has_work = bell.rang.load(Ordering::Acquire);
                accessor.with(|mut store| store.get().io.turn(has_work))?;
                // All futures that were woken until now are polled in this round.
                bell.rang.store(false, Ordering::Release);
            }
            whole.as_mut().poll(context)
        })
        .await
    }));
    loop {
        if let Poll::Ready(ended) = running.as_mut().poll(context) {
            return ended?;
        }
        bell.is_new_round.store(true, Ordering::Release);
    }
}
