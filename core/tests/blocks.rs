//! The pool of blocks against a model of it: what is kept stays as it was, and memory is given back of no more than what
//! nobody has needed.

mod cases;
#[macro_use]
mod no_io;

use std::pin::Pin;

use cases::cases;
use proptest::prelude::*;
use sinbin_core::{Cx, Executor, Growing, Held, Host, Instant, Limits, Step, Storage, Task};

const BLOCKS: usize = 5;
const SIZE: usize = 128;

/// Storage whose memory is gone when it is given back.
#[derive(Clone)]
struct Poisoned(Limits);

impl Storage for Poisoned {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;

    fn tasks<T>(&self) -> Growing<T> {
        Storage::tasks(&self.0)
    }

    fn sources<T>(&self) -> Growing<T> {
        Storage::sources(&self.0)
    }

    fn jobs<T>(&self) -> Growing<T> {
        self.0.jobs()
    }

    fn blocks<T>(&self) -> Growing<T> {
        self.0.blocks()
    }

    fn bytes(&self) -> Box<[u8]> {
        self.0.bytes()
    }

    fn decommit(&self, block: &mut Box<[u8]>) {
        self.0.decommit(block);
        block.fill(b'!');
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Keep so many bytes, which need a block.
    Keep(usize),
    /// Let go of one of those that are kept.
    Clear(usize),
    /// Ask what is to spare.
    Spare,
    /// Give back the memory of so many.
    Decommit(usize),
}

/// What is kept, and how it should look.
#[derive(Default)]
struct Keeper {
    held: Vec<(Held, Vec<u8>)>,
    next: Option<Op>,
    byte: u8,
}

/// Keeps or clears, in its one step.
struct Once;

impl Task<Keeper> for Once {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Keeper>) -> Step {
        match cx.host.next.take() {
            Some(Op::Keep(len)) if cx.buffers.read_limit() == SIZE => {
                cx.host.byte = cx.host.byte.wrapping_add(1);
                cx.buffers.input[..len].fill(cx.host.byte);
                let mut held = Held::EMPTY;
                held.keep_input(cx.buffers, 0..len);
                cx.host.held.push((held, vec![cx.host.byte; len]));
            }
            Some(Op::Clear(index)) if !cx.host.held.is_empty() => {
                let index = index % cx.host.held.len();
                cx.host.held.swap_remove(index).0.clear(cx.buffers);
            }
            _ => {}
        }
        for (held, expected) in &cx.host.held {
            assert_eq!(held.bytes(cx.buffers), expected);
        }
        Step::Done
    }
}

impl Host for Keeper {
    type Storage = Poisoned;
    type Task = Once;

    no_io!();
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (9..=SIZE).prop_map(Op::Keep),
        3 => (0..BLOCKS).prop_map(Op::Clear),
        1 => Just(Op::Spare),
        1 => (0..BLOCKS + 2).prop_map(Op::Decommit),
    ]
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn memory_is_given_back_of_blocks_that_nobody_needs(ops in prop::collection::vec(op(), 0..60)) {
        let mut executor = Executor::<Keeper>::new(&Poisoned(Limits::new(1, BLOCKS, SIZE)));
        let mut host = Keeper::default();
        let (mut committed, mut peak) = (0_usize, 0);
        for op in ops {
            let lent = host.held.len();
            match op {
                Op::Spare => {
                    prop_assert_eq!(executor.spare_blocks(), committed.saturating_sub(peak));
                    peak = lent;
                }
                Op::Decommit(count) => {
                    let given = count.min(committed - lent);
                    prop_assert_eq!(executor.decommit(count), given);
                    committed -= given;
                }
                op => {
                    host.next = Some(op);
                    prop_assert!(executor.spawn(Once).is_ok());
                    executor.turn(Instant::ZERO, &mut host);
                }
            }
            let lent = host.held.len();
            (committed, peak) = (committed.max(lent), peak.max(lent));
            prop_assert_eq!((executor.blocks_lent(), executor.blocks_committed()), (lent, committed));
        }
    }
}
