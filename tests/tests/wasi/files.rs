//! Stdin, environment variables and directories.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use sinbin_tests::{Running, by_shell};

use crate::{misuse, wasi};

/// Runs `cat` with this on its stdin.
fn cat(input: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command: Command = wasi("misuse", &[], &["cat"]);
    let ended = command.stdin(input).output().expect("the command");
    (ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
fn stdin_is_that_of_the_process() {
    let text = "hi\n".repeat(50_000);
    let path = format!("{}/wasi-stdin-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::write(&path, &text).expect("a file");
    assert_eq!(cat(fs::File::open(&path).expect("a file")), (Some(0), text.clone()));
    fs::remove_file(&path).ok();
    assert_eq!(cat(Stdio::null()), (Some(0), String::new()));
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let writes = std::thread::spawn(move || writer.write_all(text.as_bytes()).map(|()| text));
    let echoed = cat(reader);
    assert_eq!(echoed, (Some(0), writes.join().expect("the writer").expect("a reader")));
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    ours.write_all(b"hi\n").expect("capacity");
    drop(ours);
    assert_eq!(cat(std::os::fd::OwnedFd::from(theirs)), (Some(0), "hi\n".to_owned()));
}

#[test]
fn a_closed_stdin_is_an_empty_one() {
    let command = by_shell("exec <&-", &wasi("misuse", &[], &["cat"]));
    let ended = Running::start(command).wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
}

#[test]
fn only_variables_that_were_granted_are_seen() {
    let mut command =
        wasi("misuse", &["--env", "A=1", "--env", "GRANTED", "--env", "MISSING"], &["environment"]);
    command.env("GRANTED", "yes").env("SECRET", "no").env_remove("MISSING");
    let ended = Running::start(command).wait();
    assert_eq!(ended.stdout, "[(\"A\", \"1\"), (\"GRANTED\", \"yes\")]\n");
}

#[test]
fn only_directories_that_were_granted_are_seen() {
    let path = format!("{}/wasi-files-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::create_dir_all(&path).expect("a directory");
    fs::write(format!("{path}/hello"), "hello").expect("a file");
    let [read_only, whole] = [format!("{path}::data::ro"), format!("{path}::data")];
    let denied = misuse(&[], &["files"]);
    assert!(!denied.stdout.contains("Ok("), "{}", denied.stdout);
    let ended = misuse(&["--dir", &read_only], &["files"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(
        lines[0] == "Ok(\"hello\")" && lines[1].starts_with("Err(") && lines[2].starts_with("Err("),
        "{lines:?}"
    );
    assert_eq!(lines[3..], ["true", "true"]);
    let ended = misuse(&["--dir", &whole], &["files"]);
    assert_eq!(ended.stdout, "Ok(\"hello\")\nOk(())\nOk(\"written\")\ntrue\ntrue\n");
    assert_eq!(fs::read_to_string(format!("{path}/new")).expect("a file"), "written");
    let ended = misuse(&["--dir", "/no/such/directory"], &["files"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot open the directory /no/such/directory"), "{}", ended.stderr);
    fs::remove_dir_all(&path).ok();
}
