//! The names of a guest's functions, for stack traces in reports of failures.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rustc_demangle::demangle;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// The maximum size of a file from which names are read.
const MAX_SIZE: u64 = 64 << 20;

/// The names of the functions of a guest whose own file has no names, by function index. Clones share one table.
#[derive(Clone, Default, Debug)]
pub struct Names(Arc<HashMap<u32, String>>);

impl Names {
    /// Reads the names for the guest at `path`, such as `fib.wasm`, from the file `fib.debug.wasm` beside it, which
    /// `wasi-host/guest/build` creates. Returns no names if that file is missing or has different code.
    #[must_use]
    pub fn beside(path: &Path) -> Self {
        let read = |path: &Path| -> Option<Vec<u8>> {
            let size = fs::metadata(path).ok().filter(|found| found.is_file())?.len();
            if size <= MAX_SIZE { fs::read(path).ok() } else { None }
        };
        let names = read(&path.with_extension("debug.wasm")).and_then(|named| {
            let (names, code) = parse(&named)?;
            let guest = read(path)?;
            let (_, own) = parse(&guest)?;
            (named[code] == guest[own]).then_some(names)
        });
        Self(Arc::new(names.unwrap_or_default()))
    }

    /// Returns a report of wasmtime in which the indexes of functions are replaced by their names.
    pub(crate) fn insert_into(&self, report: String) -> String {
        const BEFORE: &str = "<unknown>!<wasm function ";

        if self.0.is_empty() {
            return report;
        }
        let mut parts = report.split(BEFORE);
        let mut named = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let number = part.split_once('>').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
            match number.and_then(|(number, rest)| Some((self.0.get(&number)?, rest))) {
                Some((name, rest)) => {
                    named.push_str(name);
                    named.push_str(rest);
                }
                None => {
                    named.push_str(BEFORE);
                    named.push_str(part);
                }
            }
        }
        named
    }
}

/// Returns the function names in a component with a single core module, and the range of the module's code. Returns
/// `None` for other files.
fn parse(wasm: &[u8]) -> Option<(HashMap<u32, String>, Range<usize>)> {
    let (mut names, mut code) = (HashMap::new(), None);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::CodeSectionStart { range, .. } if code.replace(range.clone()).is_some() => return None,
            Payload::CustomSection(section) => {
                let KnownCustom::Name(subsections) = section.as_known() else { continue };
                for subsection in subsections {
                    let Ok(Name::Function(functions)) = subsection else { continue };
                    names.extend(
                        functions
                            .into_iter()
                            .flatten()
                            .map(|naming| (naming.index, format!("{:#}", demangle(naming.name)))),
                    );
                }
            }
            _ => {}
        }
    }
    Some((names, code?))
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_report_contains_the_names_of_functions() {
        let names = Names(std::sync::Arc::new([(39, "serve::fib".to_owned())].into()));
        let report = "unreachable\n    0:   0x1f - <unknown>!<wasm function 39>\n    1:  0x2f - <unknown>!<wasm function 4>\n";
        let expected =
            "unreachable\n    0:   0x1f - serve::fib\n    1:  0x2f - <unknown>!<wasm function 4>\n";
        assert_eq!(names.insert_into(report.to_owned()), expected);
        for odd in
            ["", "<unknown>!<wasm function ", "<unknown>!<wasm function 39", "<unknown>!<wasm function x>"]
        {
            assert_eq!(names.insert_into(odd.to_owned()), odd);
        }
        assert_eq!(Names::default().insert_into(report.to_owned()), report);
    }
}
