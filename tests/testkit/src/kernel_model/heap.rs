//! Storage on the heap with arbitrary limits that counts the accesses to its tables.

use std::cell::Cell;
use std::rc::Rc;

use sinbin_core::kernel::{Slots, Storage};

/// The limits of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub tasks: usize,
    pub sources: usize,
    pub jobs: usize,
}

#[derive(Clone)]
pub struct Heap {
    limits: Limits,
    /// The number of times that any table was read or changed.
    pub count: Rc<Cell<u64>>,
}

impl Heap {
    pub fn new(limits: Limits) -> Self {
        Self { limits, count: Rc::default() }
    }

    fn table<T>(&self, limit: usize) -> Table<T> {
        Table { items: Vec::new(), limit, count: Rc::clone(&self.count) }
    }
}

pub struct Table<T> {
    items: Vec<T>,
    limit: usize,
    count: Rc<Cell<u64>>,
}

impl<T> Table<T> {
    fn tick(&self) {
        self.count.set(self.count.get() + 1);
    }
}

impl<T> Slots<T> for Table<T> {
    fn items(&self) -> &[T] {
        self.tick();
        &self.items
    }

    fn items_mut(&mut self) -> &mut [T] {
        self.tick();
        &mut self.items
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        self.tick();
        if self.items.len() >= self.limit {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }
}

impl Storage for Heap {
    type Tasks<T> = Table<T>;
    type Sources<T> = Table<T>;
    type Jobs<T> = Table<T>;
    type Blocks<T> = Table<T>;
    type Bytes = [u8; 0];
    type Beacon = ();

    fn tasks<T>(&self) -> Table<T> {
        self.table(self.limits.tasks)
    }

    fn sources<T>(&self) -> Table<T> {
        self.table(self.limits.sources)
    }

    fn jobs<T>(&self) -> Table<T> {
        self.table(self.limits.jobs)
    }

    fn blocks<T>(&self) -> Table<T> {
        self.table(0)
    }

    fn bytes(&self) -> [u8; 0] {
        []
    }

    fn beacon(&self) {}
}
