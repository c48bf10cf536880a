//! The imports and exports of a component, and so how it wants to be run. Nothing is compiled for that.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::portable;

/// The export of a service.
const SERVICE: &str = "sinbin:service/guest";
/// An import that a service may have: types.
const TYPES: &str = "sinbin:service/";
/// The version of both that is known here; a later one of `0.1` has more, and nothing else.
const VERSION: &str = "0.1";
/// The export of a command.
const COMMAND: &str = "wasi:cli/run";
/// How deep components may lie in components: to check them takes the square of that.
const MAX_DEPTH: u32 = 64;

/// How a component wants to be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A service, which exports `sinbin:service/guest`: the host drives it.
    Driven,
    /// A command, which exports `wasi:cli/run`: it drives itself, by way of WASI 0.2.
    Portable,
}

/// The names that a component imports and exports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct World {
    imports: Vec<String>,
    exports: Vec<String>,
    /// Where the imports and their types end, before any code.
    head: usize,
    kind: Kind,
}

impl World {
    /// Reads the names from a component's bytes; else says what is wrong.
    pub(crate) fn of_wasm(wasm: &[u8]) -> Result<Self, Wrong> {
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        // Components have components and modules in them, with names of their own.
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
                return Err(Wrong::World(format!(
                    "its components lie more than {MAX_DEPTH} deep in each other"
                )));
            }
        }
        Self::new(imports, exports, head)
    }

    /// Checks the whole of a component's bytes as well. Their types can make that take much more time and memory than
    /// their number lets expect.
    pub(crate) fn of_valid_wasm(wasm: &[u8]) -> Result<Self, Wrong> {
        let world = Self::of_wasm(wasm)?;
        Validator::new_with_features(WasmFeatures::default()).validate_all(wasm)?;
        Ok(world)
    }

    /// Asks a component that is compiled.
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

    /// Checks whether this host has what is imported; else says what it has not. `wasm` is what the names were read
    /// from.
    pub(crate) fn check(&self, engine: &Engine, wasm: &[u8]) -> Result<(), Wrong> {
        if self.kind == Kind::Driven {
            return Ok(());
        }
        // The head of a component is one as well, with the same imports and no code.
        let head = Component::from_binary(engine, &wasm[..self.head]);
        let checked = head
            .map_err(|error| format!("{error:#}"))
            .and_then(|component| portable::check_imports(&component).map_err(|error| error.to_string()));
        checked.map_err(Wrong::World)
    }

    /// How it wants to be run.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The names of what it imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The names of what it exports.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.exports
    }
}

/// Why bytes are of no world that is known here.
pub(crate) enum Wrong {
    /// The bytes are no component.
    Invalid(wasmparser::BinaryReaderError),
    /// The bytes are a component of another world.
    World(String),
}

impl From<wasmparser::BinaryReaderError> for Wrong {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Tells what a component with these names is, or what it lacks.
fn kind(imports: &[String], exports: &[String]) -> Result<Kind, String> {
    let exports_one_of = |name: &str| exports.iter().any(|export| is_version_of(export, name));
    if exports_one_of(SERVICE) {
        if let Some(import) = imports.iter().find(|import| !import.starts_with(TYPES)) {
            return Err(format!(
                "it exports {SERVICE} but imports {import}, and a service that is driven may import nothing \
                 (is it built with a standard library that wants WASI?)"
            ));
        }
        let foreign = imports.iter().chain(exports).find(|name| name.starts_with(TYPES) && !is_known(name));
        return match foreign {
            None => Ok(Kind::Driven),
            Some(name) => {
                Err(format!("it is made for {name}, and this host knows version {VERSION} of that"))
            }
        };
    }
    if exports_one_of(COMMAND) {
        return Ok(Kind::Portable);
    }
    let names = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(format!(
        "it exports {names}, and neither {SERVICE} (a service) nor {COMMAND} (a command of WASI 0.2)"
    ))
}

/// Whether the interface of the contract that is named is of a version that is known here.
fn is_known(name: &str) -> bool {
    let version = name.rsplit_once('@').map_or("", |(_, version)| version);
    version.strip_prefix(VERSION).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Where the part of a component ends that was just read, if it is one of its head: the imports, and their types.
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

/// Whether `name`, as in `a:b/c@1.2.3`, is that of the interface.
fn is_version_of(name: &str, interface: &str) -> bool {
    name.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}
