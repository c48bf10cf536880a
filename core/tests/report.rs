//! The report of a kernel that hangs, and the limits that a kernel was created with.

use sinbin_core::kernel::{ExpectedWaker, Slots, Storage};
use sinbin_core::task::{Async, AsyncHost, BoxedJob, ErasedJob};
use sinbin_core::{
    Fixed, Host, Instant, Interest, IoError, JobId, Kernel, Limits, SourceId, Step, Wait, WaitTarget,
};
use sinbin_testkit::no_io;

/// Returns the lines of a report, one per task.
fn report(kernel: &Kernel<Fixed<4>>) -> Vec<String> {
    kernel.tasks().map(|view| view.to_string()).collect()
}

#[test]
fn a_report_says_what_each_task_waits_for() {
    let mut kernel = Kernel::new(&Fixed::<4>);
    let [first, ..] = [(); 4].map(|()| kernel.spawn().unwrap());
    let (conn, job) = (kernel.open().unwrap(), kernel.begin_job().unwrap());
    assert_eq!(report(&kernel)[0], "task 0.1: ready to run");

    let soon = Instant::from_nanos(9);
    let all =
        Wait::recv(conn).or(WaitTarget::Send(conn)).or(WaitTarget::Hangup(conn)).or(WaitTarget::Job(job));
    let mut say = |waits: [Wait; 4]| {
        kernel.advance(Instant::ZERO);
        for wait in waits {
            let task = kernel.next().unwrap();
            kernel.park(task, Step::Wait(wait));
        }
        let said = report(&kernel);
        let tasks: Vec<_> = kernel.tasks().map(|view| view.id).collect();
        tasks.into_iter().for_each(|task| assert!(kernel.wake(task)));
        said
    };
    let said = say([all, Wait::time(soon), Wait::wake(), Wait::wake().woken_by(ExpectedWaker::Outside)]);
    assert_eq!(
        said[0],
        "task 0.1: waits for recv on source 0.1 or send on source 0.1 or hangup of source 0.1 or job 0.1"
    );
    assert_eq!(said[1], "task 1.1: waits for its deadline");
    assert_eq!(said[2], "task 2.1: waits to be woken by name");
    assert_eq!(said[3], "task 3.1: waits to be woken from outside");
    let said = say([
        Wait::wake().woken_by(ExpectedWaker::Task(first)),
        Wait::job(job).until(soon),
        Wait::wake(),
        Wait::wake(),
    ]);
    assert_eq!(said[0], "task 0.1: waits for task 0.1");
    assert_eq!(said[1], "task 1.1: waits for job 0.1 until its deadline");

    assert!(kernel.has_job(job));
    kernel.end_job(job);
    assert!(!kernel.has_job(job));
    assert!(!kernel.has_job(JobId::from_bits(u64::MAX)));
}

/// A table holds as many items as its limit, whether the memory is reserved or not, and returns the item that does not
/// fit.
#[test]
fn a_table_on_the_heap_grows_to_its_limit() {
    let limits = Limits::new(3, 2, 1000);
    for limits in [limits, limits.reserved()] {
        let mut table = limits.blocks::<u8>();
        assert_eq!((table.push(1), table.push(2), table.push(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((table.items(), table.limit()), (&[1, 2][..], 2));
        assert_eq!((limits.tasks(), limits.bytes().len()), (3, 1000));
    }
    // The size of a block is a 16-bit number and always suffices for a line.
    let sizes = [0, 128, 65_535, 65_536].map(|size| Limits::new(1, 1, size).block_size());
    assert_eq!(sizes, [128, 128, 65_535, 65_535]);
}

/// With fewer sources and jobs than tasks, each kind of table ends at its own limit.
#[test]
fn each_table_has_its_limit() {
    let mut kernel = Kernel::new(&Limits::new(4, 1, 128).with_sources(2).with_jobs(1));
    let opened = [(); 3].map(|()| kernel.open().is_ok());
    let begun = [(); 2].map(|()| kernel.begin_job().is_ok());
    let spawned = [(); 5].map(|()| kernel.spawn().is_ok());
    assert_eq!(opened, [true, true, false]);
    assert_eq!(begun, [true, false]);
    assert_eq!(spawned, [true, true, true, true, false]);
}

/// A host with only the required methods.
struct Bare;

struct Task;

impl Host for Bare {
    type Storage = Fixed<1>;
    type Task = Task;

    no_io!();
}

impl<'d> From<Async<'d>> for Task {
    fn from(_: Async<'d>) -> Self {
        Self
    }
}

impl AsyncHost<'_> for Bare {}

/// A job that a host must not remove from its task.
struct Stays;

impl ErasedJob for Stays {
    fn job(&mut self) -> &mut dyn std::any::Any {
        panic!("the host does not compute jobs")
    }

    fn put(&mut self, _: &mut dyn std::any::Any) -> bool {
        panic!("the job has no result")
    }

    fn boxed(&mut self) -> Option<BoxedJob> {
        panic!("the host does not compute jobs")
    }
}

#[test]
fn what_a_host_does_not_offer_is_an_error() {
    let (mut host, address) = (Bare, "127.0.0.1:1".parse().unwrap());
    let source = SourceId::from_bits(1 << 32);
    assert_eq!(host.shutdown(source), Err(IoError::Unsupported));
    assert_eq!(host.listen(address, source), Err(IoError::Unsupported));
    assert_eq!(host.connect(address, source), Err(IoError::Unsupported));
    assert_eq!(host.connected(source), Err(IoError::Unsupported));
    assert_eq!(host.operate(source, Interest::RECV, &mut |_| Ok(())), Err(IoError::Unsupported));
    assert_eq!(host.peer(source), None);
    let job = JobId::from_bits(1 << 32);
    assert!(!host.submit_job(job, &mut Stays));
    host.cancel_job(job);
    assert!(!host.take_job(job, &mut Stays));
}
