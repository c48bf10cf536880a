use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it. A guard against hangs: nothing should come
/// near it. It is less than a drain may take by default, so that one that ends by the clock is not taken for
/// one that ends by itself.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; `what` says what it is, when it never does.
///
/// # Panics
///
/// When it does not hold in time.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    poll(what, || condition().then_some(()));
}

/// Waits for what `look` is to find.
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
