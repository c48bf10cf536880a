use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use escargot::CommandMessages;
use escargot::error::CargoResult;
use escargot::format::Message;

use crate::command::cargo;

/// The example `name` of the package `sinbin`, built as [`sinbin`](crate::sinbin()) is.
///
/// # Panics
///
/// When the examples cannot be built, or there is none of that name.
#[must_use]
pub fn example(name: &str) -> Command {
    static BINARIES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    command(BINARIES.get_or_init(|| examples("sinbin")), name)
}

/// An example of the package `sinbin-wasi`.
///
/// # Panics
///
/// As with [`example`].
#[must_use]
pub fn wasi_example(name: &str) -> Command {
    static BINARIES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    command(BINARIES.get_or_init(|| examples("sinbin-wasi")), name)
}

fn command(binaries: &HashMap<String, PathBuf>, name: &str) -> Command {
    let mut command = Command::new(binaries.get(name).expect("there is such an example"));
    command.env_remove("SINBIN_LOG");
    command
}

/// Builds the examples of a package.
fn examples(package: &str) -> HashMap<String, PathBuf> {
    match cargo(package).examples().exec().and_then(built) {
        Ok(binaries) => binaries,
        Err(error) => panic!("the examples of {package} cannot be built: {error}"),
    }
}

/// What cargo says it has built.
fn built(messages: CommandMessages) -> CargoResult<HashMap<String, PathBuf>> {
    let mut binaries = HashMap::new();
    for message in messages {
        if let Message::CompilerArtifact(artifact) = message?.decode()?
            && let Some(path) = artifact.executable
        {
            binaries.insert(artifact.target.name.into_owned(), path.into_owned());
        }
    }
    Ok(binaries)
}
