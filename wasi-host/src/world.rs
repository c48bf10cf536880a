//! The imports and exports of a component, which determine how the host runs it. Reading them does not compile the
//! component.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::engine_for;
use crate::portable;

/// The interface that a service exports.
const SERVICE: &str = "sinbin:service/guest";
/// The interface that a service exports too if it is a program.
const PROGRAM: &str = "sinbin:service/program";
/// The prefix of the interfaces that a service may import: they contain types only.
const TYPES: &str = "sinbin:service/";
/// The version of the contract that this host implements. A later version of `0.1` only adds to it.
const VERSION: &str = "0.1";
/// The interface that a command exports.
const COMMAND: &str = "wasi:cli/run";
/// The maximum depth of nested components. The time to validate them grows with the square of the depth.
const MAX_DEPTH: u32 = 64;

/// The way in which a component is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A service, which exports `sinbin:service/guest`: the host drives it.
    Driven,
    /// A command of WASI 0.2 or 0.3, which exports `wasi:cli/run`: it runs its own loop.
    Portable,
}

/// The names that a component imports and exports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct World {
    imports: Vec<String>,
    exports: Vec<String>,
    /// The offset of the end of the imports and their types, before any code.
    head: usize,
    kind: Kind,
}

impl World {
    /// Reads the names from a component's bytes.
    pub(crate) fn of_wasm(wasm: &[u8]) -> Result<Self, Wrong> {
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        // Nested components and modules have their own imports and exports, which do not count.
        let mut depth = 0_u32;
        let (mut head, mut is_head) = (0, true);
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            match end_of_head(&payload) {
                Some(end) if is_head => head = end,
                _ => is_head = false,
            }
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(Wrong::World(format!("its components are nested more than {MAX_DEPTH} deep")));
            }
        }
        Self::new(imports, exports, head)
    }

    /// Reads the names from a component's bytes, and validates the whole component. Its types can make validation take
    /// much more time and memory than the size of the component suggests.
    pub(crate) fn of_valid_wasm(wasm: &[u8]) -> Result<Self, Wrong> {
        let world = Self::of_wasm(wasm)?;
        Validator::new_with_features(WasmFeatures::default()).validate_all(wasm)?;
        Ok(world)
    }

    /// Returns the names of a compiled component.
    pub(crate) fn of_component(component: &Component) -> Result<Self, Wrong> {
        let (world, engine) = (component.component_type(), component.engine());
        let imports = world.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports = world.exports(engine).map(|(name, _)| name.to_owned()).collect();
        Self::new(imports, exports, 0)
    }

    fn new(imports: Vec<String>, exports: Vec<String>, head: usize) -> Result<Self, Wrong> {
        let kind = kind(&imports, &exports).map_err(Wrong::World)?;
        Ok(Self { imports, exports, head, kind })
    }

    /// Checks that this host provides all imports of the component. `wasm` must be the bytes that the names were read
    /// from.
    pub(crate) fn check(&self, engine: &Engine, wasm: &[u8]) -> Result<(), Wrong> {
        if self.kind == Kind::Driven {
            return Ok(());
        }
        let engine = &engine_for(self, engine).map_err(Wrong::World)?;
        // The head of a component is a component too, with all of the imports and none of the code.
        let head = Component::from_binary(engine, &wasm[..self.head]);
        let checked = head.map_err(|error| format!("{error:#}")).and_then(|component| {
            portable::check_imports(&component, self.is_asynchronous()).map_err(|error| error.to_string())
        });
        checked.map_err(Wrong::World)
    }

    /// Returns the way in which the component is run.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns true if the component is a command of WASI 0.3, whose calls are asynchronous.
    #[must_use]
    pub fn is_asynchronous(&self) -> bool {
        self.kind == Kind::Portable && self.exports.iter().any(|export| is_asynchronous(export))
    }

    /// Returns true if the component is a service that is a program: it works by itself and ends.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.kind == Kind::Driven && self.exports.iter().any(|export| is_version_of(export, PROGRAM))
    }

    /// Returns the names of the imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Returns the names of the exports.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.exports
    }
}

