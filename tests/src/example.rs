use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use escargot::CommandMessages;
use escargot::error::CargoResult;
use escargot::format::Message;

use crate::command::cargo;

/// Returns the command of the example `name` of the package `sinbin`, built as [`sinbin`](crate::sinbin()) is.
///
/// # Panics
///
/// Panics if the example cannot be built.
#[must_use]
pub fn example(name: &str) -> Command {
    command(name)
}

/// Returns the command of an example of the package `sinbin-wasi`.
///
/// # Panics
///
/// Panics as [`example`] does.
#[must_use]
pub fn wasi_example(name: &str) -> Command {
    command(name)
}

fn command(name: &str) -> Command {
    static BINARIES: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut binaries = BINARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let binaries = binaries.get_or_insert_default();
    let mut command = Command::new(binaries.entry(name.to_owned()).or_insert_with(|| build(name)));
    command.env_remove("SINBIN_LOG");
    command
}

fn build(name: &str) -> PathBuf {
    match cargo().example(name).exec().and_then(built) {
        Ok(Some(binary)) => binary,
        Ok(None) => panic!("cargo does not say where it has built the example {name}"),
        Err(error) => panic!("the example {name} cannot be built: {error}"),
    }
}

/// Returns the path of the executable from cargo's messages.
fn built(messages: CommandMessages) -> CargoResult<Option<PathBuf>> {
    let mut binary = None;
    for message in messages {
        if let Message::CompilerArtifact(artifact) = message?.decode()?
            && let Some(path) = artifact.executable
        {
            binary = Some(path.into_owned());
        }
    }
    Ok(binary)
}
