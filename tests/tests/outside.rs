//! A crate outside the workspace, made only from the README: its first example, and its `Cargo.toml`.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use escargot::CargoBuild;
use sinbin_tests::{Server, exchange, noise, target_dir};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns the first code block of `language` in `text`.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let (_, block) = text.split_once(&format!("\n```{language}\n")).expect("the block exists");
    block.split_once("\n```\n").expect("it has an end").0
}

/// A directory outside of any workspace, which is removed when this is dropped.
struct Crate(PathBuf);

impl Crate {
    /// Creates the README's crate, without unsafe code, with a dependency on this working copy.
    fn of_readme() -> Self {
        let readme = fs::read_to_string(format!("{WORKSPACE}/README.md")).expect("the README exists");
        let (_, chapter) = readme.split_once("\n## Write a service\n").expect("the chapter exists");
        let (main, manifest) = (block(chapter, "rust,no_run"), block(chapter, "toml"));

        let native = fs::canonicalize(format!("{WORKSPACE}/native")).expect("it exists");
        let here = format!("path = {native:?}");
        assert!(manifest.contains("path = \"../sinbin/native\""), "{manifest}");
        let tutorial =
            fs::read_to_string(format!("{WORKSPACE}/docs/src/tutorial.md")).expect("there is a tutorial");
        assert_eq!(block(&tutorial, "toml"), manifest, "the tutorial begins with the same crate");
        let manifest = manifest.replace("path = \"../sinbin/native\"", &here);

        let dir = std::env::temp_dir().join(format!("sinbin-outside-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        let this = Self(dir);
        fs::create_dir_all(this.0.join("src")).expect("a directory can be made");
        this.write("Cargo.toml", &manifest);
        this.write("src/main.rs", &format!("#![forbid(unsafe_code)]\n\n{main}\n"));
        // The locked versions are available offline, so nothing is downloaded.
        let lock = fs::read_to_string(format!("{WORKSPACE}/Cargo.lock")).expect("the lock file exists");
        this.write("Cargo.lock", &lock);
        this
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("it can be written");
    }

    /// Builds the crate, and returns the command that runs it. The build directory is kept below the target directory
    /// of this test.
    fn build(&self) -> Command {
        let own = std::env::current_exe().expect("a test has a path");
        let (target, _) = target_dir(&own).expect("a test lies in cargo's target directory");
        let target = target.join("outside");
        let build = CargoBuild::new().manifest_path(self.0.join("Cargo.toml")).target_dir(target);
        match build.arg("--offline").run() {
            Ok(built) => built.command(),
            Err(error) => panic!("the README's crate cannot be built: {error}"),
        }
    }
}

impl Drop for Crate {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn the_readmes_crate_is_built_and_serves() {
    let server = Server::of(Crate::of_readme().build());
    let mut client = server.client();
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
    let bytes = noise(1 << 20);
    assert!(exchange(server.address(), &bytes) == bytes);
    client.end();
    assert_eq!(client.rest(), "");
}
