//! Jobs in slices: each gets its share, and none continues after its cancellation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::job::Slicer;
use sinbin_core::{Fixed, Job, JobId, Kernel, Progress};
use sinbin_testkit::cases::cases;

const PLACES: usize = 4;
type Storage = Fixed<0, 0, PLACES>;

/// The job of each slice, in order.
type Log = Rc<RefCell<Vec<JobId>>>;

/// A job of `slices + 1` slices whose output is its own id.
struct Count {
    id: JobId,
    slices: usize,
    log: Log,
}

impl Job for Count {
    type Output = JobId;

    fn run(&mut self, _: u32) -> Progress<JobId> {
        self.log.borrow_mut().push(self.id);
        match self.slices.checked_sub(1) {
            None => Progress::Done(self.id),
            Some(left) => {
                self.slices = left;
                Progress::More
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Submit(usize),
    Cancel(usize),
    Take(usize),
    Run,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..6_usize).prop_map(Act::Submit),
        2 => any::<usize>().prop_map(Act::Cancel),
        2 => any::<usize>().prop_map(Act::Take),
        8 => Just(Act::Run),
    ];
    vec(act, 0..100)
}

/// The state of a job in the model.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Is {
    /// The number of remaining slices, including this one, and the number of slices that other jobs had in the
    /// meantime.
    Running {
        slices: usize,
        passed: usize,
    },
    Done,
    Gone,
}

/// A slicer, a kernel that allocates the ids of its jobs, and the expected state of each job.
struct World {
    kernel: Kernel<Storage>,
    slicer: Slicer<Count, Storage>,
    jobs: BTreeMap<JobId, Is>,
    log: Log,
}

impl World {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Submit(slices) => self.submit(*slices),
            Act::Cancel(number) => self.cancel(*number),
            Act::Take(number) => self.take(*number),
            Act::Run => self.run(),
        }
        for (id, is) in &self.jobs {
            assert_eq!(self.slicer.is_done(*id), *is == Is::Done);
        }
    }

    fn submit(&mut self, slices: usize) {
        if let Ok(id) = self.kernel.begin_job() {
            self.slicer.submit(id, Count { id, slices, log: Rc::clone(&self.log) });
            self.jobs.insert(id, Is::Running { slices, passed: 0 });
        }
    }

    /// Returns one of all jobs so far, present or past.
    fn job(&self, number: usize) -> Option<JobId> {
        self.jobs.keys().nth(number % self.jobs.len().max(1)).copied()
    }

    fn cancel(&mut self, number: usize) {
        if let Some(id) = self.job(number) {
            self.slicer.cancel(id);
            self.kernel.end_job(id);
            self.jobs.insert(id, Is::Gone);
        }
    }

    fn take(&mut self, number: usize) {
        if let Some(id) = self.job(number) {
            let taken = self.slicer.take(id);
            assert_eq!(
                taken,
                (self.jobs[&id] == Is::Done).then_some(id),
                "a result is there once, when it is done"
            );
            if taken.is_some() {
                self.kernel.end_job(id);
                self.jobs.insert(id, Is::Gone);
            }
        }
    }

    fn run(&mut self) {
        let busy = self.jobs.values().any(|is| matches!(is, Is::Running { .. }));
        let next = self.slicer.next();
        let done = self.slicer.run(1);
        let ran = self.log.borrow_mut().pop();
        assert_eq!(ran, next, "the next job in turn has the slice");
        assert_eq!(ran.is_some(), busy, "a slice is used if a job is running");
        assert!(busy || self.slicer.is_idle());
        for (id, is) in self.jobs.iter_mut() {
            *is = match *is {
                Is::Running { slices: 0, .. } if ran == Some(*id) => Is::Done,
                Is::Running { slices, .. } if ran == Some(*id) => {
                    Is::Running { slices: slices - 1, passed: 0 }
                }
                Is::Running { slices, passed } => Is::Running { slices, passed: passed + 1 },
                is => {
                    assert_ne!(ran, Some(*id), "a removed or completed job does not run");
                    is
                }
            };
            assert!(!matches!(is, Is::Running { passed: PLACES.., .. }), "each gets its share");
            assert_eq!(done == Some(*id), ran == Some(*id) && *is == Is::Done);
        }
    }
}

/// A slicer has as many slots as its kernel has jobs.
#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "as many places as the kernel has jobs")]
fn a_job_of_another_kernel_stops_a_debug_build() {
    let mut slicer = Slicer::<Count, Storage>::new(&Fixed);
    let id = JobId::from_bits(1 << 32 | PLACES as u64);
    slicer.submit(id, Count { id, slices: 0, log: Log::default() });
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_job_is_done_when_its_slices_are_and_can_be_taken_once(acts in acts()) {
        let (kernel, slicer) = (Kernel::new(&Fixed), Slicer::new(&Fixed));
        let mut world = World { kernel, slicer, jobs: BTreeMap::new(), log: Log::default() };
        acts.iter().for_each(|act| world.act(act));
    }

    /// Each job has had a slice after as many slices as there are jobs.
    #[test]
    fn jobs_take_turns(slices in vec(0..10_usize, 1..=PLACES)) {
        let mut kernel = Kernel::<Storage>::new(&Fixed);
        let mut slicer = Slicer::<Count, Storage>::new(&Fixed);
        for slices in &slices {
            let id = kernel.begin_job().unwrap();
            slicer.submit(id, Count { id, slices: *slices, log: Log::default() });
        }
        for round in 0..=10 {
            let running = slices.iter().filter(|slices| **slices >= round).count();
            let done: Vec<_> = (0..running).filter_map(|_| slicer.run(1)).map(JobId::index).collect();
            let due: Vec<_> = (0..slices.len()).filter(|job| slices[*job] == round).collect();
            prop_assert_eq!(done, due);
        }
        prop_assert!(slicer.is_idle());
    }
}
