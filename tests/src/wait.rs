use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest time that any operation may take before a test fails. This only guards against hangs: no operation
/// should come near it. The value is less than the default timeout of a drain, so that a drain that ends by its timeout
/// does not pass for one that ends by itself.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// The interval between two polls.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; `what` describes the condition in the error message.
///
/// # Panics
///
/// Panics if the condition does not hold in time.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    poll(what, || condition().then_some(()));
}

/// Waits until `look` returns a value.
pub(crate) fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(PAUSE);
    }
}
