//! An echo service whose tasks hang on request, for tests of the commands that look at tasks. A task that receives `spin`
//! computes forever. If it receives `tie`, it spawns two tasks that wait for each other.
#![no_std]

extern crate alloc;

use alloc::rc::Rc;
use core::hint::black_box;

use sinbin_core::sync::Lock;
use sinbin_core::task::{Conn, Error, Handle, WaitError};

sinbin_guest::tasks!(Tangle::new, Tangle::serve);

struct Tangle {
    handle: Handle<'static>,
}

impl Tangle {
    fn new(handle: Handle<'static>) -> Self {
        Self { handle }
    }

    async fn serve(&self, conn: Conn<'static>) -> Result<(), Error> {
        let mut buf = [0; 64];
        loop {
            let n = conn.recv(&mut buf).await?;
            let received = &buf[..n];
            match received.trim_ascii() {
                _ if n == 0 => return Ok(()),
                b"spin" => spin(),
                b"tie" => self.tie(),
                _ => {}
            }
            conn.send_all(received).await?;
        }
    }

    /// Spawns two tasks that wait for each other.
    fn tie(&self) {
        let left = Rc::new(Lock::named(self.handle, "left", ()));
        let right = Rc::new(Lock::named(self.handle, "right", ()));
        for (first, second) in [(left.clone(), right.clone()), (right, left)] {
            // Without capacity for both, none waits forever.
            self.handle.spawn(take_both(self.handle, first, second)).ok();
        }
    }
}

/// Takes two locks, the second while it holds the first.
async fn take_both(
    handle: Handle<'static>,
    first: Rc<Lock<'static, ()>>,
    second: Rc<Lock<'static, ()>>,
) -> Result<(), WaitError> {
    let _first = first.lock().await?;
    // Meanwhile the other task takes its first lock.
    handle.yield_now().await;
    let _second = second.lock().await?;
    Ok(())
}

/// Computes forever.
#[inline(never)]
fn spin() {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}
