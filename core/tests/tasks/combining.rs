use std::cell::Cell;
use std::future::ready;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sinbin_core::task::{Handle, NoWakers, RunContext, TaskLocal, join, join_all, try_join, try_join_all};
use sinbin_core::{Instant, Rest};

use sinbin_testkit::memory_host::{Falls, Log, World, yields};

async fn after(handle: Handle<'_>, yielded: usize, value: u32) -> Result<u32, u32> {
    yields(handle, yielded).await;
    if value < 10 { Ok(value) } else { Err(value) }
}

#[test]
fn all_outputs_come_in_the_order_of_the_futures() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = world.spawn(async move {
        let all = join_all([3_u32, 0, 2].map(|n| after(handle, n as usize, n))).await;
        let none = join_all([] as [std::future::Ready<u32>; 0]).await;
        let tried = try_join_all([3_u32, 0, 2].map(|n| after(handle, n as usize, n))).await;
        let both = try_join(after(handle, 2, 1), after(handle, 1, 2)).await;
        (all, none, tried, both)
    });
    assert_eq!(world.run(), Rest::Empty);
    let all = vec![Ok(3), Ok(0), Ok(2)];
    assert_eq!(task.take(), Some((all, vec![], Ok(vec![3, 0, 2]), Ok((1, 2)))));
}

/// A future of any type.
type Boxed<'a> = std::pin::Pin<Box<dyn Future<Output = Result<u32, u32>> + 'a>>;

/// The first error ends the wait, and drops the futures that have not completed.
#[test]
fn a_failure_does_not_wait_for_the_others() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let never = |name| async move {
        let _falls = Falls(log, name);
        handle.sleep_until(Instant::NEVER).await;
        Ok::<u32, u32>(0)
    };
    let mut task = world.spawn(async move {
        let first = try_join(never("first"), after(handle, 1, 11)).await;
        log.add("failed");
        let second = try_join(after(handle, 1, 12), never("second")).await;
        log.add("failed");
        let boxed: Vec<Boxed<'_>> =
            vec![Box::pin(never("third")), Box::pin(after(handle, 2, 13)), Box::pin(never("fourth"))];
        (first, second, try_join_all(boxed).await)
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some((Err(11), Err(12), Err(13))));
    assert_eq!(log.take(), ["first", "failed", "second", "failed", "third", "fourth"]);
}

/// A combination that is polled after its completion stays pending, as its parts are gone.
#[test]
fn a_combination_completes_once() {
    let mut context = Context::from_waker(Waker::noop());
    let mut both = pin!(try_join(ready(Ok::<_, ()>(1)), ready(Ok(2))));
    assert_eq!(both.as_mut().poll(&mut context), Poll::Ready(Ok((1, 2))));
    assert_eq!(both.poll(&mut context), Poll::Pending);
}

#[test]
fn each_task_sees_the_value_of_its_own_scopes() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let local = Rc::new(TaskLocal::new());
    let mut world = World::new(handle);
    for n in [1, 2] {
        let local = Rc::clone(&local);
        world.spawn(async move {
            let inner = async {
                handle.yield_now().await;
                log.add(local.get());
            };
            let outer = async {
                log.add(local.get());
                join(TaskLocal::scope(&*local, 10 * n, inner), handle.yield_now()).await;
                log.add(local.get());
            };
            TaskLocal::scope(&*local, n, outer).await;
            log.add(local.get());
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    let mut seen = log.take();
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[..2], [Some(1), Some(2)]);
    seen.sort_unstable();
    assert_eq!(seen, [None, None, Some(1), Some(1), Some(2), Some(2), Some(10), Some(20)]);
    assert_eq!((local.get(), TaskLocal::<u32>::default().get()), (None, None));
    assert_eq!(format!("{local:?}"), "TaskLocal { .. }");
}

/// The value is restored even if the future panics, or is asked for within its own clone.
#[test]
fn a_scope_ends_with_a_panic() {
    struct Curious(Rc<TaskLocal<Curious>>, Rc<Cell<bool>>);
    impl Clone for Curious {
        fn clone(&self) -> Self {
            self.1.set(self.0.get().is_none());
            Self(Rc::clone(&self.0), Rc::clone(&self.1))
        }
    }
    let local = Rc::new(TaskLocal::new());
    let saw_none = Rc::new(Cell::new(false));
    let value = Curious(Rc::clone(&local), Rc::clone(&saw_none));
    let mut scoped = Box::pin(TaskLocal::scope(Rc::clone(&local), value, async {
        assert!(local.get().is_some());
        panic!("as it should");
    }));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = scoped.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }));
    assert!(polled.is_err() && saw_none.get());
    assert!(local.get().is_none());
}
