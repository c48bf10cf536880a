use std::process::Command;
use std::sync::OnceLock;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi-host/examples");
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");

/// One of the drivers that are not written in Rust: `language` is node or python, `script` a file in its directory. What
/// it needs is installed first, if it is not.
///
/// # Panics
///
/// When that fails.
#[must_use]
pub fn foreign(language: &str, script: &str) -> Command {
    install();
    let mut command = match language {
        "node" => Command::new("node"),
        language => Command::new(format!("{PACKAGES}/{language}/bin/python")),
    };
    command.arg(format!("{EXAMPLES}/{language}/{script}"));
    command
}

fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let script = format!("{EXAMPLES}/install");
        let output = Command::new(&script).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {script}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} failed; it needs node, npm and python3: {said}");
    });
}
