//! The exports of a guest that is a program: its output and its exit code.

use wasmtime::component::{Component, Instance, TypedFunc};
use wasmtime::{Error, Store};

/// The optional interface of the contract that a program exports.
const PROGRAM: &str = "sinbin:service/program@0.1.0";

/// Returns true if a component that the host drives is a program: it works by itself and ends, instead of serving clients.
#[must_use]
pub fn is_program(component: &Component) -> bool {
    component.get_export_index(None, PROGRAM).is_some()
}

/// The functions of an instance that is a program.
pub(crate) struct Program {
    output: TypedFunc<(), (Vec<u8>,)>,
    exit_code: TypedFunc<(), (u8,)>,
}

impl Program {
    /// Returns the functions among the `exports` of an instance, or `None` if the instance is no program.
    ///
    /// # Errors
    ///
    /// Fails if one is missing, or has another type.
    pub(crate) fn of<T: 'static>(exports: &Instance, store: &mut Store<T>) -> Result<Option<Self>, Error> {
        let Some(interface) = exports.get_export_index(&mut *store, None, PROGRAM) else { return Ok(None) };
        let mut function = |name| {
            let function = exports.get_export_index(&mut *store, Some(&interface), name);
            function.ok_or_else(|| wasmtime::format_err!("{PROGRAM} has no function {name}"))
        };
        let (output, exit_code) = (function("output")?, function("exit-code")?);
        let output = exports.get_typed_func(&mut *store, output)?;
        Ok(Some(Self { output, exit_code: exports.get_typed_func(&mut *store, exit_code)? }))
    }

    /// Returns what the program has written since the previous call.
    pub(crate) fn output<T: 'static>(&self, store: &mut Store<T>) -> Result<Vec<u8>, Error> {
        self.output.call(store, ()).map(|(bytes,)| bytes)
    }

    /// Returns the exit code of the program.
    pub(crate) fn exit_code<T: 'static>(&self, store: &mut Store<T>) -> Result<u8, Error> {
        self.exit_code.call(store, ()).map(|(code,)| code)
    }
}
