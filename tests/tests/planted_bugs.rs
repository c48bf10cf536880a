//! Bugs that are planted into copies of the core, one at a time. The simulator finds each within 1,000 seeds, without
//! the help of the core's own assertions.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of seeds within which each bug must be found.
const SEEDS: &str = "1000";

/// A bug: a text that occurs once in a file of the core, and its replacement.
struct Planted {
    name: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
}

const BUGS: [Planted; 48] = [
    Planted {
        name: "a timeout that is forgotten",
        file: "protocols/fib_service.rs",
        right: "let deadline = self.deadline(op, cx);",
        wrong: "let deadline = crate::time::Instant::NEVER;",
    },
    Planted {
        name: "a last answer that is not the last",
        file: "protocols/fib_service.rs",
        right: "            Stop::Last => Ok(Step::Done),",
        wrong: "            Stop::Last if self.ended => Ok(Step::Done),\n            \
                Stop::Last => Err((Op::Recv, IoError::WouldBlock)),",
    },
    Planted {
        name: "a lost wake-up: the interest in receiving is not reported if the source is watched already",
        file: "kernel/wait_tables.rs",
        right: "if !slot.is_watched(table) {",
        wrong: "if !slot.is_watched(table) && (table as usize != 0 || slot.watched.is_empty()) {",
    },
    Planted {
        name: "a lost wake-up: the interest in sending is not reported if the source is watched already",
        file: "kernel/wait_tables.rs",
        right: "if !slot.is_watched(table) {",
        wrong: "if slot.watched.is_empty() {",
    },
    Planted {
        name: "a lost wake-up: if both directions are ready at once, only one is reported",
        file: "kernel.rs",
        right: "if readiness.contains(Interest::SEND) && !self.wake_waiter(send",
        wrong: "if readiness == Interest::SEND && !self.wake_waiter(send",
    },
    Planted {
        name: "a lost wake-up: only of tasks whose deadline is half a second to a second away, such as lingering ones",
        file: "kernel.rs",
        right: "        if task != NONE {\n",
        wrong: "        let left = self.tasks.entries().get(task as usize).map(|task| {\n            \
                task.value.deadline.as_nanos().saturating_sub(self.now.as_nanos())\n        });\n        \
                let is_late = |left| left < 500_000_000 || left > 1_000_000_000;\n        \
                if task != NONE && (wake_reason != WakeReason::Ready || left.is_none_or(is_late)) {\n",
    },
    Planted {
        name: "a false wake-up: bytes that no task waits for wake a task that waits to send",
        file: "kernel.rs",
        right: "if readiness.contains(Interest::RECV) && !self.wake_waiter(recv, WakeReason::Ready) {",
        wrong: "if readiness.contains(Interest::RECV)\n            && !self.wake_waiter(recv, WakeReason::Ready)\n            \
                && !self.wake_waiter(send, WakeReason::Ready)\n        {",
    },
    Planted {
        name: "a false wake-up: an early timer, whose deadline has moved, ends the wait as if the source were ready",
        file: "kernel.rs",
        right: "            self.timers.postpone_first(current, &mut self.tasks);",
        wrong: "            self.timers.remove_first(&mut self.tasks);\n            \
                self.end_wait(first.task, WakeReason::Ready);",
    },
    Planted {
        name: "a false wake-up: an early timer ends the wait as if another task waited for the same source",
        file: "kernel.rs",
        right: "            self.timers.postpone_first(current, &mut self.tasks);",
        wrong: "            self.timers.remove_first(&mut self.tasks);\n            \
                self.end_wait(first.task, WakeReason::Busy);",
    },
    Planted {
        name: "a false wake-up: readiness of both directions counts as a hangup",
        file: "kernel.rs",
        right: "if readiness.contains(Interest::HANGUP) {",
        wrong: "if readiness.contains(Interest::HANGUP) || readiness == Interest::RECV | Interest::SEND {",
    },
    Planted {
        name: "a false wake-up: naming a task wakes the next one as well",
        file: "kernel.rs",
        right: "            self.end_wait(task.index, WakeReason::Named);",
        wrong: "            self.end_wait(task.index, WakeReason::Named);\n            \
                let next = self.tasks.entries().get(task.index as usize + 1);\n            \
                if next.is_some_and(|next| next.is_live() && next.value.state == TaskState::Waiting) {\n                \
                self.end_wait(task.index + 1, WakeReason::Named);\n            }",
    },
    Planted {
        name: "a doubled wake-up: a task that is woken stays in the wait tables",
        file: "kernel.rs",
        right: "        self.leave_all(index);\n        self.make_ready(index, wake_reason);\n        self.beacon",
        wrong: "        self.make_ready(index, wake_reason);\n        self.beacon",
    },
    Planted {
        name: "a doubled wake-up: the end of a job that no task waits for yet queues a task again",
        file: "kernel.rs",
        right: "            slot.done = true;",
        wrong: "            slot.done = true;\n            if slot.waiter == NONE && self.ready.len > 0 {\n                \
                let last = self.ready.tail;\n                self.ready.push(&mut self.tasks, last);\n            }",
    },
    Planted {
        name: "a stale id: generations are not compared",
        file: "kernel/slab.rs",
        right: "self.is_live() && self.generation == generation",
        wrong: "self.is_live() && (generation & 1 == 1 || self.generation == generation)",
    },
    Planted {
        name: "a leak on cancel: the task runs, and stays in the wait tables",
        file: "kernel.rs",
        right: "TaskState::Waiting => self.end_wait(task.index, WakeReason::Cancelled),",
        wrong: "TaskState::Waiting => self.make_ready(task.index, WakeReason::Cancelled),",
    },
    Planted {
        name: "a leak on cancel: the job is not cancelled",
        file: "protocols/fib_service.rs",
        right: "if let Work::Job(job) = self.work.work() {\n            cx.cancel_job(job);",
        wrong: "if let Work::Job(job) = self.work.work() {\n            let _ = job;",
    },
    Planted {
        name: "a leak at the end: buffered bytes are not returned",
        file: "protocols/fib_service.rs",
        right: "        self.held.clear(cx.buffers);\n",
        wrong: "",
    },
    Planted {
        name: "a lost last answer: connections do not linger",
        file: "serve/linger.rs",
        right: "Ok(_) | Err(IoError::WouldBlock) => Step::Wait(Wait::recv(self.source).until(self.until)),",
        wrong: "Ok(_) | Err(IoError::WouldBlock) => Step::Done,",
    },
    Planted {
        name: "a lost last answer: a lingering task ends after the first bytes",
        file: "serve/linger.rs",
        right: "            Ok(0) => Step::Done,",
        wrong: "            Ok(_) => Step::Done,",
    },
    Planted {
        name: "an unfair queue: the last task is next",
        file: "kernel/queue.rs",
        right: "        self.tail = index;\n        self.len += 1;",
        wrong: "        if self.len == 0 {\n            self.tail = index;\n        } else {\n            \
                self.head = index;\n        }\n        self.len += 1;",
    },
    Planted {
        name: "an unfair queue: a task that yields is next again",
        file: "kernel.rs",
        right: "            self.ready.rotate(head, entry.link);",
        wrong: "            let _ = entry.link;",
    },
    Planted {
        name: "an off-by-one in a deadline: it ends a nanosecond late",
        file: "kernel.rs",
        right: "} else if first.at > self.seen {",
        wrong: "} else if first.at >= self.seen {",
    },
    Planted {
        name: "an off-by-one in a deadline: it ends a nanosecond early",
        file: "kernel.rs",
        right: "} else if first.at > self.seen {",
        wrong: "} else if first.at > self.seen + core::time::Duration::from_nanos(1) {",
    },
    Planted {
        name: "unseen time: a deadline passes as soon as the clock says so",
        file: "kernel.rs",
        right: "} else if first.at > self.seen {",
        wrong: "} else if first.at > self.now {",
    },
    Planted {
        name: "unseen time: a turn without a poll counts as one with a poll",
        file: "exec/executor.rs",
        right: "        self.kernel.advance_unpolled(now);",
        wrong: "        self.kernel.advance(now);",
    },
    Planted {
        name: "unseen time: a poll that is still to come counts",
        file: "kernel.rs",
        right: "        self.seen = self.looked;",
        wrong: "        self.seen = now;",
    },
    Planted {
        name: "the host waits for a deadline that has passed",
        file: "kernel.rs",
        right: "        } else if self.has_due() {",
        wrong: "        } else if false {",
    },
    Planted {
        name: "a span that is too short: it counts from the beginning of the turn",
        file: "exec/context.rs",
        right: "|span| self.clock() + span",
        wrong: "|span| self.now() + span",
    },
    Planted {
        name: "a span that is too short: that of an async fn counts from the beginning of the turn",
        file: "task/host.rs",
        right: "        Cx::clock(self)",
        wrong: "        Cx::now(self)",
    },
    Planted {
        name: "a listener that found no room is not woken when a connection has gone",
        file: "serve/admission.rs",
        right: "{ mem::take(&mut self.crowded) }",
        wrong: "{ List::new() }",
    },
    Planted {
        name: "a turn after a look at some of the sources ends deadlines",
        file: "serve/turn.rs",
        right: "Polled::Part => executor.turn_unpolled(now(host), host),",
        wrong: "Polled::Part => executor.turn(now(host), host),",
    },
    Planted {
        name: "a turn without a look at the sources ends deadlines",
        file: "serve/turn.rs",
        right: "Polled::None => executor.turn_unpolled(executor.kernel.now(), host),",
        wrong: "Polled::None => executor.turn(now(host), host),",
    },
    Planted {
        name: "tasks that wake each other keep the loop from its sources",
        file: "serve/engine.rs",
        right: "&& self.steps < STEPS_PER_POLL && ",
        wrong: "&& ",
    },
    Planted {
        name: "a loop that is to stop refuses the connections of its backlog",
        file: "serve/engine.rs",
        right: "            self.accept_waiting(listener);\n",
        wrong: "",
    },
    Planted {
        name: "a drain that wakes no connection",
        file: "serve/engine.rs",
        right: "        if self.drain.ends_connections() {\n            self.nudge();",
        wrong: "        if false {\n            self.nudge();",
    },
    Planted {
        name: "a drain that begins before the system has told what came in",
        file: "serve/engine.rs",
        right: "Drain::Receiving(at) if seen >= at =>",
        wrong: "Drain::Receiving(_) =>",
    },
    Planted {
        name: "a drain that forgets the connections that linger",
        file: "serve/engine.rs",
        right: "        if unread.is_empty() {",
        wrong: "        if unread.is_empty() || self.drain.ends_connections() {",
    },
    Planted {
        name: "a drain whose deadline never comes",
        file: "serve/engine.rs",
        right: "Drain::Ending(at) if seen >= at => self.cut_off(),",
        wrong: "Drain::Ending(at) if seen >= at && at == Instant::NEVER => self.cut_off(),",
    },
    Planted {
        name: "a drain whose deadline comes before the sources are looked at",
        file: "serve/engine.rs",
        right: "Drain::Ending(at) if seen >= at => self.cut_off(),",
        wrong: "Drain::Ending(at) if self.platform.now() >= at => self.cut_off(),",
    },
    Planted {
        name: "a drain whose deadline is slept through",
        file: "serve/engine.rs",
        right: "deadline.min(end).min(",
        wrong: "deadline.min(",
    },
    Planted {
        name: "a loop that ends before all is sent",
        file: "serve/engine.rs",
        right: "Rest::Empty if self.platform.leaving() == 0 || self.is_cutting() =>",
        wrong: "Rest::Empty =>",
    },
    Planted {
        name: "a loop that is over cancels no task",
        file: "serve/engine.rs",
        right: "            self.executor.kernel.cancel_all();\n",
        wrong: "",
    },
    Planted {
        name: "lost bytes: what a copy could not send at once is dropped",
        file: "task/conn/copy.rs",
        right: "            *rest = Kept::new(to.handle, forwarded.rest, forwarded.is_cut);",
        wrong: "            drop(Kept::new(to.handle, forwarded.rest, forwarded.is_cut));",
    },
    Planted {
        name: "doubled bytes: what a copy has sent of the rest is sent again",
        file: "task/conn/copy.rs",
        right: "                rest.consume(sent);",
        wrong: "                rest.consume(sent - sent / 2);",
    },
    Planted {
        name: "a half-close that is not passed on",
        file: "task/conn/copy.rs",
        right: "            self.copying.to.shutdown()?;\n",
        wrong: "",
    },
    Planted {
        name: "a half-close that ends both directions",
        file: "task/conn/copy.rs",
        right: "            _ => Poll::Pending,\n        }",
        wrong: "            (Poll::Pending, Poll::Pending) => Poll::Pending,\n            _ => Poll::Ready(Ok((0, 0))),\n        }",
    },
    Planted {
        name: "an attempt to connect whose failure counts as a connection",
        file: "task/conn.rs",
        right: "                outcome => return Ok(outcome.map(|()| conn)),",
        wrong: "                _ => return Ok(Ok(conn)),",
    },
    Planted {
        name: "an attempt to connect that is tried again at once instead of waited for",
        file: "task/conn.rs",
        right: "            conn.writable().await?;\n            match self.run_context().with(|ops| ops.connected",
        wrong: "            self.yield_now().await;\n            match self.run_context().with(|ops| ops.connected",
    },
];

