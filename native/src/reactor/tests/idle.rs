//! Tests that an idle loop blocks, and that an earlier wake does not wake it again. The test counts the waits, because
//! elapsed time would only show how often the loop could have waited.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::reactor::WAITS;

/// The number of times that a thread wakes the loop.
const WAKES: usize = 20;

#[test]
fn a_notification_wakes_an_idle_loop_once() {
    let waker = Arc::new(Mutex::new(Waker::noop().clone()));
    let is_over = Arc::new(AtomicBool::new(false));
    let before = WAITS.get();
    let (wakers, over) = (Arc::clone(&waker), Arc::clone(&is_over));
    let other = thread::spawn(move || {
        for left in (0..WAKES).rev() {
            thread::sleep(Duration::from_millis(10));
            over.store(left == 0, Ordering::Release);
            wakers.lock().expect("no thread panics").wake_by_ref();
        }
    });
    let woken = std::future::poll_fn(|context| {
        waker.lock().expect("no thread panics").clone_from(context.waker());
        if is_over.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    });
    crate::run(async |_| woken.await).expect("it runs");
    other.join().expect("it wakes");
    // A notification that arrives while the previous one is being cleared may end a wait of its own.
    let waits = WAITS.get() - before;
    assert!(waits <= 2 * WAKES + 4, "{waits} waits for {WAKES} notifications");
}
