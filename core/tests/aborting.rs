//! Failures that abort the process, observed from a parent process.

use std::env;
use std::process::{Command, Stdio};

use sinbin_core::task::{Handle, NoWakers, Pool, RunContext};

const CHILD: &str = "SINBIN_ABORTS";

/// Dropping the pool would free the memory of a pinned future before the future is dropped. The process aborts, and no
/// `catch_unwind` prevents that.
#[test]
fn a_pool_that_goes_before_its_futures_takes_the_program_with_it() {
    if env::var_os(CHILD).is_some() {
        std::panic::catch_unwind(|| {
            let run_context = RunContext::new(&NoWakers);
            let pool = Box::pin(Pool::<_, _>::fixed::<1>());
            let (task, join_handle) = pool.as_ref().put(Handle::new(&run_context), async {}).unwrap();
            std::mem::forget((task, join_handle));
            drop(pool);
        })
        .ok();
        // If the process did not abort, the child exits successfully here and the parent's assertion fails.
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "a_pool_that_goes_before_its_futures_takes_the_program_with_it", "--nocapture"]);
    let output = child.env(CHILD, "1").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the child did not abort");
    assert!(said.contains("a pool was dropped while tasks had their futures there"), "{said}");
}
