use std::env;
use std::io::{Write, stderr};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi-host/examples");
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");

/// The variable that requires the tools of every language if it is 1, as in `.ci/run`.
pub(crate) const ALL: &str = "SINBIN_ALL_HOSTS";

/// A language other than Rust in which drivers are written, or an emulator of a board.
#[derive(Debug)]
struct Language {
    name: &'static str,
    /// Commands that succeed if the tools are installed.
    tools: &'static [(&'static str, &'static [&'static str])],
    missing: OnceLock<Option<String>>,
    installed: OnceLock<()>,
}

static NODE: Language = Language::of("node", &[("node", &["--version"]), ("npm", &["--version"])]);
static QEMU: Language = Language::of("qemu", &[("qemu-system-arm", &["--version"])]);
static PYTHON: Language = Language::of("python", &[("python3", &["-c", "import ensurepip, venv"])]);

impl Language {
    const fn of(name: &'static str, tools: &'static [(&'static str, &'static [&'static str])]) -> Self {
        Self { name, tools, missing: OnceLock::new(), installed: OnceLock::new() }
    }

    fn by_name(name: &str) -> &'static Self {
        let all = [&NODE, &PYTHON, &QEMU];
        all.into_iter().find(|language| language.name == name).expect("a known language")
    }

    /// Checks once whether the tools are installed, and returns the reason if one is missing. The reason is also
    /// written directly to stderr, which bypasses the capture of a test's output.
    fn missing(&self) -> Option<&str> {
        let look = || {
            let missing = self.tools.iter().find(|(tool, args)| {
                let tried =
                    Command::new(tool).args(*args).stdout(Stdio::null()).stderr(Stdio::null()).status();
                !tried.is_ok_and(|status| status.success())
            });
            let (tool, args) = missing?;
            let why = format!("`{tool} {}` fails, which the hosts of {} need", args.join(" "), self.name);
            writeln!(stderr(), "skipped: {why}; with {ALL}=1 that is a failure").ok();
            Some(why)
        };
        self.missing.get_or_init(look).as_deref()
    }

    /// Installs the packages that the drivers need, unless they are installed.
    fn install(&self) {
        self.installed.get_or_init(|| {
            let script = format!("{EXAMPLES}/install");
            let output = Command::new(&script).arg(self.name).output();
            let output = output.unwrap_or_else(|error| panic!("cannot run {script}: {error}"));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{script} {} failed: {said}", self.name);
        });
    }
}

/// Returns the reason why the hosts of `language`, node, python or qemu, cannot run here: a missing tool. If `SINBIN_ALL_HOSTS`
/// is 1 this returns `None`, so that [`foreign`] fails instead.
///
/// # Panics
///
/// Panics if there is no such host.
#[must_use]
pub fn foreign_lacks(language: &str) -> Option<&'static str> {
    let is_needed = env::var_os(ALL).is_some_and(|value| value == "1");
    if is_needed { None } else { Language::by_name(language).missing() }
}

/// Returns the command of a driver that is not written in Rust: `language` is node or python, `script` a file in its
/// directory. The packages that the driver needs are installed first, unless they are installed.
///
/// # Panics
///
/// Panics if the installation fails.
#[must_use]
pub fn foreign(language: &str, script: &str) -> Command {
    Language::by_name(language).install();
    let mut command = match language {
        "node" => Command::new("node"),
        language => Command::new(format!("{PACKAGES}/{language}/bin/python")),
    };
    command.arg(format!("{EXAMPLES}/{language}/{script}"));
    command
}
