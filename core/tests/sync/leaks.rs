//! Safe code may leak a future that is linked into a queue. The leak ends the future's borrow of the queue, so the
//! queue can be moved or dropped. These tests are mainly for miri.

use std::alloc::{Layout, dealloc};
use std::pin::Pin;

use sinbin_core::Rest;
use sinbin_core::sync::{Event, Lock};
use sinbin_core::task::{Handle, NoWakers, RunContext, select};
use sinbin_testkit::memory_host::{Log, World};

/// The memory of a future that all other code considers leaked. The memory is freed at the end of the test, so that
/// miri reports no other leaks.
struct Leaked {
    memory: *mut u8,
    layout: Layout,
}

impl Leaked {
    fn new<F>(future: Pin<Box<F>>) -> Self {
        // SAFETY: the future is not moved.
        let future = unsafe { Pin::into_inner_unchecked(future) };
        Self { memory: Box::into_raw(future).cast(), layout: Layout::new::<F>() }
    }
}

impl Drop for Leaked {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a box of that layout. All pointers into the box are gone by now.
        unsafe { dealloc(self.memory, self.layout) };
    }
}

#[test]
fn the_queue_moves() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let _leaked;
        let event = Box::new(Event::new(handle));
        let mut wait = Box::pin(event.wait());
        select(&mut wait, handle.yield_now()).await;
        _leaked = Leaked::new(wait);

        let moved = *event;
        let mut wait = Box::pin(moved.wait());
        select(&mut wait, handle.yield_now()).await;
        moved.set().unwrap();
        wait.await.unwrap();
        log.add("set");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["set"]);
}

#[test]
fn what_is_granted_to_it_is_lost_and_no_more_than_that() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let _leaked;
        let lock = Lock::new(handle, ());
        let guard = lock.try_lock().unwrap();
        let mut wait = Box::pin(lock.lock());
        select(&mut wait, handle.yield_now()).await;
        _leaked = Leaked::new(wait);
        let mut behind = Box::pin(lock.lock());
        select(&mut behind, handle.yield_now()).await;
        drop(guard);
        assert!(lock.try_lock().unwrap().is_none());
        drop(behind);
        log.add("alive");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["alive"]);
}
