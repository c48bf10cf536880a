//! Explores every order of some operations, level by level.

use std::collections::{HashMap, HashSet};
use std::fmt;

use sinbin_core::Instant;
use sinbin_testkit::kernel_model::heap::{Heap, Limits};
use sinbin_testkit::kernel_model::ops::{Op, Ops};
use sinbin_testkit::kernel_model::world::World;

use crate::exhaustive::Small;
use crate::exhaustive::ends;
use crate::exhaustive::row::{Row, row};

/// The operations to explore: after `start`, any of `ops` at each position.
pub struct Alphabet {
    pub name: &'static str,
    pub limits: Limits,
    pub start: Vec<Op>,
    pub ops: Vec<Op>,
    /// The length of the sequences.
    pub depth: usize,
}

/// Every `TWINS`th transition is followed a second time if it leads to a visited state.
const TWINS: u64 = 101;

/// The operations after the start, as indexes into the alphabet.
pub type Path = Box<[u8]>;

/// The extent of a search.
pub struct Visited {
    name: &'static str,
    ops: usize,
    depth: usize,
    pub states: HashMap<Row, Path>,
    transitions: u64,
    /// True if all states of the last depth had been visited before, so that there are no others at any depth.
    pub is_all: bool,
}

impl fmt::Display for Visited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ops, depth, states, transitions, is_all } = self;
        let states = states.len();
        write!(f, "{name}: {ops} operations, depth {depth}: {states} states, {transitions} transitions")?;
        if *is_all { write!(f, "; there are no others at any depth") } else { Ok(()) }
    }
}

/// Returns the value of `SINBIN_DEEPER`: the number of operations beyond the default depth. A negative value makes the
/// search shorter.
pub fn deeper() -> isize {
    let told = std::env::var("SINBIN_DEEPER").unwrap_or_default();
    if told.is_empty() { 0 } else { told.parse().expect("SINBIN_DEEPER is a number of operations") }
}

impl Alphabet {
    /// Explores the alphabet with all checks after each operation, and returns the extent of the search.
    pub fn explore(&self) -> Visited {
        self.explore_to(self.depth.saturating_add_signed(deeper()))
    }

    pub fn explore_to(&self, depth: usize) -> Visited {
        let start = row(&self.replay(&[]));
        let mut states = HashMap::from([(Row::clone(&start), Path::default())]);
        let mut frontier = vec![(Path::default(), start)];
        let (mut transitions, mut level) = (0_u64, 0);
        while level < depth && !frontier.is_empty() {
            level += 1;
            let mut next = Vec::new();
            for (path, state) in frontier {
                // A kernel can't be cloned, so its path is replayed. By promise 4, this leads to an equal state.
                assert_eq!(row(&self.replay(&path)), state, "the same inputs give the same run");
                self.follow(&path, |path, world| {
                    transitions += 1;
                    let row = row(world);
                    match states.get(&row) {
                        Some(first) if transitions.is_multiple_of(TWINS) => self.go_on_alike(first, path),
                        Some(_) => {}
                        None => {
                            states.insert(Row::clone(&row), path.into());
                            next.push((path.into(), row));
                        }
                    }
                });
            }
            self.end_all(&next);
            frontier = next;
        }
        let is_all = frontier.is_empty();
        Visited { name: self.name, ops: self.ops.len(), depth: level, states, transitions, is_all }
    }

    /// Checks that two paths to one state also lead to equal states after any further operation.
    fn go_on_alike(&self, one: &[u8], other: &[u8]) {
        let after = |path| {
            let mut states = Vec::new();
            self.follow(path, |_, world| states.push(row(world)));
            states
        };
        assert!(after(one) == after(other), "{:?} is not the same as {:?}", self.ops(one), self.ops(other));
    }

    /// Returns the states reached by every sequence of up to `depth` operations.
    pub fn explore_plainly(&self, depth: usize) -> HashSet<Row> {
        let mut states = HashSet::from([row(&self.replay(&[]))]);
        let mut paths: Vec<Path> = vec![Path::default()];
        for level in 1..=depth {
            let mut next = Vec::new();
            for path in paths {
                self.follow(&path, |path, world| {
                    states.insert(row(world));
                    if level < depth {
                        next.push(path.into());
                    }
                });
            }
            paths = next;
        }
        states
    }

    /// Applies each valid operation after `path`, with the checks after it.
    fn follow(&self, path: &[u8], mut see: impl FnMut(&[u8], &Small)) {
        let mut base = self.replay(path);
        let is_over = base.kernel.next().is_none();
        let mut path = path.to_vec();
        for (number, op) in self.ops.iter().enumerate() {
            if is_over && matches!(op, Op::Run(_)) {
                continue;
            }
            let mut world = self.replay(&path);
            path.push(u8::try_from(number).expect("an alphabet is small"));
            let trail = Trail { alphabet: self, path: &path };
            world.again = false;
            world.apply(op);
            see(&path, &world);
            drop(trail);
            path.pop();
        }
    }

    /// Checks the outcomes of each state.
    fn end_all(&self, states: &[(Path, Row)]) {
        for (path, _) in states {
            let _trail = Trail { alphabet: self, path };
            ends::all(&|| self.replay(path));
        }
    }

    /// Returns the world at the end of a path that was checked before.
    fn replay(&self, path: &[u8]) -> Small {
        let mut world = World::new(&Heap::new(self.limits), self.limits);
        world.again = true;
        // Starts later than `Instant::ZERO`, so that moments in the past exist.
        world.advance(Instant::from_nanos(1000));
        world.advance(Instant::from_nanos(1000));
        self.path(path).for_each(|op| world.apply(op));
        world
    }

    fn path(&self, path: &[u8]) -> impl Iterator<Item = &Op> {
        self.start.iter().chain(path.iter().map(|number| &self.ops[usize::from(*number)]))
    }

    fn ops(&self, path: &[u8]) -> Ops {
        Ops(self.path(path).cloned().collect())
    }
}

/// Prints the operations if one of them broke a promise.
struct Trail<'a> {
    alphabet: &'a Alphabet,
    path: &'a [u8],
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { alphabet, path } = self;
            eprintln!("{}, depth {}: {:?}", alphabet.name, path.len(), alphabet.ops(path));
        }
    }
}
