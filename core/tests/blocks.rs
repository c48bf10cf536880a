//! Compares the block pool with a model: kept bytes do not change, and the pool releases only the memory of blocks
//! above the peak of blocks in use.

use std::cell::Cell;
use std::pin::Pin;

use proptest::prelude::*;
use sinbin_core::exec::BufferedBytes;
use sinbin_core::kernel::Storage;
use sinbin_core::{Cx, Executor, Growing, Host, Instant, Limits, Step, Task};
use sinbin_testkit::cases::cases;
use sinbin_testkit::no_io;

const BLOCKS: usize = 5;
const SIZE: usize = 128;

thread_local! {
    /// The number of blocks and buffers that hold memory.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Bytes whose instances are counted in `BYTES`.
struct Counted(Vec<u8>);

impl Counted {
    fn new(size: usize) -> Self {
        BYTES.set(BYTES.get() + 1);
        Self(vec![0; size])
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        BYTES.set(BYTES.get() - 1);
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Counted {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[derive(Clone)]
struct Counting(Limits);

impl Storage for Counting {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Counted;
    type Beacon = ();

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

    fn bytes(&self) -> Counted {
        Counted::new(self.0.block_size())
    }

    fn beacon(&self) {}
}

#[derive(Clone, Debug)]
enum Op {
    /// Keeps this many bytes. Every length drawn here needs a block.
    Keep(usize),
    /// Releases the kept bytes at this index, modulo their number.
    Clear(usize),
    /// Resets the recorded peak of lent blocks to the present number.
    Reset,
    /// Releases the memory of up to this many blocks.
    Decommit(usize),
    /// Runs a step that only compares the kept bytes.
    Look,
}

/// The kept bytes, each with its expected content, and the next operation.
#[derive(Default)]
struct Keeper {
    held: Vec<(BufferedBytes, Vec<u8>)>,
    next: Option<Op>,
    byte: u8,
}

/// A task that executes the next operation in a single step and compares all kept bytes.
struct Once;

impl Task<Keeper> for Once {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Keeper>) -> Step {
        match cx.host.next.take() {
            Some(Op::Keep(len)) if cx.buffers.read_limit() == SIZE => {
                cx.host.byte = cx.host.byte.wrapping_add(1);
                cx.buffers.input.as_mut()[..len].fill(cx.host.byte);
                let mut held = BufferedBytes::EMPTY;
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
    type Storage = Counting;
    type Task = Once;

    no_io!();
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (9..=SIZE).prop_map(Op::Keep),
        3 => (0..BLOCKS).prop_map(Op::Clear),
        1 => Just(Op::Reset),
        1 => (0..BLOCKS + 2).prop_map(Op::Decommit),
        1 => Just(Op::Look),
    ]
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn memory_is_given_back_of_blocks_that_nobody_needs(ops in prop::collection::vec(op(), 0..60)) {
        let mut executor = Executor::<Keeper>::new(&Counting(Limits::new(1, BLOCKS, SIZE)));
        let mut host = Keeper::default();
        let (mut committed, mut peak) = (0_usize, 0);
        for op in ops.into_iter().chain([Op::Look]) {
            match op {
                Op::Reset => {
                    executor.reset_peak();
                    peak = host.held.len();
                }
                Op::Decommit(count) => {
                    let given = count.min(committed.saturating_sub(peak));
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
            prop_assert_eq!((executor.blocks_lent(), executor.blocks_peak()), (lent, peak));
            // The two buffers of the loop hold memory as well.
            prop_assert_eq!((executor.blocks_committed(), BYTES.get()), (committed, committed + 2));
        }
    }
}
