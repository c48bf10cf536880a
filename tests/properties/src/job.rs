//! Jobs that are sent as bytes.

use sinbin_core::driven::{Computed, compute};
use sinbin_core::fib::{FibJob, MAX_N};
use sinbin_core::job::WireJob;
use sinbin_core::{Job, Progress};
use sinbin_testkit::tape::Tape;

/// The largest subtree that is computed as a whole.
const LEAF: u32 = 16;

/// A job whose subtrees are at most this large is computed to its end.
const SMALL: u32 = 20;

/// The number of slices of a job that would take longer.
const SLICES: usize = 40;

/// Checks the decoding and the computation of jobs with arbitrary bytes, which are a job or none, and a result or none.
/// A slice is no longer than its budget plus a leaf, and does not change the value of the job. In any slices, encoded
/// and decoded between them, a job has the same result as in one go.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn job(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let budgets: [u16; 4] = [(); 4].map(|()| tape.any());
    let rest = tape.piece(usize::MAX);
    any_result(rest);
    match FibJob::decode(rest) {
        None => nonsense(rest),
        Some(job) => slices(&job, rest, &budgets),
    }
    // The job of the same bytes, made small enough to be computed to its end.
    if let Some(bytes) = smaller(rest) {
        in_one_go(&bytes, &budgets);
    }
}

fn any_result(bytes: &[u8]) {
    let output = FibJob::decode_output(bytes);
    assert_eq!(output.is_some(), bytes.len() == 8);
    if let Some(output) = output {
        assert_eq!(encoded(|put| FibJob::encode_output(&output, put)), bytes);
    }
}

/// Checks that bytes that are no job have the wrong length, or a subtree that is too large.
fn nonsense(bytes: &[u8]) {
    assert!(bytes.len() != 24 || left(bytes) >> (MAX_N + 1) != 0, "a job: {bytes:?}");
    assert_eq!(compute::<FibJob>(bytes, 1), Computed::Nonsense);
}

fn slices(job: &FibJob, bytes: &[u8], budgets: &[u16]) {
    assert_eq!(encoded(|put| assert!(job.encode(put))), bytes, "a job is its bytes");
    let value = value(bytes);
    let mut bytes = bytes.to_vec();
    for budget in budgets.iter().cycle().take(SLICES) {
        match compute::<FibJob>(&bytes, (*budget).into()) {
            Computed::More(more) => {
                // A subtree of value v takes 2 v - 1 calls, which is at least v.
                let calls = sum(&more).wrapping_sub(sum(&bytes));
                let most = u64::from(*budget) + 2 * sinbin_testkit::fib_oracle::fib(LEAF);
                assert!(calls <= most, "{calls} calls in a slice of {budget}");
                assert_eq!(self::value(&more), value, "a slice changes nothing");
                bytes = more;
            }
            Computed::Done(result) => {
                assert_eq!(FibJob::decode_output(&result), Some(value));
                return;
            }
            Computed::Nonsense => panic!("{bytes:?} is a job"),
        }
    }
}

fn in_one_go(bytes: &[u8], budgets: &[u16]) {
    let value = value(bytes);
    let done = Computed::Done(value.to_le_bytes().to_vec());
    assert_eq!(compute::<FibJob>(bytes, u32::MAX), done, "in one go");
    let mut elsewhere = bytes.to_vec();
    let mut here = FibJob::decode(bytes).expect("a job");
    for budget in budgets.iter().cycle() {
        // Even a budget of 0 computes a leaf.
        let progress = here.run((*budget).into());
        match compute::<FibJob>(&elsewhere, (*budget).into()) {
            Computed::More(more) => {
                assert_eq!(progress, Progress::More);
                assert_eq!(encoded(|put| assert!(here.encode(put))), more, "here and elsewhere");
                elsewhere = more;
            }
            computed => {
                assert_eq!(progress, Progress::Done(value));
                assert_eq!(computed, done, "in slices");
                return;
            }
        }
    }
}

/// Returns the job without its larger subtrees.
fn smaller(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes: [u8; 24] = bytes.first_chunk().copied()?;
    let left = left(&bytes) & ((1 << (SMALL + 1)) - 1);
    Some([&left.to_le_bytes()[..], &bytes[16..]].concat())
}

/// Returns the value of a job: its sum so far, and the values of all subtrees that are left.
fn value(bytes: &[u8]) -> u64 {
    let left = left(bytes);
    let subtrees = (0..=MAX_N).filter(|n| left >> n & 1 != 0).map(sinbin_testkit::fib_oracle::fib);
    subtrees.fold(sum(bytes), u64::wrapping_add)
}

fn left(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(bytes[..16].try_into().expect("16 bytes"))
}

fn sum(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[16..24].try_into().expect("8 bytes"))
}

fn encoded(encode: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut |part| bytes.extend_from_slice(part));
    bytes
}
