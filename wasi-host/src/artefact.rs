//! The contents of a guest's file: a component that the host drives, a WASI command, or neither.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sinbin::files::open_regular;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;
use crate::compiler::{Compiler, Failure};
use crate::engine::{asynchronous_engine, engine_for};
use crate::error::Error;
use crate::instance::GuestFactory;
use crate::portable;
use crate::precompiled::{Code, is_precompiled};
use crate::world::{Kind, World, Wrong};

/// The default limit of a [`Loader`] on the size of a file, in bytes.
pub const MAX_SIZE: u64 = 64 << 20;

/// A component, classified by the way in which it is run.
pub enum Artefact {
    /// A service that exports `sinbin:service/guest`: the host drives it.
    Driven(Component),
    /// A command of WASI 0.2 or 0.3 that exports `wasi:cli/run`: it runs its own loop. The component of a WASI 0.3
    /// command has an engine of its own, `component.engine()`.
    Portable(Component),
}

impl Artefact {
    /// Returns the component.
    #[must_use]
    pub fn component(&self) -> &Component {
        match self {
            Self::Driven(component) | Self::Portable(component) => component,
        }
    }

    /// Checks that this host can run the artefact. This host can't run an artefact of an unknown version of the
    /// contract.
    ///
    /// # Errors
    ///
    /// Returns [`Error::World`] if an import or an export is missing. The message names it, and `path`.
    pub fn check(&self, path: &Path) -> Result<(), Error> {
        let checked = match self {
            Self::Driven(component) => {
                GuestFactory::new(component, 0, None).map(drop).map_err(|error| format!("{error:#}"))
            }
            Self::Portable(component) => portable::check(component).map_err(|error| error.to_string()),
        };
        checked.map_err(|what| Error::World { path: path.to_owned(), what })
    }

    fn new(kind: Kind, component: Component) -> Self {
        match kind {
            Kind::Driven => Self::Driven(component),
            Kind::Portable => Self::Portable(component),
        }
    }
}

/// Loads components from files.
///
/// The files may be untrusted: the worst outcome is an error. This requires a [`Compiler`] with limits, since without
/// limits a file of one megabyte can take minutes to compile. Machine code must be trusted: see
/// [`load_precompiled`](Self::load_precompiled).
#[derive(Clone)]
pub struct Loader<'e> {
    engine: &'e Engine,
    cache: Option<Cache>,
    compiler: Compiler,
    max_size: u64,
}

impl<'e> Loader<'e> {
    /// Creates a loader without a cache. The loader accepts files of up to 64 MiB, and compiles in this process.
    #[must_use]
    pub fn new(engine: &'e Engine) -> Self {
        Self { engine, cache: None, compiler: Compiler::here(), max_size: MAX_SIZE }
    }

    /// Sets the cache to look compiled components up in, and to store them in.
    #[must_use]
    pub fn cache(self, cache: Option<Cache>) -> Self {
        Self { cache, ..self }
    }

