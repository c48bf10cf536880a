use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The directory of the guests, as `just build-wasi` fills it. They are built if that is needed.
///
/// # Panics
///
/// When they cannot be built.
#[must_use]
pub fn guests() -> &'static Path {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let script = Path::new(ROOT).join("wasi-host/guest/build");
        // Not with what cargo has set for this test, such as another target directory.
        let built = Command::new(&script).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").status();
        let built = built.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
        assert!(built.success(), "{} failed: {built}", script.display());
        Path::new(ROOT).join("target/wasi")
    })
}

/// A guest by its name, such as `fib.wasm`.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    let path = guests().join(name);
    assert!(path.exists(), "there is no guest {}", path.display());
    path
}
