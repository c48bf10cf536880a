use std::marker::PhantomData;
use std::pin::Pin;

use sinbin_core::task::{Async, AsyncHost, Handle, NoWakers, RunContext};
use sinbin_core::{Cx, Executor, Fixed, Host, Instant, Rest, Step, Task};
use sinbin_testkit::no_io;

/// A host without I/O that wraps its tasks.
struct Idle<'d>(PhantomData<Async<'d>>);

/// A wrapper that resumes its task twice in each step, regardless of the result.
struct Twice<'d>(Async<'d>);

impl<'d> From<Async<'d>> for Twice<'d> {
    fn from(task: Async<'d>) -> Self {
        Self(task)
    }
}

impl<'d> Task<Idle<'d>> for Twice<'d> {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Idle<'d>>) -> Step {
        let first = Pin::new(&mut self.0).resume(cx);
        let second = Pin::new(&mut self.0).resume(cx);
        assert!(first != Step::Done || second == Step::Done, "a completed task stays completed");
        second
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Idle<'d>>) {
        for _ in 0..2 {
            Pin::new(&mut self.0).end(cx);
        }
        assert_eq!(Pin::new(&mut self.0).resume(cx), Step::Done);
    }
}

impl<'d> Host for Idle<'d> {
    type Storage = Fixed<4>;
    type Task = Twice<'d>;

    no_io!();
}

impl<'d> AsyncHost<'d> for Idle<'d> {}

#[test]
fn who_wraps_a_task_can_resume_it_as_often_as_it_likes() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut executor = Box::new(Executor::<Idle<'_>>::new(&Fixed));
    let (at_once, mut first) = Async::new(handle, async { String::from("at once") });
    let (later, mut second) = Async::new(handle, async move {
        for _ in 0..5 {
            handle.yield_now().await;
        }
        String::from("later")
    });
    for task in [at_once, later] {
        assert!(executor.spawn(Twice(task)).is_ok());
    }
    while executor.kernel.rest() == Rest::Ready {
        executor.turn(Instant::ZERO, &mut Idle(PhantomData));
    }
    assert_eq!(executor.kernel.rest(), Rest::Empty);
    assert_eq!((first.take().as_deref(), second.take().as_deref()), (Some("at once"), Some("later")));
}
