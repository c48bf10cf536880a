//! The jobs of a pool: those that wait for a worker, in order, and places for those that have one.
//!
//! What is cancelled leaves at once, from wherever it is. A mark on it would be enough for workers; but these have a low
//! priority, and whoever asks and goes away all the time would fill the memory with what nobody wants.

use std::mem;

/// No place.
const NONE: u32 = u32::MAX;

/// What is kept of the memory for places, when no job is left.
const FEW: usize = 16;

/// Names a job, and never another one after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    index: u32,
    /// How often the place had been taken before.
    generation: u32,
}

struct Place<J> {
    generation: u32,
    content: Content<J>,
}

enum Content<J> {
    Free {
        next: u32,
    },
    Waiting {
        job: J,
        previous: u32,
        next: u32,
    },
    /// A worker has it.
    Out,
}

/// First in, first out. All operations take constant time, and those that grow it an amortized one.
pub(super) struct Queue<J> {
    places: Vec<Place<J>>,
    free: u32,
    first: u32,
    last: u32,
    waiting: usize,
    taken: usize,
    /// That of a place which is new.
    generation: u32,
}

impl<J> Queue<J> {
    pub(super) const fn new() -> Self {
        let places = Vec::new();
        Self { places, free: NONE, first: NONE, last: NONE, waiting: 0, taken: 0, generation: 0 }
    }

    /// Jobs that wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds a job at the end; `None` with 4 billion there.
    pub(super) fn submit(&mut self, job: J) -> Option<Key> {
        let index = if self.free == NONE { self.grow()? } else { self.free };
        let place = &mut self.places[index as usize];
        if let Content::Free { next } = place.content {
            self.free = next;
        }
        let key = Key { index, generation: place.generation };
        self.taken += 1;
        self.append(index, job);
        Some(key)
    }

    /// The job that waits longest goes to a worker.
    pub(super) fn take_first(&mut self) -> Option<(Key, J)> {
        let index = self.first;
        let job = self.unlink(index, Content::Out)?;
        Some((Key { index, generation: self.places[index as usize].generation }, job))
    }

    /// A worker gives one back that is not over, to the end of the queue; or gets it back, when nobody wants it any more.
    pub(super) fn put_back(&mut self, key: Key, job: J) -> Result<(), J> {
        if !self.is_wanted(key) {
            return Err(job);
        }
        self.append(key.index, job);
        Ok(())
    }

    /// The job is over, or nobody wants it. `None` if that is not news; otherwise with the job, if it was waiting.
    pub(super) fn end(&mut self, key: Key) -> Option<Option<J>> {
        if !self.is_wanted(key) {
            return None;
        }
        let job = self.unlink(key.index, Content::Out);
        let place = &mut self.places[key.index as usize];
        place.generation = place.generation.wrapping_add(1);
        place.content = Content::Free { next: self.free };
        self.free = key.index;
        self.taken -= 1;
        if self.taken == 0 && self.places.len() > FEW {
            self.shrink();
        }
        Some(job)
    }

    fn is_wanted(&self, key: Key) -> bool {
        self.places.get(key.index as usize).is_some_and(|place| place.generation == key.generation)
    }

    fn grow(&mut self) -> Option<u32> {
        let index = u32::try_from(self.places.len()).ok().filter(|index| *index != NONE)?;
        self.places.push(Place { generation: self.generation, content: Content::Free { next: NONE } });
        Some(index)
    }

    /// Lets go of all places. Keys of old must not fit new ones.
    fn shrink(&mut self) {
        let latest = self.places.iter().map(|place| place.generation.wrapping_sub(self.generation)).max();
        self.generation = self.generation.wrapping_add(latest.unwrap_or(0));
        self.places.clear();
        self.places.shrink_to(FEW);
        self.free = NONE;
    }

    fn append(&mut self, index: u32, job: J) {
        let previous = mem::replace(&mut self.last, index);
        self.set_next(previous, index);
        self.places[index as usize].content = Content::Waiting { job, previous, next: NONE };
        self.waiting += 1;
    }

