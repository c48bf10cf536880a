//! Bytes that tasks keep in blocks of the loop.

use std::cell::RefCell;
use std::rc::Rc;

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Error, Handle, Kept, NoWakers, RunContext, WaitError};
use sinbin_core::{IoError, Rest};
use sinbin_testkit::memory_host::World;

fn copied(kept: &Kept<'_>) -> Vec<u8> {
    kept.with(<[u8]>::to_vec).unwrap()
}

/// More than eight bytes are stored in a block, and fewer in the task itself. A task sees no difference.
#[test]
fn bytes_are_kept_until_they_are_consumed() {
    for text in ["a few", "many more than eight"] {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let conn = world.connect();
        let source = conn.source();
        world.peer(source).inbox.extend(text.as_bytes());
        world.peer(source).finished = true;
        world.spawn(async move {
            let mut kept = conn.try_recv_kept().unwrap();
            handle.yield_now().await;
            assert!(!kept.is_empty() && !kept.is_cut());
            assert_eq!(copied(&kept), text.as_bytes());
            let mut piece = [0; 3];
            assert_eq!(kept.copy_to(&mut piece), Ok(3));
            assert_eq!(piece, text.as_bytes()[..3]);
            kept.consume(3);
            handle.yield_now().await;
            assert_eq!(copied(&kept), text.as_bytes()[3..]);
            assert!(format!("{kept:?}").starts_with("Kept"));
            kept.consume(100);
            assert!(kept.is_empty() && copied(&kept).is_empty());
            assert!(conn.try_recv_kept().unwrap().is_empty(), "that was the end of the stream");
        });
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(world.executor.blocks_lent(), 0);
    }
}

#[test]
fn where_nothing_is_there_nothing_is_kept() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.spawn(async move {
        let nothing = Failure { op: Op::Recv, source, error: IoError::WouldBlock };
        assert_eq!(conn.try_recv_kept().err(), Some(Error::Failed(nothing)));
    });
    assert_eq!(world.run(), Rest::Empty);
}

/// A block is returned to the loop wherever its bytes are dropped. Within a callback, which borrows the host, this
/// happens when the callback returns.
#[test]
fn blocks_that_are_dropped_go_back() {
    for in_callback in [false, true] {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let conn = world.connect();
        world.peer(conn.source()).inbox.extend(b"many more than eight");
        let after = world.connect();
        world.peer(after.source()).inbox.push_back(1);
        world.spawn(async move {
            let kept = conn.try_recv_kept().unwrap();
            handle.yield_now().await;
            if in_callback {
                after.try_recv_with(move |_| drop(kept)).unwrap();
            } else {
                drop(kept);
            }
            std::future::pending::<()>().await;
        });
        world.turn();
        assert_eq!(world.executor.blocks_lent(), 1);
        world.turn();
        assert_eq!(world.executor.blocks_lent(), 0);
    }
}

/// Bytes in a block belong to the loop. Outside of its tasks they are not accessible. The block is returned
/// when the bytes are dropped in a later step.
#[test]
fn bytes_outside_of_a_task_are_refused() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let taken = Rc::new(RefCell::new(None));
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend(b"many more than eight");
    let place = taken.clone();
    world.spawn(async move {
        *place.borrow_mut() = conn.try_recv_kept().ok();
        handle.yield_now().await;
        drop(place.take());
    });
    world.turn();
    assert_eq!(taken.borrow().as_ref().unwrap().copy_to(&mut [0; 4]), Err(WaitError::Elsewhere));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(world.executor.blocks_lent(), 0);
}
