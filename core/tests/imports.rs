//! Checks that the core's files form a ladder: each file imports from its own rung or from lower rungs, and no two
//! files import each other, directly or through other files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The rungs from lowest to highest, each a file or folder of `core/src`. No file imports from a rung above its own.
const LADDER: [&str; 11] =
    ["kernel", "job", "exec", "task", "time", "sync", "group", "net", "serve", "protocols", "driven"];

#[test]
fn imports_go_down_the_ladder() {
    assert_eq!(Core::read().complaints(), Vec::<String>::new());
}

#[test]
fn a_circle_of_files_is_found() {
    let mut core = Core::read();
    let line = core.plant("kernel/id.rs", "use crate::kernel::step::{ExpectedWaker, Wait};");
    let complaints = core.complaints();
    let circle = complaints.iter().find(|told| told.starts_with("a circle")).expect("a circle is found");
    assert!(circle.contains(&format!("kernel/id.rs:{line}: imports kernel/step.rs")), "{circle}");
    assert!(circle.contains("kernel/step.rs:") && circle.contains(": imports kernel/id.rs"), "{circle}");
}

#[test]
fn a_circle_through_a_parent_that_uses_what_it_re_exports_is_found() {
    let mut core = Core::read();
    assert!(core.complaints().is_empty());
    core.plant("kernel/storage.rs", "fn limits(_: &Limits) {}");
    let complaints = core.complaints();
    assert!(
        complaints.iter().any(|told| told.contains("imports kernel/storage/growing.rs")),
        "{complaints:?}"
    );
}

#[test]
fn an_import_that_goes_up_is_found_however_it_is_written() {
    let ways = [
        ("use crate::task::Handle;", "task/handle.rs"),
        ("use crate::task::handle::Handle as H;", "task/handle.rs"),
        ("use crate::{driven::Driven};", "driven.rs"),
        ("use crate::{\n    kernel::{id::TaskId},\n    sync::{Lock, order::{self}},\n};", "sync/order.rs"),
        ("use super::super::protocols::fib::*;", "protocols/fib.rs"),
        ("use crate::Executor;", "exec/executor.rs"),
        ("pub(crate) use crate::fib_service::Fib;", "protocols/fib_service.rs"),
        ("pub use crate::echo;", "protocols/echo.rs"),
        ("fn f(_: &crate::time::Sleep<'_>) {}", "time/sleep.rs"),
        ("type T<'d> = super::super::group::Group<'d, (), ()>;", "group.rs"),
        ("const TEXT: &str = \"// \\\" \"; type T = crate::Cx<'static, ()>;", "exec/context.rs"),
        ("const QUOTE: char = '\"'; type T = crate::Cx<'static, ()>; // \"", "exec/context.rs"),
        ("use crate as c;", "lib.rs"),
    ];
    for (import, to) in ways {
        let mut core = Core::read();
        let line = core.plant("kernel/slab.rs", import);
        let complaints = core.complaints();
        let wanted = format!("kernel/slab.rs:{line}: imports {to}, which is on a rung above");
        assert!(complaints.contains(&wanted), "{import}: {complaints:?}");
    }
}

#[test]
fn what_is_no_import_is_not_taken_for_one() {
    let mut core = Core::read();
    core.plant("kernel/slab.rs", "/// See [`Handle`](crate::task::Handle).\n// use crate::task::Handle;");
    core.plant("kernel/slab.rs", "const A: &str = \"crate::task::Handle\"; /* crate::task::Handle */");
    core.plant("kernel/slab.rs", "const B: &str = r#\"use \"crate::task::Handle\";\"#;");
    core.plant("kernel/slab.rs", "#[cfg(test)]\nmod looks {\n    use crate::task::Handle;\n}");
    assert_eq!(core.complaints(), Vec::<String>::new());
}

#[test]
fn a_file_on_no_rung_is_found() {
    let mut core = Core::read();
    core.files.insert("other.rs".to_owned(), File::of("use crate::kernel::Kernel;"));
    assert_eq!(core.complaints(), ["other.rs: is on no rung of the ladder"]);
}

/// The files of the core.
#[derive(Clone)]
struct Core {
    files: BTreeMap<String, File>,
}

#[derive(Clone)]
struct File {
    text: String,
    uses: Vec<Use>,
    /// The paths in the code outside of `use` declarations, with their line numbers.
    paths: Vec<(usize, Vec<String>)>,
    /// The words in the code outside of `use` declarations.
    words: BTreeSet<String>,
}

/// A name that a `use` brings into a file.
#[derive(Clone)]
struct Use {
    line: usize,
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// An import of one file by another, and its line number.
struct Import {
    line: usize,
    to: String,
}

impl Core {
    fn read() -> Self {
        static CORE: OnceLock<Core> = OnceLock::new();
        CORE.get_or_init(Self::read_all).clone()
    }

