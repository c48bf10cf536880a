//! Components that take long to compile, or much memory.

use std::fs;
use std::path::{Path, PathBuf};

use sinbin_tests::{Ended, Running, sinbin_wasi};

use super::{recording, scratch, text};

/// Appends a number as LEB128.
fn put(mut number: usize, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

/// Appends bytes preceded by their length.
fn sized(what: &[u8], bytes: &mut Vec<u8>) {
    put(what.len(), bytes);
    bytes.extend_from_slice(what);
}

fn section(id: u8, content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(id);
    sized(content, bytes);
}

/// Returns the body of a function with `blocks` blocks, each of which may leave all enclosing ones, and with many
/// locals that are live throughout. A block takes about 13 bytes.
fn body(blocks: usize) -> Vec<u8> {
    const LOCALS: usize = 200;
    // 200 locals of i64.
    let mut body = vec![1];
    put(LOCALS, &mut body);
    body.push(0x7e);
    for index in 0..blocks {
        // block; local.get a; local.get b; i64.add; local.set c; local.get c; i32.wrap_i64; br_if 0; end
        body.extend_from_slice(&[0x02, 0x40]);
        for (op, local) in [(0x20, index), (0x20, index * 7 + 1)] {
            body.push(op);
            put(local % LOCALS, &mut body);
        }
        body.extend_from_slice(&[0x7c, 0x21]);
        put((index * 3 + 2) % LOCALS, &mut body);
        body.push(0x20);
        put((index * 5 + 3) % LOCALS, &mut body);
        body.extend_from_slice(&[0xa7, 0x0d, 0, 0x0b]);
    }
    body.push(0x0b);
    body
}

/// Writes a component that exports an instance under the name of a command's interface, and contains a module whose
/// functions take long to compile.
fn bomb(path: &Path, functions: usize, blocks: usize) {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &[1, 0x60, 0, 0], &mut module);
    let mut types = Vec::new();
    put(functions, &mut types);
    types.resize(types.len() + functions, 0);
    section(3, &types, &mut module);
    let mut code = Vec::new();
    put(functions, &mut code);
    for _ in 0..functions {
        sized(&body(blocks), &mut code);
    }
    section(10, &code, &mut module);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(1, &module, &mut component);
    end_as_command(&mut component);
    fs::write(path, component).expect("a file");
}

/// Makes a component export an empty instance under the name of a command's interface.
fn end_as_command(component: &mut Vec<u8>) {
    section(5, &[1, 1, 0], component);
    let mut export = vec![1, 0];
    sized(b"wasi:cli/run@0.2.0", &mut export);
    export.extend_from_slice(&[5, 0, 0]);
    section(11, &export, component);
}

/// Writes a component of about 35 KB whose types refer to each other so often that they expand to a gigabyte: an
/// instance type of resources, which each component type imports many times.
fn type_bomb(path: &Path, resources: usize, imports: usize, types: usize) {
    let mut all = Vec::new();
    put(types + 1, &mut all);
    all.push(0x42);
    put(resources, &mut all);
    for number in 0..resources {
        all.extend_from_slice(&[0x04, 0]);
        sized(format!("r{number}").as_bytes(), &mut all);
        all.extend_from_slice(&[0x03, 0x01]);
    }
    for _ in 0..types {
        all.push(0x41);
        put(imports + 1, &mut all);
        // The first type of the enclosing component.
        all.extend_from_slice(&[0x02, 0x03, 0x02, 0x01, 0x00]);
        for number in 0..imports {
            all.extend_from_slice(&[0x03, 0]);
            sized(format!("x{number}").as_bytes(), &mut all);
            all.extend_from_slice(&[0x05, 0]);
        }
    }
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(7, &all, &mut component);
    end_as_command(&mut component);
    fs::write(path, component).expect("a file");
}

/// Writes components nested to this depth.
fn nest(path: &Path, depth: usize) {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..depth {
        let inner = std::mem::replace(&mut component, b"\0asm\x0d\0\x01\0".to_vec());
        section(4, &inner, &mut component);
    }
    end_as_command(&mut component);
    fs::write(path, component).expect("a file");
}

/// Runs a command that compiles a guest, with limits.
fn limited(args: &[&str], limits: &[&str]) -> Ended {
    let mut command = sinbin_wasi(&[args, limits].concat());
    command.env_remove("SINBIN_WASI_COMPILE_TIMEOUT");
    Running::start(command).wait()
}

