//! The jobs of a pool: an ordered queue of waiting jobs, and slots for jobs that a worker runs.
//!
//! A cancelled job is removed at once, wherever it is. Marking it would be enough for the workers. But workers have low
//! priority, and a client that keeps submitting and cancelling jobs would fill the memory with cancelled jobs. The
//! queue is a linked list through the slots, as in the kernel's tables. Here a slot contains its job, and the memory is
//! released when no job is left.

use std::mem;

/// The index that denotes no slot.
const NONE: u32 = u32::MAX;

/// The number of slots that are kept when no job is left.
const FEW: usize = if cfg!(test) { 2 } else { 16 };

/// The key of a job. A key never denotes another job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    index: u32,
    number: u64,
}

/// The state that a job had when it ended.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Ended<J> {
    /// The job was waiting.
    Waiting(J),
    /// A worker runs the job.
    Out,
    /// The job had ended before.
    Before,
}

struct QueueSlot<J> {
    /// The number of the job that occupies the slot, or occupied it last.
    number: u64,
    content: Content<J>,
}

enum Content<J> {
    Free { next: u32 },
    Waiting { job: J, previous: u32, next: u32 },
    Out,
}

/// A first-in, first-out queue. All operations take constant time, amortized because of memory allocation.
pub(super) struct Queue<J> {
    places: Vec<QueueSlot<J>>,
    free: u32,
    first: u32,
    last: u32,
    waiting: usize,
    taken: usize,
    /// The number of jobs ever submitted.
    count: u64,
}

