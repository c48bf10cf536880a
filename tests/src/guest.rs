use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns the directory of the guests, as `just build-wasi` fills it. The guests are built if necessary.
///
/// # Panics
///
/// Panics if the guests cannot be built.
#[must_use]
pub fn guests() -> &'static Path {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let script = Path::new(ROOT).join("wasi-host/guest/build");
        // cargo's variables for this test, such as another target directory, must not affect the build.
        let mut build = Command::new(&script);
        let built =
            build.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").stdout(Stdio::null()).status();
        let built = built.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
        assert!(built.success(), "{} failed: {built}", script.display());
        Path::new(ROOT).join("target/wasi")
    })
}

/// Returns the path of a guest by its name, such as `fib.wasm`.
///
/// # Panics
///
/// Panics if the guest does not exist.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    let path = guests().join(name);
    assert!(path.exists(), "the guest {} does not exist", path.display());
    path
}