/// Returns the commands that compile a guest, with a file for their output.
fn ways(guest: &Path, directory: &Path) -> [Vec<String>; 3] {
    let (guest, recording, output) = (text(guest), recording(directory), directory.join("out.cwasm"));
    let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect();
    [
        args(&["run", guest, "--listen", "127.0.0.1:0"]),
        args(&["replay", text(&recording), guest]),
        args(&["compile", guest, "-o", text(&output)]),
    ]
}

fn made(functions: usize, blocks: usize) -> (PathBuf, PathBuf) {
    let directory = scratch();
    let path = directory.join("bomb.wasm");
    bomb(&path, functions, blocks);
    assert!(fs::metadata(&path).expect("it exists").len() < 1 << 20);
    (directory, path)
}

/// Asserts that each of the commands refuses a guest under these limits, with a message that contains these words.
fn is_refused(ways: &[Vec<String>], limits: &[&str], words: &[&str]) {
    for way in ways {
        let args: Vec<_> = way.iter().map(String::as_str).collect();
        let ended = limited(&args, limits);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ended.stderr);
        for words in words {
            assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
        }
    }
}

/// Returns the commands that compile a guest, and the one that only inspects it.
fn all_ways(guest: &Path, directory: &Path) -> Vec<Vec<String>> {
    let inspect = vec!["inspect".to_owned(), text(guest).to_owned()];
    ways(guest, directory).into_iter().chain([inspect]).collect()
}

/// Limits of which only the memory matters.
const LITTLE_MEMORY: [&str; 4] = ["--compile-timeout", "5m", "--compile-memory", "32"];

#[test]
fn a_guest_that_takes_too_long_to_compile_is_refused() {
    let (directory, path) = made(1, 60_000);
    let limits = ["--compile-timeout", "1s", "--compile-memory", "4096"];
    let words = ["within 1s; if you trust it", "--compile-timeout allows more"];
    is_refused(&ways(&path, &directory), &limits, &words);
    fs::remove_dir_all(directory).ok();
}

/// The guest can still be inspected under these limits, because that compiles nothing.
#[test]
fn a_guest_that_takes_too_much_memory_to_compile_is_refused() {
    let (directory, path) = made(1, 60_000);
    is_refused(&ways(&path, &directory), &LITTLE_MEMORY, &["--compile-memory allows more"]);
    let inspected = limited(&["inspect", text(&path)], &LITTLE_MEMORY);
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
    fs::remove_dir_all(directory).ok();
}

/// Reading types that need much memory is subject to the limits too, in every command.
#[test]
fn a_guest_whose_types_take_too_much_memory_is_refused() {
    let directory = scratch();
    let path = directory.join("types.wasm");
    type_bomb(&path, 1000, 100, 20);
    is_refused(&all_ways(&path, &directory), &LITTLE_MEMORY, &["--compile-memory allows more"]);
    fs::remove_dir_all(directory).ok();
}

#[test]
fn components_that_lie_too_deep_in_each_other_are_refused() {
    let directory = scratch();
    let path = directory.join("deep.wasm");
    nest(&path, 64);
    let limits = ["--compile-timeout", "5m"];
    let ended = limited(&["inspect", text(&path)], &limits);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    nest(&path, 10_000);
    is_refused(&all_ways(&path, &directory), &limits, &["more than 64 deep"]);
    fs::remove_dir_all(directory).ok();
}

/// An archive may contain a link beside a guest. Without -o, nothing is written through it.
#[test]
fn a_guest_is_not_compiled_through_a_link_beside_it() {
    let directory = scratch();
    let (guest, victim) = (directory.join("guest.wasm"), directory.join("victim"));
    fs::copy(sinbin_tests::guest("echo.wasm"), &guest).expect("a copy");
    fs::write(&victim, "precious").expect("a file");
    std::os::unix::fs::symlink(&victim, directory.join("guest.cwasm")).expect("a link");
    let ended = limited(&["compile", text(&guest)], &["--compile-timeout", "5m"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("name it by -o"), "{}", ended.stderr);
    assert_eq!(fs::read(&victim).expect("it exists"), b"precious");
    fs::remove_dir_all(directory).ok();
}
