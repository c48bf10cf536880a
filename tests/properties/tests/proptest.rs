//! The properties without a fuzzer: with every file of the corpora, and with random bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_properties::{ALL, Property};
use sinbin_testkit::cases::cases;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// Returns the paths in a directory, in the order of the names.
fn entries(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Returns the inputs of a target by their names: the named ones, each in a file, and those that a fuzzer found, in an
/// archive.
fn corpus(name: &str) -> BTreeMap<String, Vec<u8>> {
    let named = fuzz().join("corpus").join(name);
    let archive = named.with_extension("tar");
    let mut all = if archive.exists() { unpacked(&read(&archive)) } else { BTreeMap::new() };
    if named.exists() {
        let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
        all.extend(entries(&named).iter().map(|path| (name(path), read(path))));
    }
    all
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files of a plain tar. Its blocks have 512 bytes, and a block with the file's name and octal length
/// precedes each file.
fn unpacked(mut archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    const BLOCK: usize = 512;
    let text = |field: &[u8]| {
        let field = str::from_utf8(field).expect("a header is ASCII");
        field.trim_end_matches(['\0', ' ']).to_owned()
    };
    let mut files = BTreeMap::new();
    loop {
        let (header, rest) = archive.split_at(BLOCK);
        let name = text(&header[..100]);
        if name.is_empty() {
            return files;
        }
        assert_eq!(header[156], b'0', "{name} is a file");
        let length = usize::from_str_radix(&text(&header[124..136]), 8).expect("a length is octal");
        files.insert(name, rest[..length].to_vec());
        archive = &rest[length.next_multiple_of(BLOCK)..];
    }
}

fn replay(name: &str, property: Property) {
    let all = corpus(name);
    assert!(!all.is_empty(), "{name} has no corpus");
    for (input, bytes) in all {
        // Shown if the property fails.
        println!("{name}: {input}");
        property(&bytes);
    }
}

#[test]
fn every_property_has_a_target_and_a_corpus() {
    let names = |paths: BTreeSet<PathBuf>| -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        paths.into_iter().filter_map(stem).collect()
    };
    let properties: BTreeSet<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(entries(&fuzz().join("fuzz_targets"))), properties);
    assert_eq!(names(entries(&fuzz().join("corpus"))), properties);
}

#[test]
fn all_that_was_found_worth_keeping_holds() {
    for &(name, property) in ALL {
        replay(name, property);
    }
}

/// Returns random bytes, half of them small: with large numbers, few choices make progress.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..600), vec(prop_oneof![0..32_u8, any::<u8>()], 0..600)]
}

/// Returns mostly requests, behind the few bytes that determine their cuts.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![4 => "[0-9]{1,2}\n", 1 => "[ \t+-]?[0-9x]{0,3} ?\r?\n"];
    (vec(any::<u8>(), 12), vec(line, 0..30), bytes())
        .prop_map(|(head, lines, tail)| [head, lines.concat().into_bytes(), tail].concat())
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    #[cfg(unix)]
    fn a_driver_stands_any_guest(bytes in bytes()) {
        sinbin_properties::contract(&bytes);
    }

    #[test]
    fn a_driven_loop_stands_any_driver(bytes in prop_oneof![bytes(), requests()]) {
        sinbin_properties::driven(&bytes);
    }

    #[test]
    fn what_goes_in_comes_out(bytes in bytes()) {
        sinbin_properties::echo(&bytes);
    }

    #[test]
    fn any_reads_are_the_requests_that_they_should_be(bytes in prop_oneof![bytes(), requests()]) {
        sinbin_properties::fib(&bytes);
    }

    #[test]
    fn what_is_forwarded_arrives(bytes in bytes()) {
        sinbin_properties::forwarding(&bytes);
    }

    #[test]
    fn any_bytes_are_a_job_or_none(bytes in vec(any::<u8>(), 0..48)) {
        sinbin_properties::job(&bytes);
    }

    #[test]
    fn a_kernel_does_what_its_model_does(bytes in bytes()) {
        sinbin_properties::kernel(&bytes);
    }

    #[test]
    fn loops_run_within_loops(bytes in bytes()) {
        sinbin_properties::nesting(&bytes);
    }

    #[test]
    fn every_client_is_answered(bytes in prop_oneof![bytes(), requests()]) {
        sinbin_properties::service(&bytes);
    }

    #[test]
    fn any_bytes_are_a_recording_up_to_some_point(bytes in bytes()) {
        sinbin_properties::recording(&bytes);
    }
}
