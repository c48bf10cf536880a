use std::process::{Command, Stdio};
use std::time::Duration;

use sinbin::process;
use sinbin::task::join;

use crate::run;

#[test]
fn output_and_status_of_a_child_are_returned() {
    run(async |handle| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let output = process::output(handle, &mut command, 100).await.expect("it runs");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    });
}

#[test]
fn a_child_is_talked_to_by_its_pipes() {
    run(async |handle| {
        let mut child =
            process::spawn(handle, Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()))
                .expect("it runs");
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        // More than a pipe takes: both directions have to work at once.
        let lots = vec![b'x'; 300_000];
        let write = async {
            stdin.write_all(&lots).await?;
            drop(stdin);
            Ok::<_, sinbin::task::Error>(())
        };
        let (written, read) = join(write, stdout.read_to_end(1 << 20)).await;
        assert_eq!((written, read.map(|bytes| bytes.len())), (Ok(()), Ok(300_000)));
        assert!(child.wait().await.expect("it ends").success());
        assert!(child.wait().await.expect("the status is kept").success());
    });
}

/// The end of one child does not depend on that of another, and a dropped wait loses nothing.
#[test]
fn ends_of_several_children_are_waited_for_at_once() {
    run(async |handle| {
        let child = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdin(Stdio::piped());
            process::spawn(handle, &mut command).expect("it runs")
        };
        let (mut waits, mut ends) = (child("read line; exit 1"), child("exit 2"));
        handle.timeout(Duration::from_millis(1), waits.wait()).await.expect_err("it waits for a line");
        assert_eq!(ends.wait().await.expect("it ends").code(), Some(2));
        assert!(waits.try_wait().expect("it runs").is_none());
        drop(waits.stdin.take());
        assert_eq!(waits.wait().await.expect("it ends").code(), Some(1));
    });
}

#[test]
fn a_child_can_be_killed_and_one_that_writes_too_much_is() {
    run(async |handle| {
        let mut child = process::spawn(handle, Command::new("sleep").arg("600")).expect("it runs");
        assert!(child.id() > 0);
        child.kill().expect("it runs");
        assert!(!child.wait().await.expect("it ends").success());
        let error = process::output(handle, &mut Command::new("yes"), 1000).await.expect_err("it never ends");
        assert!(error.to_string().contains("1000"), "{error}");
    });
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    run(async |handle| {
        let error = process::spawn(handle, &mut Command::new("/no/such/program")).expect_err("there is none");
        assert!(error.to_string().starts_with("run /no/such/program: "), "{error}");
    });
}

/// A child that is dropped before its end does not stay a zombie for longer than until the next one.
#[test]
#[cfg(target_os = "linux")]
fn a_child_that_is_dropped_leaves_no_zombie() {
    run(async |handle| {
        let child = process::spawn(handle, Command::new("sleep").arg("600")).expect("it runs");
        let id = child.id();
        drop(child);
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
        while std::path::Path::new(&format!("/proc/{id}")).exists() {
            drop(process::spawn(handle, &mut Command::new("true")).expect("it runs"));
        }
    });
}
