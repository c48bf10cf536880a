//! What is in a file: a component that we drive, a command that wants WASI, or neither.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sinbin::files::open_regular;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;
use crate::compiler::{Compiler, Failure};
use crate::error::Error;
use crate::instance::GuestFactory;
use crate::portable;
use crate::precompiled::{Code, is_precompiled};
use crate::world::{Kind, World, Wrong};

/// The bytes that a file may have, unless a [`Loader`] is told otherwise.
pub const MAX_SIZE: u64 = 64 << 20;

/// A component, and how it wants to be run.
pub enum Artefact {
    /// It exports `sinbin:service/guest`: the host drives it.
    Driven(Component),
    /// It exports `wasi:cli/run`: it drives itself, by way of WASI 0.2.
    Portable(Component),
}

impl Artefact {
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
/// The files may be anybody's: what they can do at the worst is to be refused. That needs a [`Compiler`] with limits: a
/// file of a megabyte can take the other one minutes. Machine code is another matter: see
/// [`load_precompiled`](Self::load_precompiled).
#[derive(Clone)]
pub struct Loader<'e> {
    engine: &'e Engine,
    cache: Option<Cache>,
    compiler: Compiler,
    max_size: u64,
}

impl<'e> Loader<'e> {
    /// A loader that keeps nothing, for files of up to 64 MiB, and compiles in this process.
    #[must_use]
    pub fn new(engine: &'e Engine) -> Self {
        Self { engine, cache: None, compiler: Compiler::here(), max_size: MAX_SIZE }
    }

    /// Keeps what is compiled in a cache, and looks there first.
    #[must_use]
    pub fn cache(self, cache: Option<Cache>) -> Self {
        Self { cache, ..self }
    }

    /// Compiles so.
    #[must_use]
    pub fn compiler(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// Refuses files of more bytes.
    #[must_use]
    pub fn max_size(self, max_size: u64) -> Self {
        Self { max_size, ..self }
    }

    /// Loads a component, a `.wasm`: compiles it, and finds out what it is.
    ///
    /// # Errors
    ///
    /// When it is neither of the two kinds of [`Artefact`]; the error says what is missing. When it is machine code, by
    /// whatever name.
    pub fn load(&self, path: &Path) -> Result<Artefact, Error> {
        self.of_wasm(path, &self.read_wasm(path)?)
    }

    /// Loads a component that may be compiled already, as [`compile`](Self::compile) does it: a `.cwasm`, or a `.wasm`.
    ///
    /// # Errors
    ///
    /// As with [`load`](Self::load), and when the file is damaged, or code for another machine or version.
    ///
    /// # Safety
    ///
    /// A compiled component is machine code that runs in this process with all its rights, and nothing in the file
    /// tells who made it. So you have compiled it yourself, with this crate, and nobody else can have written to the
    /// file.
    #[allow(unsafe_code, reason = "the caller promises what is needed")]
    pub unsafe fn load_precompiled(&self, path: &Path) -> Result<Artefact, Error> {
        let bytes = self.read(path)?;
        if !is_precompiled(&bytes) {
            check_wasm(path, &bytes)?;
            return self.of_wasm(path, &bytes);
        }
        // SAFETY: the caller promises that the file is one of ours.
        let code = unsafe { Code::of_file(bytes) }.map_err(|what| unfit(path, what))?;
        let component = code.load(self.engine).map_err(|what| unfit(path, what))?;
        let world = World::of_component(&component).map_err(|wrong| refused(path, wrong))?;
        Ok(Artefact::new(world.kind(), component))
    }

    /// Says what a component is, without compiling it.
    ///
    /// # Errors
    ///
    /// As with [`load`](Self::load).
    pub fn inspect(&self, path: &Path) -> Result<World, Error> {
        let wasm = self.read_wasm(path)?;
        self.compiler.examine(self.engine, &wasm).map_err(|failure| match failure {
            Failure::Invalid(error) => Error::Invalid { path: path.to_owned(), what: error.to_string() },
            failure => failed(path, failure),
        })?;
        World::of_wasm(&wasm).map_err(|wrong| refused(path, wrong))
    }

    /// Compiles a component that can be run here, to the bytes of a `.cwasm`.
    ///
    /// # Errors
    ///
    /// As with [`load`](Self::load) and [`Artefact::check`].
    pub fn compile(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let wasm = self.read_wasm(path)?;
        let world = World::of_wasm(&wasm).map_err(|wrong| refused(path, wrong))?;
        let code = self.code(path, &wasm)?;
        let component = code.load(self.engine).map_err(|what| unfit(path, what))?;
        Artefact::new(world.kind(), component).check(path)?;
        Ok(code.to_file())
    }

    fn of_wasm(&self, path: &Path, wasm: &[u8]) -> Result<Artefact, Error> {
        let world = World::of_wasm(wasm).map_err(|wrong| refused(path, wrong))?;
        if let Some(cache) = &self.cache {
            let kept = cache.get(self.engine, wasm).and_then(|code| code.load(self.engine).ok());
            if let Some(component) = kept {
                return Ok(Artefact::new(world.kind(), component));
            }
        }
        let code = self.code(path, wasm)?;
        if let Some(cache) = &self.cache {
            cache.put(self.engine, wasm, &code);
        }
        let component = code.load(self.engine).map_err(|what| unfit(path, what))?;
        Ok(Artefact::new(world.kind(), component))
    }

    fn code(&self, path: &Path, wasm: &[u8]) -> Result<Code, Error> {
        self.compiler.compile(self.engine, wasm).map_err(|failure| failed(path, failure))
    }

    /// Reads a file that is no machine code.
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
        // The file may grow meanwhile.
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
        advice: "make it anew with `sinbin-wasi compile GUEST.wasm`, or run the .wasm itself",
    }
}

fn check_wasm(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let no_component = |found, advice| Err(Error::NoComponent { path: path.to_owned(), found, advice });
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => no_component(
            "a core module, where a component is needed",
            "build it for wasm32-wasip2, or drive it from a host of your own (see docs/src/embedding.md)",
        ),
        [0, b'a', b's', b'm', ..] => {
            no_component("wasm of a version that is not known here", "build it with current tools")
        }
        [] => no_component("empty", "was its build cut short?"),
        _ => no_component("no wasm", "give the .wasm of a component"),
    }
}