    fn read_all() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut core = Self { files: BTreeMap::new() };
        core.read_folder(&root, &root);
        let tests: Vec<_> = core.files.keys().filter(|file| file.ends_with("/tests.rs")).cloned().collect();
        for file in tests {
            core.files.remove(&file);
        }
        assert!(core.files.len() > 50 && core.files.contains_key("kernel.rs"), "the core's files are found");
        core
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.read_folder(root, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("a path below").to_str().expect("a name");
                let text = fs::read_to_string(&path).expect("a file that can be read");
                self.files.insert(name.replace('\\', "/"), File::of(&text));
            }
        }
    }

    /// Appends lines to a file and returns the number of the first one.
    fn plant(&mut self, file: &str, lines: &str) -> usize {
        let file = self.files.get_mut(file).expect("a file of the core");
        let text = format!("{}{lines}\n", file.text);
        let line = file.text.lines().count() + 1;
        *file = File::of(&text);
        line
    }

    /// Returns a line for each import from a higher rung and for each cycle.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut imports = BTreeMap::new();
        for file in self.files.keys().filter(|file| *file != "lib.rs") {
            if rung(file).is_none() {
                complaints.push(format!("{file}: is on no rung of the ladder"));
            }
            imports.insert(file.as_str(), self.imports(file));
        }
        for (file, imports) in &imports {
            for Import { line, to } in imports {
                if rung(file).is_some_and(|rung| self::rung(to).is_none_or(|to| to > rung)) {
                    complaints.push(format!("{file}:{line}: imports {to}, which is on a rung above"));
                }
            }
        }
        for circle in circles(&imports) {
            let within = circle.iter().flat_map(|file| {
                let within = imports[file].iter().filter(|import| circle.contains(&import.to.as_str()));
                within.map(move |Import { line, to }| format!("\n  {file}:{line}: imports {to}"))
            });
            complaints.push(format!("a circle:{}", within.collect::<String>()));
        }
        complaints
    }

    /// Returns the imports of a file. A name that the file only re-exports from a child module does not count.
    fn imports(&self, file: &str) -> Vec<Import> {
        let File { uses, paths, words, .. } = &self.files[file];
        let module = module(file);
        let mut imports = Vec::new();
        for Use { line, path, name, is_public } in uses {
            let is_own = self.is_child(&module, &path[0]) || path[0] == "self";
            if *is_public && is_own && !words.contains(name) {
                continue;
            }
            imports.extend(self.resolve(&module, path).map(|to| Import { line: *line, to }));
        }
        for (line, path) in paths {
            if matches!(path[0].as_str(), "crate" | "super" | "self") || self.is_child(&module, &path[0]) {
                imports.extend(self.resolve(&module, path).map(|to| Import { line: *line, to }));
            }
        }
        imports.retain(|import| import.to != file);
        imports
    }

    fn is_child(&self, module: &[String], name: &str) -> bool {
        let child: Vec<_> = module.iter().cloned().chain([name.to_owned()]).collect();
        self.file_of(&child).is_some()
    }

    fn file_of(&self, module: &[String]) -> Option<String> {
        let file = if module.is_empty() { "lib.rs".to_owned() } else { module.join("/") + ".rs" };
        self.files.contains_key(&file).then_some(file)
    }

    /// Returns the file that a path resolves to from a module, or none if the path leaves the crate.
    fn resolve(&self, from: &[String], path: &[String]) -> Option<String> {
        let mut at = from.to_vec();
        let mut rest = path;
        match path[0].as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            first if self.is_child(from, first) => {}
            _ => return None,
        }
        while let Some(next) = rest.first().filter(|next| self.is_child(&at, next)) {
            at.push(next.clone());
            rest = &rest[1..];
        }
        let file = self.file_of(&at)?;
        // If the module imports the name from another module, the path continues there.
        if let Some(next) = rest.first()
            && let Some(passed) = self.files[&file].uses.iter().find(|passed| passed.name == *next)
            && passed.path != path
        {
            let path: Vec<_> = passed.path.iter().chain(&rest[1..]).cloned().collect();
            return self.resolve(&at, &path);
        }
        Some(file)
    }
}

impl File {
    fn of(text: &str) -> Self {
        let mut code: Vec<char> = text.chars().collect();
        blank_comments_and_texts(&mut code);
        blank_tests(&mut code);
        let mut uses = Vec::new();
        let mut from = 0;
        while let Some(at) = find_word(&code, "use", from) {
            if code.get(at + "use".len()) == Some(&'<') {
                // A `use<..>` bound in a type lists captured generics and imports nothing.
                from = at + 1;
                continue;
            }
            let end = (at..code.len()).find(|at| code[*at] == ';').unwrap_or(code.len());
            from = end;
            let before: Vec<char> =
                code[..at].iter().rev().take_while(|c| !"};{]".contains(**c)).copied().collect();
            let is_public = before.iter().rev().collect::<String>().trim_start().starts_with("pub");
            let tree: String = code[at + "use".len()..end].iter().collect();
            let line = line_of(&code, at);
            read_tree(&tree, &[], &mut |path, name| uses.push(Use { line, path, name, is_public }));
            blank(&mut code[at..end]);
        }
        let mut file = Self { text: text.to_owned(), uses, paths: Vec::new(), words: BTreeSet::new() };
        file.read_code(&code);
        file
    }

