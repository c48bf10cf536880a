use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest time that any operation may take before a test fails. This only guards against hangs: no operation
/// should come near it. The value is less than the default timeout of a drain, so that a drain that ends by its timeout
/// does not pass for one that ends by itself.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// The longest time that a program may take to start, or to end if it is no server. This only guards against hangs, as
/// [`PATIENCE`] does, but some programs compile a guest or compute first, which takes long on a busy machine.
pub(crate) const PATIENCE_WITH_PROGRAMS: Duration = Duration::from_secs(300);

/// The number of attempts of [`with_longer_spans`], and the ratio between the span of one and that of the next.
const ATTEMPTS: u32 = 4;
const LONGER: u32 = 4;

/// The interval between two polls.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; `what` describes the condition in the error message.
///
/// # Panics
///
/// Panics if the condition does not hold in time.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    poll(what, PATIENCE, || condition().then_some(()));
}

/// Waits until `look` returns a value, for `patience` at most.
pub(crate) fn poll<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(PAUSE);
    }
}

/// Calls `attempt` with a span of time, and with longer ones while it fails. This is for tests that have to act within a
/// timeout of the server: an attempt that the machine spoils by a stall does not count, and a fault spoils all attempts.
///
/// # Panics
///
/// Panics if all attempts fail.
pub fn with_longer_spans<T>(first: Duration, mut attempt: impl FnMut(Duration) -> Result<T, String>) -> T {
    let mut span = first;
    for _ in 1..ATTEMPTS {
        match attempt(span) {
            Ok(result) => return result,
            Err(why) => println!("a span of {span:?} was too short: {why}"),
        }
        span *= LONGER;
    }
    attempt(span).unwrap_or_else(|why| panic!("in each of {ATTEMPTS} attempts, at last with {span:?}: {why}"))
}

/// Returns an error if more than half of `span` has passed since `begin`, for [`with_longer_spans`].
///
/// # Errors
///
/// Says how much time has passed.
pub fn in_time(begin: Instant, span: Duration) -> Result<(), String> {
    let spent = begin.elapsed();
    if spent > span / 2 { Err(format!("the test needed {spent:?}")) } else { Ok(()) }
}
