use std::future::poll_fn;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::task::Poll;

use sinbin_core::job::Slicer;
use sinbin_core::kernel::Op;
use sinbin_core::task::{
    Async, AsyncHost, Conn, Either, ErasedJob, Error, Handle, IntoJob, JobError, NoWakers, RunContext,
    WaitError, select,
};
use sinbin_core::{Executor, Fixed, Host, Instant, IoError, Job, JobId, Progress, Rest, SourceId};
use sinbin_testkit::count::{Count, count};
use sinbin_testkit::no_io;

type Jobs = Fixed<4, 2, 2>;

/// A host without a heap that only computes jobs of the type `Count`.
struct Counter<'d> {
    slicer: Slicer<Count, Jobs>,
    /// True if the host refuses these jobs as well.
    is_idle: bool,
    tasks: PhantomData<Async<'d>>,
}

impl<'d> Host for Counter<'d> {
    type Storage = Jobs;
    type Task = Async<'d>;

    no_io!();
}

impl<'d> AsyncHost<'d> for Counter<'d> {
    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let count = job.job().downcast_mut::<Option<Count>>().filter(|_| !self.is_idle);
        count.and_then(Option::take).map(|count| self.slicer.submit(id, count)).is_some()
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let mut output = self.slicer.take(id);
        assert!(!job.put(&mut Some("something else")), "the output is of another type");
        output.is_some() && job.put(&mut output)
    }

    fn cancel_job(&mut self, id: JobId) {
        self.slicer.cancel(id);
    }
}

/// Runs a task to its end, with a slice of a job after each turn.
fn run<'d>(is_idle: bool, handle: Handle<'d>, future: impl Future<Output = ()> + 'd) {
    let (task, join_handle) = Async::new(handle, future);
    let mut host = Counter { slicer: Slicer::new(&Fixed), is_idle, tasks: PhantomData };
    let mut executor = Box::new(Executor::<Counter<'_>>::new(&Fixed));
    assert!(executor.spawn(task).is_ok());
    for _ in 0..100 {
        executor.turn(Instant::ZERO, &mut host);
        assert_eq!(executor.kernel.audit(), Ok(()));
        if let Some(done) = host.slicer.run(1) {
            executor.kernel.job_done(done);
        }
    }
    assert_eq!(executor.kernel.rest(), Rest::Empty);
    assert!(join_handle.is_over());
    let begun = [(); 3].map(|()| executor.kernel.begin_job().is_ok());
    let opened = [(); 3].map(|()| executor.kernel.open().is_ok());
    assert_eq!([begun, opened], [[true, true, false]; 2], "all slots are free again");
}

#[test]
fn a_host_can_compute_jobs_of_one_type_and_refuses_others() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    run(false, handle, async {
        for number in 0..4 {
            assert_eq!(handle.job(count(number)).await, Ok(number));
            assert_eq!(handle.job(|| "called").await, Err(JobError::Wait(WaitError::Full)));
        }
        // A job that has begun and is then dropped.
        let mut job = Box::pin(handle.job(count(50)));
        let polled = poll_fn(|context| Poll::Ready(job.as_mut().poll(context))).await;
        assert_eq!(polled, Poll::Pending);
    });
}

/// Repeated attempts leak no slot.
#[test]
fn what_a_host_does_not_offer_is_an_error_to_the_task_that_asks() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let is_unsupported = |error: Error, op| match error {
        Error::Failed(failure) => (failure.op, failure.error) == (op, IoError::Unsupported),
        Error::Address { op: failed, error, address: at } => {
            (failed, error, at) == (op, IoError::Unsupported, address)
        }
        _ => false,
    };
    run(true, handle, async {
        for _ in 0..5 {
            assert_eq!(handle.job(count(0)).await, Err(JobError::Wait(WaitError::Full)));
            assert_eq!(handle.blocking(|| 0).await, Err(JobError::Wait(WaitError::Full)));
            for failed in [
                handle.connect("unix:/no/path").await.unwrap_err(),
                handle.connect("example.org:80").await.unwrap_err(),
                handle.listen("unix:/no/path").unwrap_err(),
                handle.resolve("example.org:80").await.unwrap_err(),
            ] {
                assert_eq!(failed.io(), Some(IoError::Unsupported), "{failed}");
            }
            assert!(is_unsupported(handle.connect(address).await.unwrap_err(), Op::Connect));
            assert!(is_unsupported(handle.listen(address).unwrap_err(), Op::Listen));
            assert!(is_unsupported(handle.adopt(()).unwrap_err(), Op::Connect));
            assert!(is_unsupported(handle.stop().unwrap_err(), Op::Wait));
            // Such a host never stops.
            let stopping = select(handle.stopping(), handle.yield_now()).await;
            assert!(matches!(stopping, Either::Second(())));
            let conn = Conn::new(handle, SourceId::from_bits(0));
            assert!(is_unsupported(conn.shutdown().unwrap_err(), Op::Shutdown));
            assert_eq!(conn.peer(), None);
        }
    });
}

/// A second run after the end returns `More` and does not panic.
#[test]
fn a_closure_is_a_job_of_one_slice() {
    let word = String::from("said");
    let mut job = (move || word + " once").into_job();
    assert_eq!(job.run(0), Progress::Done("said once".into()));
    assert_eq!(job.run(u32::MAX), Progress::More);
}
