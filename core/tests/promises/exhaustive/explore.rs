//! Every order of some operations, level by level.

use std::collections::{HashMap, HashSet};
use std::fmt;

use sinbin_core::Instant;

use crate::exhaustive::Small;
use crate::exhaustive::ends;
use crate::exhaustive::row::{Row, row};
use crate::heap::{Heap, Limits};
use crate::ops::{Op, Ops};
use crate::world::World;

/// What is done in every order: at each point any of `ops`, after `start`.
pub struct Alphabet {
    pub name: &'static str,
    pub limits: Limits,
    pub start: Vec<Op>,
    pub ops: Vec<Op>,
    /// How many operations follow one another.
    pub depth: usize,
}

/// Of so many transitions, one to a state that was visited before is followed once more.
const TWINS: u64 = 101;

/// Operations after the start, by their numbers in the alphabet.
pub type Path = Box<[u8]>;

/// How much was visited.
pub struct Visited {
    name: &'static str,
    ops: usize,
    depth: usize,
    pub states: HashMap<Row, Path>,
    transitions: u64,
    /// Whether all states of the last depth had been seen before: then there are no others, at any depth.
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

/// `SINBIN_DEEPER`: so many operations more than by default, for a long look; below 0 for a short one.
pub fn deeper() -> isize {
    let told = std::env::var("SINBIN_DEEPER").unwrap_or_default();
    if told.is_empty() { 0 } else { told.parse().expect("SINBIN_DEEPER is a number of operations") }
}

impl Alphabet {
    /// Does it all, with all checks after each operation, and says how much that was.
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
                // Nothing of a kernel can be copied, so the way to it is gone once more: promise 4.
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

    /// Two ways to what counts as one state: whatever comes next, that does too.
    fn go_on_alike(&self, one: &[u8], other: &[u8]) {
        let after = |path| {
            let mut states = Vec::new();
            self.follow(path, |_, world| states.push(row(world)));
            states
        };
        assert!(after(one) == after(other), "{:?} is not the same as {:?}", self.ops(one), self.ops(other));
    }

    /// Each sequence of up to `depth` operations, none left out: the states that they lead to.
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

    /// Each operation that makes sense after `path`, with the checks after it.
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

    /// What becomes of each state if this and that is what comes next.
    fn end_all(&self, states: &[(Path, Row)]) {
        for (path, _) in states {
            let _trail = Trail { alphabet: self, path };
            ends::all(&|| self.replay(path));
        }
    }

    /// The world at the end of a path on which all has been checked before.
    fn replay(&self, path: &[u8]) -> Small {
        let mut world = World::new(&Heap::new(self.limits), self.limits);
        world.again = true;
        // Not at the beginning of all time: there is a past.
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

/// Says what was done, if that broke a promise.
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