    /// Takes one that waits out of its order; `content` is in its place then.
    fn unlink(&mut self, index: u32, content: Content<J>) -> Option<J> {
        let place = self.places.get_mut(index as usize)?;
        let Content::Waiting { .. } = place.content else { return None };
        let Content::Waiting { job, previous, next } = mem::replace(&mut place.content, content) else {
            return None;
        };
        self.set_next(previous, next);
        match self.places.get_mut(next as usize).map(|place| &mut place.content) {
            Some(Content::Waiting { previous: back, .. }) => *back = previous,
            _ => self.last = previous,
        }
        self.waiting -= 1;
        Some(job)
    }

    fn set_next(&mut self, index: u32, to: u32) {
        match self.places.get_mut(index as usize).map(|place| &mut place.content) {
            Some(Content::Waiting { next, .. }) => *next = to,
            _ => self.first = to,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Submit,
        TakeFirst,
        /// One of those that are out, if it is wanted yet or not.
        PutBack(usize),
        /// One of all there ever were.
        End(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => Just(Op::Submit),
            3 => Just(Op::TakeFirst),
            2 => any::<usize>().prop_map(Op::PutBack),
            4 => any::<usize>().prop_map(Op::End),
        ]
    }

    /// What should be: jobs are numbers.
    #[derive(Default)]
    struct Model {
        waiting: VecDeque<u32>,
        out: Vec<u32>,
        keys: Vec<Key>,
        wanted: BTreeMap<u32, ()>,
    }

    impl Model {
        fn key(&self, job: u32) -> Key {
            self.keys[job as usize]
        }

        fn apply(&mut self, queue: &mut Queue<u32>, op: Op) {
            match op {
                Op::Submit => {
                    let job = u32::try_from(self.keys.len()).unwrap();
                    self.keys.push(queue.submit(job).expect("there is room"));
                    self.waiting.push_back(job);
                    self.wanted.insert(job, ());
                }
                Op::TakeFirst => {
                    let expected = self.waiting.pop_front().map(|job| (self.key(job), job));
                    assert_eq!(queue.take_first(), expected);
                    self.out.extend(expected.map(|(_, job)| job));
                }
                Op::PutBack(index) if !self.out.is_empty() => {
                    let job = self.out.swap_remove(index % self.out.len());
                    let is_wanted = self.wanted.contains_key(&job);
                    assert_eq!(queue.put_back(self.key(job), job).is_ok(), is_wanted);
                    self.waiting.extend(is_wanted.then_some(job));
                }
                Op::End(index) if !self.keys.is_empty() => {
                    let job = u32::try_from(index % self.keys.len()).unwrap();
                    let is_waiting = self.waiting.contains(&job);
                    self.waiting.retain(|other| *other != job);
                    let expected = self.wanted.remove(&job).map(|()| is_waiting.then_some(job));
                    assert_eq!(queue.end(self.key(job)), expected);
                }
                Op::PutBack(_) | Op::End(_) => {}
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_as_simple_a_queue_with_keys_that_name_one_job_each(
            ops in prop::collection::vec(op(), 0..200),
        ) {
            let (mut queue, mut model) = (Queue::new(), Model::default());
            for op in ops {
                model.apply(&mut queue, op);
                prop_assert_eq!((queue.waiting(), queue.taken), (model.waiting.len(), model.wanted.len()));
                prop_assert!(queue.taken > 0 || queue.places.capacity() <= 2 * FEW, "it is given back");
            }
        }
    }

    #[test]
    fn who_cancels_all_the_time_does_not_fill_the_memory() {
        let mut queue = Queue::new();
        for job in 0..10_000 {
            let key = queue.submit(job).expect("there is room");
            if job % 100 > 0 {
                assert_eq!(queue.end(key), Some(Some(job)));
            }
        }
        assert_eq!((queue.waiting(), queue.places.len()), (100, 101));
        let jobs: Vec<u32> = std::iter::from_fn(|| queue.take_first()).map(|(_, job)| job).collect();
        assert_eq!(jobs, (0..10_000).step_by(100).collect::<Vec<_>>());
    }
}