    /// Sets the compiler.
    #[must_use]
    pub fn compiler(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// Sets the limit on the size of a file, in bytes.
    #[must_use]
    pub fn max_size(self, max_size: u64) -> Self {
        Self { max_size, ..self }
    }

    /// Loads and compiles a component, a `.wasm` file, and determines its kind.
    ///
    /// # Errors
    ///
    /// Fails if the file is neither of the two kinds of [`Artefact`]; the error names what is missing. Fails if the
    /// file is machine code, whatever its name is.
    pub fn load(&self, path: &Path) -> Result<Artefact, Error> {
        self.of_wasm(path, &self.read_wasm(path)?)
    }

    /// Loads a component that may already be compiled: a `.cwasm` file made by [`compile`](Self::compile), or a `.wasm`
    /// file.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does, except that machine code is accepted. Fails if the machine code is damaged,
    /// or made for another machine or by another version.
    ///
    /// # Safety
    ///
    /// A compiled component is machine code that runs in this process with all its rights, and the file does not prove
    /// its origin. The caller must have compiled the component with this crate, and no other user may have been able to
    /// write to the file.
    #[allow(unsafe_code, reason = "the caller promises what is needed")]
    pub unsafe fn load_precompiled(&self, path: &Path) -> Result<Artefact, Error> {
        let bytes = self.read(path)?;
        if !is_precompiled(&bytes) {
            check_wasm(path, &bytes)?;
            return self.of_wasm(path, &bytes);
        }
        // SAFETY: the caller guarantees that this crate compiled the file, and that no other user could change it.
        let code = unsafe { Code::of_file(bytes) }.map_err(|what| unfit(path, what))?;
        // The code does not say what it was compiled for before it is loaded.
        let loaded = code.load(self.engine).or_else(|what| match asynchronous_engine() {
            Ok(engine) => code.load(&engine),
            Err(_) => Err(what),
        });
        let component = loaded.map_err(|what| unfit(path, what))?;
        let world = World::of_component(&component).map_err(|wrong| refused(path, wrong))?;
        Ok(Artefact::new(world.kind(), component))
    }

    /// Returns the imports, the exports and the kind of a component, without compiling it.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does.
    pub fn inspect(&self, path: &Path) -> Result<World, Error> {
        let wasm = self.read_wasm(path)?;
        self.compiler.examine(self.engine, &wasm).map_err(|failure| match failure {
            Failure::Invalid(error) => Error::Invalid { path: path.to_owned(), what: error.to_string() },
            failure => failed(path, failure),
        })?;
        World::of_wasm(&wasm).map_err(|wrong| refused(path, wrong))
    }

    /// Compiles a component that this host can run, and returns the bytes of the `.cwasm` file.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) and [`Artefact::check`] do.
    pub fn compile(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let wasm = self.read_wasm(path)?;
        let world = World::of_wasm(&wasm).map_err(|wrong| refused(path, wrong))?;
        let code = self.code(path, &wasm)?;
        let engine = self.engine_for(path, &world)?;
        let component = code.load(&engine).map_err(|what| unfit(path, what))?;
        Artefact::new(world.kind(), component).check(path)?;
        Ok(code.to_file())
    }

    fn of_wasm(&self, path: &Path, wasm: &[u8]) -> Result<Artefact, Error> {
        let world = World::of_wasm(wasm).map_err(|wrong| refused(path, wrong))?;
        let engine = &self.engine_for(path, &world)?;
        if let Some(cache) = &self.cache {
            let kept = cache.get(engine, wasm).and_then(|code| code.load(engine).ok());
            if let Some(component) = kept {
                return Ok(Artefact::new(world.kind(), component));
            }
        }
        let code = self.code(path, wasm)?;
        if let Some(cache) = &self.cache {
            cache.put(engine, wasm, &code);
        }
        let component = code.load(engine).map_err(|what| unfit(path, what))?;
        Ok(Artefact::new(world.kind(), component))
    }

    fn engine_for(&self, path: &Path, world: &World) -> Result<Engine, Error> {
        engine_for(world, self.engine).map_err(|what| Error::World { path: path.to_owned(), what })
    }

    fn code(&self, path: &Path, wasm: &[u8]) -> Result<Code, Error> {
        self.compiler.compile(self.engine, wasm).map_err(|failure| failed(path, failure))
    }

    /// Reads a file that is not machine code.
    fn read_wasm(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let bytes = self.read(path)?;
        if is_precompiled(&bytes) {
            return Err(Error::Precompiled { path: path.to_owned() });
        }
        check_wasm(path, &bytes)?;
        Ok(bytes)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let failed = |error| Error::Read { path: path.to_owned(), error };
        let file = open_regular(path).map_err(failed)?;
        let too_large = || Error::TooLarge { path: path.to_owned(), limit: self.max_size };
        if file.metadata().map_err(failed)?.len() > self.max_size {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        // The file may have grown since its size was checked.
        let count =
            File::take(file, self.max_size.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if count as u64 > self.max_size {
            return Err(too_large());
        }
        Ok(bytes)
    }
}

fn failed(path: &Path, failure: Failure) -> Error {
    let path = path.to_owned();
    match failure {
        Failure::Invalid(error) => Error::Compile { path, error },
        Failure::World(what) => Error::World { path, what },
        Failure::System(error) => Error::Compiler { path, error },
        Failure::Time(limit) => Error::CompileTime { path, limit },
        Failure::Memory(limit, status) => Error::CompileMemory { path, limit: limit >> 20, status },
    }
}

fn refused(path: &Path, wrong: Wrong) -> Error {
    let path = path.to_owned();
    match wrong {
        Wrong::Invalid(error) => Error::Invalid { path, what: error.to_string() },
        Wrong::World(what) => Error::World { path, what },
    }
}

fn unfit(path: &Path, found: &'static str) -> Error {
    Error::NoComponent {
        path: path.to_owned(),
        found,
        advice: "compile it again with `sinbin-wasi compile GUEST.wasm`, or run the .wasm file instead",
    }
}

fn check_wasm(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let no_component = |found, advice| Err(Error::NoComponent { path: path.to_owned(), found, advice });
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => no_component(
            "a core module, but a component is needed",
            "build it for wasm32-wasip2, or drive it from your own host (see docs/src/embedding.md)",
        ),
        [0, b'a', b's', b'm', ..] => {
            no_component("wasm of an unknown version", "build it with current tools")
        }
        [] => no_component("empty", "build it again: the build may have been interrupted"),
        _ => no_component("not a wasm file", "give the .wasm file of a component"),
    }
}