impl<J> Queue<J> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: NONE, first: NONE, last: NONE, waiting: 0, taken: 0, count: 0 }
    }

    /// Returns the number of jobs that wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Appends a job. Returns the job as an error if the queue already has 4 billion jobs.
    pub(super) fn submit(&mut self, job: J) -> Result<Key, J> {
        let Some(index) = self.take_place() else { return Err(job) };
        self.count += 1;
        self.taken += 1;
        self.places[index as usize].number = self.count;
        self.append(index, job);
        Ok(Key { index, number: self.count })
    }

    /// Removes the job that has waited longest, for a worker to run.
    pub(super) fn take_first(&mut self) -> Option<(Key, J)> {
        let index = self.first;
        let job = self.unlink(index)?;
        Some((Key { index, number: self.places[index as usize].number }, job))
    }

    /// Appends a job that a worker has not finished. Returns the job as an error if it was cancelled in the meantime.
    pub(super) fn put_back(&mut self, key: Key, job: J) -> Result<(), J> {
        if !self.is_there(key) {
            return Err(job);
        }
        self.append(key.index, job);
        Ok(())
    }

    /// Ends a job that is finished or cancelled.
    pub(super) fn end(&mut self, key: Key) -> Ended<J> {
        if !self.is_there(key) {
            return Ended::Before;
        }
        let job = self.unlink(key.index);
        self.places[key.index as usize].content = Content::Free { next: self.free };
        self.free = key.index;
        self.taken -= 1;
        if self.taken == 0 && self.places.len() > FEW {
            self.places.clear();
            self.places.shrink_to(FEW);
            self.free = NONE;
        }
        job.map_or(Ended::Out, Ended::Waiting)
    }

    fn is_there(&self, key: Key) -> bool {
        let place = self.places.get(key.index as usize).filter(|place| place.number == key.number);
        place.is_some_and(|place| !matches!(place.content, Content::Free { .. }))
    }

    /// Allocates a slot.
    fn take_place(&mut self) -> Option<u32> {
        match self.places.get(self.free as usize) {
            Some(QueueSlot { content: Content::Free { next }, .. }) => {
                Some(mem::replace(&mut self.free, *next))
            }
            _ => {
                debug_assert!(self.free == NONE, "a slot on the free list is free");
                let index = u32::try_from(self.places.len()).ok().filter(|index| *index != NONE)?;
                self.places.push(QueueSlot { number: 0, content: Content::Out });
                Some(index)
            }
        }
    }

    fn append(&mut self, index: u32, job: J) {
        let previous = mem::replace(&mut self.last, index);
        self.set_next(previous, index);
        self.places[index as usize].content = Content::Waiting { job, previous, next: NONE };
        self.waiting += 1;
    }

    /// Removes a waiting job from the list.
    fn unlink(&mut self, index: u32) -> Option<J> {
        let content = &mut self.places.get_mut(index as usize)?.content;
        let Content::Waiting { job, previous, next } = mem::replace(content, Content::Out) else {
            return None;
        };
        self.set_next(previous, next);
        match self.places.get_mut(next as usize).map(|place| &mut place.content) {
            Some(Content::Waiting { previous: back, .. }) => *back = previous,
            _ => {
                debug_assert!(next == NONE, "a linked slot contains a waiting job");
                self.last = previous;
            }
        }
        self.waiting -= 1;
        Some(job)
    }

    fn set_next(&mut self, index: u32, to: u32) {
        match self.places.get_mut(index as usize).map(|place| &mut place.content) {
            Some(Content::Waiting { next, .. }) => *next = to,
            _ => {
                debug_assert!(index == NONE, "a linked slot contains a waiting job");
                self.first = to;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Submit,
        TakeFirst,
        /// Puts back one of the jobs that are out, whether it is still wanted or not.
        PutBack(usize),
        /// Ends one of all jobs ever submitted.
        End(usize),
        /// Ends one of the jobs that have not ended, if there are any.
        EndAnother(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => Just(Op::Submit),
            2 => Just(Op::TakeFirst),
            1 => any::<usize>().prop_map(Op::PutBack),
            1 => any::<usize>().prop_map(Op::End),
            3 => any::<usize>().prop_map(Op::EndAnother),
        ]
    }

    /// The expected state. Jobs are numbers.
    #[derive(Default)]
    struct Model {
        waiting: VecDeque<usize>,
        out: Vec<usize>,
        keys: Vec<Key>,
        there: BTreeSet<usize>,
    }

    impl Model {
        fn apply(&mut self, queue: &mut Queue<usize>, op: Op) {
            match op {
                Op::Submit => {
                    let job = self.keys.len();
                    self.keys.push(queue.submit(job).expect("there is room"));
                    self.waiting.push_back(job);
                    self.there.insert(job);
                }
                Op::TakeFirst => {
                    let expected = self.waiting.pop_front().map(|job| (self.keys[job], job));
                    assert_eq!(queue.take_first(), expected);
                    self.out.extend(expected.map(|(_, job)| job));
                }
                Op::PutBack(index) if !self.out.is_empty() => {
                    let job = self.out.swap_remove(index % self.out.len());
                    let is_there = self.there.contains(&job);
                    assert_eq!(queue.put_back(self.keys[job], job), if is_there { Ok(()) } else { Err(job) });
                    self.waiting.extend(is_there.then_some(job));
                }
                Op::End(index) if !self.keys.is_empty() => self.end(queue, index % self.keys.len()),
                Op::EndAnother(index) if !self.there.is_empty() => {
                    let job = self.there.iter().nth(index % self.there.len()).copied();
                    self.end(queue, job.expect("the index is in range"));
                }
                Op::PutBack(_) | Op::End(_) | Op::EndAnother(_) => {}
            }
        }

        fn end(&mut self, queue: &mut Queue<usize>, job: usize) {
            let is_waiting = self.waiting.contains(&job);
            self.waiting.retain(|other| *other != job);
            let expected = match self.there.remove(&job) {
                false => Ended::Before,
                true if is_waiting => Ended::Waiting(job),
                true => Ended::Out,
            };
            assert_eq!(queue.end(self.keys[job]), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn jobs_come_out_in_order_and_a_key_never_ends_another_one(
            ops in prop::collection::vec(op(), 0..300),
        ) {
            let (mut queue, mut model) = (Queue::new(), Model::default());
            for op in ops {
                model.apply(&mut queue, op);
                prop_assert_eq!((queue.waiting(), queue.taken), (model.waiting.len(), model.there.len()));
                prop_assert!(queue.taken > 0 || queue.places.len() <= FEW, "the memory goes with the last job");
            }
        }
    }

    #[test]
    fn who_cancels_all_the_time_does_not_fill_the_memory() {
        let mut queue = Queue::new();
        for job in 0..10_000 {
            let key = queue.submit(job).expect("there is room");
            if job % 100 > 0 {
                assert_eq!(queue.end(key), Ended::Waiting(job));
            }
        }
        assert_eq!((queue.waiting(), queue.places.len()), (100, 101));
        let jobs: Vec<u32> = std::iter::from_fn(|| queue.take_first()).map(|(_, job)| job).collect();
        assert_eq!(jobs, (0..10_000).step_by(100).collect::<Vec<_>>());
    }
}