/// The reason why this host can't run a component.
pub(crate) enum Wrong {
    /// The bytes are not a valid component.
    Invalid(wasmparser::BinaryReaderError),
    /// The component has imports or exports that this host does not support, or is nested too deeply.
    World(String),
}

impl From<wasmparser::BinaryReaderError> for Wrong {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Returns the kind of a component with these imports and exports, or a description of the problem.
fn kind(imports: &[String], exports: &[String]) -> Result<Kind, String> {
    let exports_one_of = |name: &str| exports.iter().any(|export| is_version_of(export, name));
    if exports_one_of(SERVICE) {
        if let Some(import) = imports.iter().find(|import| !import.starts_with(TYPES)) {
            return Err(format!(
                "it exports {SERVICE} but imports {import}, and a service may not import functions (does it use the \
                 standard library, which imports WASI on this target? Build it for wasm32-unknown-unknown with the linker \
                 wasm-component-ld: see \"Guests with the standard library\" in the book)"
            ));
        }
        let foreign = imports.iter().chain(exports).find(|name| name.starts_with(TYPES) && !is_known(name));
        return match foreign {
            None => Ok(Kind::Driven),
            Some(name) => Err(format!("it is made for {name}, but this host supports version {VERSION}")),
        };
    }
    if exports_one_of(COMMAND) {
        let is_of_0_3 = |name: &&String| name.starts_with("wasi:") && name.contains("@0.3.");
        return match imports.iter().find(is_of_0_3) {
            Some(import) if !exports.iter().any(|export| is_asynchronous(export)) => Err(format!(
                "it imports {import}, but exports {COMMAND} of WASI 0.2 only, which cannot wait for calls of WASI 0.3"
            )),
            _ => Ok(Kind::Portable),
        };
    }
    let names = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(format!("it exports {names}, but neither {SERVICE} (a service) nor {COMMAND} (a WASI command)"))
}

/// Returns true if an export is the entry of a WASI 0.3 command.
pub(crate) fn is_asynchronous(export: &str) -> bool {
    export.strip_prefix(COMMAND).is_some_and(|version| version.starts_with("@0.3."))
}

/// Returns true if `name` is an interface of the contract in a version that this host supports.
fn is_known(name: &str) -> bool {
    let version = name.rsplit_once('@').map_or("", |(_, version)| version);
    version.strip_prefix(VERSION).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns the offset of the end of a payload that belongs to the head of a component: the imports and their types.
/// Returns `None` for any other payload.
fn end_of_head(payload: &Payload<'_>) -> Option<usize> {
    Some(match payload {
        Payload::Version { range, .. } => range.end,
        Payload::CoreTypeSection(section) => section.range().end,
        Payload::ComponentTypeSection(section) => section.range().end,
        Payload::ComponentImportSection(section) => section.range().end,
        Payload::ComponentAliasSection(section) => section.range().end,
        Payload::CustomSection(section) => section.range().end,
        _ => return None,
    })
}

/// Returns true if `name`, such as `a:b/c@1.2.3`, is a version of `interface`.
fn is_version_of(name: &str, interface: &str) -> bool {
    name.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn the_version_of_a_command_is_that_of_its_run() {
        let sockets = names(["wasi:sockets/types@0.3.0", "wasi:cli/environment@0.2.6"]);
        for (exports, is_new) in [
            (names(["wasi:cli/run@0.3.0"]), true),
            (names(["wasi:cli/run@0.2.6", "wasi:cli/run@0.3.2"]), true),
            (names(["wasi:cli/run@0.2.6"]), false),
        ] {
            let world = World::new(Vec::new(), exports.clone(), 0);
            assert!(world.is_ok_and(|world| world.is_asynchronous() == is_new));
            assert_eq!(World::new(sockets.clone(), exports, 0).is_ok(), is_new);
        }
    }
}