    fn read_code(&mut self, code: &[char]) {
        let mut line = 1;
        let mut at = 0;
        while at < code.len() {
            let is_path = |c: &&char| is_of_word(**c) || **c == ':';
            let path: String = code[at..].iter().take_while(is_path).collect();
            if path.is_empty() {
                line += usize::from(code[at] == '\n');
                at += 1;
                continue;
            }
            at += path.chars().count();
            let parts: Vec<String> =
                path.split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            self.words.extend(parts.iter().cloned());
            if parts.len() > 1 && !path.starts_with(':') {
                self.paths.push((line, parts));
            }
        }
    }
}

/// Calls `add` for each name in a `use` tree, with its path and the name it gets.
fn read_tree(tree: &str, above: &[String], add: &mut impl FnMut(Vec<String>, String)) {
    let mut depth = 0;
    let branches = tree.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for branch in branches.map(str::trim).filter(|branch| !branch.is_empty()) {
        let mut path = above.to_vec();
        if let Some((trunk, inner)) = branch.split_once('{') {
            path.extend(trunk.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
            read_tree(inner.strip_suffix('}').expect("a closed brace"), &path, add);
            continue;
        }
        let (whole, alias) = branch.split_once(" as ").unwrap_or((branch, ""));
        path.extend(whole.split("::").map(|part| part.trim().to_owned()));
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let last = path.last().cloned().unwrap_or_default();
        let name = if alias.is_empty() { last } else { alias.trim().to_owned() };
        add(path, name);
    }
}

fn blank(code: &mut [char]) {
    code.iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
}

fn blank_comments_and_texts(code: &mut [char]) {
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let before = if at == 0 { ' ' } else { code[at - 1] };
        let len = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => {
                rest.windows(2).position(|end| end == ['*', '/']).map_or(rest.len(), |end| end + 2)
            }
            ['"', ..] => quoted(rest, '"'),
            ['r', '"' | '#', ..] if !is_of_word(before) || before == 'b' => raw(rest),
            ['\'', '\\', ..] => quoted(rest, '\''),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        blank(&mut code[at..at + len]);
        at += len.max(1);
    }
}

/// Returns the length of the literal that begins here.
fn quoted(code: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < code.len() && code[at] != quote {
        at += if code[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(code.len())
}

/// Returns the length of the raw string that begins here, or 0 if none does.
fn raw(code: &[char]) -> usize {
    let hashes = code[1..].iter().take_while(|c| **c == '#').count();
    if code.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = core::iter::once('"').chain(core::iter::repeat_n('#', hashes)).collect();
    let inner = &code[2 + hashes..];
    let len = inner.windows(end.len()).position(|window| window == end).expect("a string that ends");
    2 + hashes + len + end.len()
}

/// Blanks the modules of tests, which may import from any rung.
fn blank_tests(code: &mut [char]) {
    let test: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut from = 0;
    while let Some(found) = code[from..].windows(test.len()).position(|window| window == test) {
        let at = from + found;
        let mut depth = 0;
        let end = (at..code.len()).find(|at| {
            depth += i32::from(code[*at] == '{') - i32::from(code[*at] == '}');
            depth == 0 && matches!(code[*at], '}' | ';')
        });
        let end = end.map_or(code.len(), |end| end + 1);
        blank(&mut code[at..end]);
        from = end;
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the position of the next occurrence of the word.
fn find_word(code: &[char], word: &str, from: usize) -> Option<usize> {
    let word: Vec<char> = word.chars().collect();
    let is_end = |at: usize| code.get(at).is_none_or(|c| !is_of_word(*c));
    let found = |at: &usize| {
        code[*at..].starts_with(&word) && is_end(at + word.len()) && (*at == 0 || is_end(at - 1))
    };
    (from..code.len()).find(found)
}

fn line_of(code: &[char], at: usize) -> usize {
    1 + code[..at].iter().filter(|c| **c == '\n').count()
}

fn module(file: &str) -> Vec<String> {
    file.trim_end_matches(".rs").split('/').map(str::to_owned).collect()
}

/// Returns the index of the file's rung on the ladder.
fn rung(file: &str) -> Option<usize> {
    let first = file.split('/').next().unwrap_or("").trim_end_matches(".rs");
    LADDER.iter().position(|rung| *rung == first)
}

/// Returns the sets of files that import each other, each sorted by name.
fn circles<'a>(imports: &'a BTreeMap<&'a str, Vec<Import>>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (*file, reach(imports, file))).collect();
    let mut circles = Vec::new();
    for (file, reached_from) in &reached {
        let circle: Vec<&str> =
            reached_from.iter().filter(|to| reached[*to].contains(file)).copied().collect();
        // Each cycle is reported once, by its first file.
        if circle.first() == Some(file) {
            circles.push(circle);
        }
    }
    circles
}

/// Returns all files that a file imports, directly or through other files.
fn reach<'a>(imports: &'a BTreeMap<&'a str, Vec<Import>>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![file];
    while let Some(file) = next.pop() {
        for Import { to, .. } in imports.get(file).into_iter().flatten() {
            if imports.contains_key(to.as_str()) && reached.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    reached
}