#[test]
fn the_simulator_finds_every_planted_bug() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository");
    let copy = Copy::new(root);
    let told = copy.run();
    assert!(told.starts_with("1000 seeds went well"), "without a bug: {told}");
    let mut missed = Vec::new();
    for bug in &BUGS {
        copy.plant(root, bug);
        let told = copy.run();
        println!("{}:\n    {told}", bug.name);
        if !told.starts_with("seed ") {
            missed.push(bug.name);
        }
        copy.repair(root, bug);
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:#?}");
}

/// The packages that the simulator needs.
const PACKAGES: [&str; 3] = ["core", "tests/simulator", "tests/testkit"];

/// The sources outside of these packages that the simulator contains.
const SOURCES: [&str; 1] = ["wasi-host/guest/forward/src"];

/// A copy of [`PACKAGES`] and [`SOURCES`].
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new(from: &Path) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
        for part in PACKAGES.iter().chain(&SOURCES) {
            // Files that were moved must not exist twice.
            fs::remove_dir_all(root.join(part)).ok();
            copy_all(&from.join(part), &root.join(part));
        }
        let manifest = fs::read_to_string(from.join("Cargo.toml")).expect("the workspace has a manifest");
        let is_kept = |line: &&str| !line.starts_with("default-members") && !line.starts_with("exclude");
        let lines = manifest.lines().filter(is_kept).map(|line| match line.starts_with("members = ") {
            true => format!("members = {PACKAGES:?}"),
            false => line.to_owned(),
        });
        let manifest: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
        fs::write(root.join("Cargo.toml"), manifest).expect("the copy has a manifest");
        fs::copy(from.join("Cargo.lock"), root.join("Cargo.lock"))
            .expect("the copy has the same dependencies");
        Self { root }
    }

    fn plant(&self, from: &Path, bug: &Planted) {
        let right = fs::read_to_string(source(from, bug)).expect("the file exists");
        assert_eq!(right.matches(bug.right).count(), 1, "{}: the text to replace occurs once", bug.name);
        fs::write(source(&self.root, bug), right.replace(bug.right, bug.wrong)).expect("it can be written");
    }

    fn repair(&self, from: &Path, bug: &Planted) {
        fs::copy(source(from, bug), source(&self.root, bug)).expect("it can be written");
    }

    /// Runs the seeds, and returns the first line of the output.
    fn run(&self) -> String {
        let output = Command::new(env!("CARGO"))
            .args([
                "run",
                "--quiet",
                "--offline",
                "--package",
                "sinbin-simulator",
                "--example",
                "seeds",
                SEEDS,
            ])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            // A build after a change of one line takes a twentieth of the time then.
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .output()
            .expect("cargo exists");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(!told.is_empty(), "the simulator does not run: {}", String::from_utf8_lossy(&output.stderr));
        told.lines().next().unwrap_or_default().to_owned()
    }
}

fn source(root: &Path, bug: &Planted) -> PathBuf {
    root.join("core/src").join(bug.file)
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory of the repository") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}
