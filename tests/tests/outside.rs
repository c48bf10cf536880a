//! Crates outside the workspace, made only from the docs: the README's service, and the guest of
//! `wasi-host/guest/README.md`.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use escargot::CargoBuild;
use sinbin_tests::{Server, exchange, guests, noise, sinbin_wasi, target_dir};

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
        let tutorial =
            fs::read_to_string(format!("{WORKSPACE}/docs/src/tutorial.md")).expect("there is a tutorial");
        assert_eq!(block(&tutorial, "toml"), manifest, "the tutorial begins with the same crate");
        let this = Self::new("service", manifest, "Cargo.lock");
        this.write("src/main.rs", &format!("#![forbid(unsafe_code)]\n\n{main}\n"));
        this
    }

    /// Creates the guest's crate from the README of the guests.
    fn of_guest() -> Self {
        let readme = fs::read_to_string(format!("{WORKSPACE}/wasi-host/guest/README.md"));
        let readme = readme.expect("the README of the guests exists");
        let (main, manifest) = (block(&readme, "rust"), block(&readme, "toml"));
        let page = fs::read_to_string(format!("{WORKSPACE}/docs/src/sandbox.md"));
        let page = page.expect("the page on the sandbox exists");
        let shown = (block(&page, "rust,ignore"), block(&page, "toml"));
        assert_eq!(shown, (main, manifest), "the page on the sandbox shows the same crate");
        let this = Self::new("guest", manifest, "wasi-host/guest/Cargo.lock");
        this.write("src/lib.rs", main);
        this
    }

    /// Creates a crate with this manifest, with dependencies on this working copy, and with the versions of a lock file.
    fn new(name: &str, manifest: &str, lock: &str) -> Self {
        let root = fs::canonicalize(WORKSPACE).expect("the workspace exists");
        let root = root.to_str().expect("the path is UTF-8");
        assert!(manifest.contains("path = \"../sinbin/"), "{manifest}");
        let manifest = manifest.replace("path = \"../sinbin/", &format!("path = \"{root}/"));

        let dir = std::env::temp_dir().join(format!("sinbin-outside-{name}-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        let this = Self(dir);
        fs::create_dir_all(this.0.join("src")).expect("a directory can be made");
        this.write("Cargo.toml", &manifest);
        // The locked versions are available offline, so nothing is downloaded.
        let lock = fs::read_to_string(format!("{WORKSPACE}/{lock}")).expect("the lock file exists");
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

    /// Builds the component in the way that the README of the guests describes, and returns its path. The build directory is kept
    /// beside that of the guests of this repository.
    fn build_guest(&self, name: &str) -> PathBuf {
        let target = guests().parent().expect("the guests are in the target directory").join("guest");
        build_for_wasm(&self.0, &target);
        target.join(format!("wasm32-wasip2/release/{name}.wasm"))
    }
}

/// Builds the crate in `directory` for wasm.
fn build_for_wasm(directory: &Path, target: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(directory).args(["build", "--release", "--target", "wasm32-wasip2", "--offline"]);
    let built =
        cargo.env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", target).output().expect("cargo can be run");
    assert!(built.status.success(), "the guest cannot be built: {}", String::from_utf8_lossy(&built.stderr));
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

#[test]
fn the_guests_readmes_crate_is_built_and_answers() {
    let guest = Crate::of_guest().build_guest("shout");
    let path = guest.to_str().expect("the path is UTF-8");
    let server = Server::announced(sinbin_wasi(&["run", path, "--listen", "127.0.0.1:0"]));
    assert_eq!(server.ask("hello\n"), "HELLO\n");
}
