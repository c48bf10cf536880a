//! Yields by code that does not know the loop.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::{Either, select};
use sinbin_core::task::join;

use crate::loopback::{run, wire};

/// Yields by waking the context's waker, as code without access to the loop does.
pub(crate) async fn foreign_yield() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_foreign_yield_lets_the_others_run() {
    let said = run(async |handle| {
        let said = Rc::new(RefCell::new(String::new()));
        let say = |name: char| {
            let said = Rc::clone(&said);
            async move {
                for _ in 0..3 {
                    said.borrow_mut().push(name);
                    foreign_yield().await;
                }
            }
        };
        let mut tasks =
            ['a', 'b', 'c'].map(|name| handle.spawn(say(name)).expect("the limit is not reached"));
        for task in &mut tasks {
            task.join().await.expect("no task cancels it");
        }
        said.take()
    });
    assert_eq!(said, "abcabcabc");
}

#[test]
fn a_foreign_yield_keeps_no_wait_of_the_same_step() {
    run(async |handle| {
        let conn = wire(handle).await;
        let mut buffer = [0; 4];
        let (received, ()) = join(conn.recv(&mut buffer), async {
            foreign_yield().await;
            foreign_yield().await;
            conn.send_all(b"late").await.expect("a wire");
        })
        .await;
        assert_eq!((received, &buffer), (Ok(4), b"late"));
    });
}

#[test]
fn what_is_ready_is_seen_beside_a_future_that_never_rests() {
    async fn never_rests() {
        for _ in 0..1000 {
            foreign_yield().await;
        }
    }
    run(async |handle| {
        let conn = wire(handle).await;
        let mut buffer = [0; 4];
        let received = select(conn.recv(&mut buffer), Box::pin(never_rests()));
        let (received, ()) = join(received, async { conn.send_all(b"1").await.expect("a wire") }).await;
        assert!(matches!(received, Either::Left((Ok(1), _))), "received");
        conn.send_all(b"2").await.expect("a wire");
        let readable = select(conn.readable(), Box::pin(never_rests())).await;
        assert!(matches!(readable, Either::Left((Ok(()), _))), "readable");
        let writable = select(conn.writable(), Box::pin(never_rests())).await;
        assert!(matches!(writable, Either::Left((Ok(()), _))), "writable");
    });
}
