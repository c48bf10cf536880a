//! The limit on the memory of a WASI command: its memories and tables together.

use wasmtime::{Error, ResourceLimiter, StoreLimits, StoreLimitsBuilder};

/// The maximum numbers of memories, tables and instances of a command.
const MEMORIES: usize = 2;
const TABLES: usize = 64;
const INSTANCES: usize = 64;

/// The size of an element of a table, in bytes.
const ELEMENT: usize = size_of::<usize>();

/// The memory that a command uses, and its limit, in bytes.
pub(super) struct Limits {
    counts: StoreLimits,
    max: usize,
    used: usize,
}

impl Limits {
    /// Creates the limits of a command that may use `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        let counts = StoreLimitsBuilder::new()
            .memory_size(max)
            .memories(MEMORIES)
            .tables(TABLES)
            .table_elements(max / ELEMENT)
            .instances(INSTANCES)
            .trap_on_grow_failure(true)
            .build();
        Self { counts, max, used: 0 }
    }

    /// Adds the difference between two sizes to the memory in use.
    ///
    /// # Errors
    ///
    /// Fails, which traps the guest, if the sum exceeds the limit.
    fn take(&mut self, current: usize, desired: usize) -> Result<bool, Error> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.max {
            return Err(Error::msg(format!(
                "it needs {used} bytes for its memories and tables, but is limited to {}",
                self.max
            )));
        }
        self.used = used;
        Ok(true)
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        Ok(self.counts.memory_growing(current, desired, maximum)? && self.take(current, desired)?)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        let bytes = |elements: usize| elements.saturating_mul(ELEMENT);
        Ok(self.counts.table_growing(current, desired, maximum)?
            && self.take(bytes(current), bytes(desired))?)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<(), Error> {
        self.counts.memory_grow_failed(error)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<(), Error> {
        self.counts.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.counts.instances()
    }

    fn tables(&self) -> usize {
        self.counts.tables()
    }

    fn memories(&self) -> usize {
        self.counts.memories()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 * 1024;

    #[test]
    fn memories_and_tables_share_what_there_is() {
        let mut limits = Limits::new(3 * PAGE);
        assert!(limits.memory_growing(0, PAGE, None).is_ok());
        assert!(limits.memory_growing(0, PAGE, None).is_ok());
        assert!(limits.table_growing(0, PAGE / ELEMENT / 2, None).is_ok());
        assert!(limits.memory_growing(PAGE, 2 * PAGE, None).is_err());
        assert!(limits.table_growing(PAGE / ELEMENT / 2, PAGE / ELEMENT, None).is_ok());
        assert!(limits.table_growing(PAGE / ELEMENT, PAGE / ELEMENT + 1, None).is_err());
    }
}
