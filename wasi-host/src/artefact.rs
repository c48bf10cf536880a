//! What is in a file: a component that we drive, a command that wants WASI, or neither.

use std::fs;
use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Precompiled};

use crate::cache::{self, Cache};
use crate::error::Error;
use crate::instance::Blueprint;
use crate::{portable, threads};

/// What a service exports.
const SERVICE: &str = "sinbin:service/guest";
/// What it may import: types.
const TYPES: &str = "sinbin:service/";
/// What a command exports.
const COMMAND: &str = "wasi:cli/run";

/// A component, and how it wants to be run.
pub enum Artefact {
    /// It exports `sinbin:service/guest`: the host drives it.
    Driven(Component),
    /// It exports `wasi:cli/run`: it drives itself, by way of WASI 0.2.
    Portable(Component),
}

impl Artefact {
    /// Reads a component, `.wasm` or `.cwasm`, and finds out what it is.
    ///
    /// # Errors
    ///
    /// When it is neither of the two; the error says what is missing.
    pub fn load(path: &Path, engine: &Engine, cache: Option<&Cache>) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|error| Error::Read { path: path.to_owned(), error })?;
        let component = if Engine::detect_precompiled(&bytes).is_some() {
            check_precompiled(path, &bytes)?;
            cache::thaw(engine, &bytes).map_err(|what| unfit(path, what))?
        } else {
            check_wasm(path, &bytes)?;
            compile(path, engine, &bytes, cache)?
        };
        Self::of(component, engine).map_err(|what| Error::World { path: path.to_owned(), what })
    }

    /// The component.
    #[must_use]
    pub fn component(&self) -> &Component {
        match self {
            Self::Driven(component) | Self::Portable(component) => component,
        }
    }

    /// Checks whether the artefact can be run here: one of a version of the contract that this host does not know
    /// can't.
    ///
    /// # Errors
    ///
    /// Names what is missing in the artefact, or here. The message names `path`.
    pub fn check(&self, path: &Path) -> Result<(), Error> {
        let checked = match self {
            Self::Driven(component) => {
                Blueprint::new(component, 0, None).map(drop).map_err(|error| format!("{error:#}"))
            }
            Self::Portable(component) => portable::check(component).map_err(|error| error.to_string()),
        };
        checked.map_err(|what| Error::World { path: path.to_owned(), what })
    }

    /// The names of what it imports.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        let component = self.component();
        component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
    }

    /// The names of what it exports.
    #[must_use]
    pub fn exports(&self) -> Vec<String> {
        let component = self.component();
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
    }

    /// What the component is; else what it lacks.
    fn of(component: Component, engine: &Engine) -> Result<Self, String> {
        let world = component.component_type();
        let exports = |name: &str| world.exports(engine).any(|(export, _)| is_version_of(export, name));
        if exports(SERVICE) {
            let foreign =
                world.imports(engine).map(|(import, _)| import).find(|import| !import.starts_with(TYPES));
            if let Some(import) = foreign {
                return Err(format!(
                    "it exports {SERVICE} but imports {import}, and a service that is driven may import nothing \
                     (is it built with a standard library that wants WASI?)"
                ));
            }
            return Ok(Self::Driven(component));
        }
        if exports(COMMAND) {
            return Ok(Self::Portable(component));
        }
        let names: Vec<_> = world.exports(engine).map(|(name, _)| name).collect();
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        Err(format!(
            "it exports {names}, and neither {SERVICE} (a service) nor {COMMAND} (a command of WASI 0.2)"
        ))
    }
}

/// Whether `name`, as in `a:b/c@1.2.3`, is that of the interface.
fn is_version_of(name: &str, interface: &str) -> bool {
    name.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

fn compile(path: &Path, engine: &Engine, bytes: &[u8], cache: Option<&Cache>) -> Result<Component, Error> {
    if let Some(component) = cache.and_then(|cache| cache.get(engine, bytes)) {
        return Ok(component);
    }
    let failed = |error| Error::Compile { path: path.to_owned(), error };
    let Some(cache) = cache else {
        return threads::compile(|| Component::from_binary(engine, bytes)).map_err(failed);
    };
    let frozen = cache::freeze(engine, bytes).map_err(failed)?;
    cache.put(engine, bytes, &frozen);
    cache::thaw(engine, &frozen).map_err(|what| unfit(path, what))
}

fn unfit(path: &Path, found: &'static str) -> Error {
    Error::NoComponent {
        path: path.to_owned(),
        found,
        advice: "make it anew with `sinbin-wasi compile GUEST.wasm`, or run the .wasm itself",
    }
}

fn check_precompiled(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    match Engine::detect_precompiled(bytes) {
        Some(Precompiled::Component) => Ok(()),
        _ => Err(unfit(path, "a compiled core module, where a component is needed")),
    }
}

fn check_wasm(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let no_component = |found, advice| Err(Error::NoComponent { path: path.to_owned(), found, advice });
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => no_component(
            "a core module, where a component is needed",
            "build it for wasm32-wasip2, or drive it from a host of your own (see embedding.md)",
        ),
        [0, b'a', b's', b'm', ..] => {
            no_component("wasm of a version that is not known here", "build it with current tools")
        }
        [] => no_component("empty", "was its build cut short?"),
        _ => no_component("no wasm", "give the .wasm or .cwasm of a component"),
    }
}
