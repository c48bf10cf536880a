//! Tests of the spans of tasks: what is logged in a step belongs to the span of the task.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sinbin::task::Handle;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Logs before and after a wait in which other tasks run.
async fn greets(handle: Handle<'_>, whom: &'static str) {
    tracing::info!("hello {whom}");
    handle.sleep(Duration::from_millis(1)).await;
    tracing::info!("bye {whom}");
}

/// Returns what is logged at this level by a loop with two tasks.
fn logged(level: tracing::Level) -> String {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_span_events(FmtSpan::CLOSE);
    let _default = subscriber.with_writer(lines.clone()).finish().set_default();
    let main = async |handle: Handle<'_>| {
        let tasks = ["world", "moon"].map(|whom| handle.spawn(greets(handle, whom)).expect("there is room"));
        for mut task in tasks {
            task.join().await.expect("it ends");
        }
        tracing::info!("all have ended");
    };
    sinbin::run(main).expect("the loop does not stall");
    tracing::info!("outside");
    lines.text()
}

#[test]
fn each_line_is_in_the_span_of_its_task_and_in_no_other() {
    let text = logged(tracing::Level::TRACE);
    let line = |of: &str| text.lines().find(|line| line.ends_with(of)).expect("it is logged").to_owned();
    for whom in ["world", "moon"] {
        for said in ["hello", "bye"] {
            let line = line(&format!("{said} {whom}"));
            assert_eq!(line.matches("task{").count(), 1, "{line}");
            assert!(line.contains("name=\"spans::greets\"") && line.contains("spans.rs:"), "{line}");
        }
        let [first, second] = ["hello", "bye"].map(|said| line(&format!("{said} {whom}")));
        let id = |line: &str| {
            line.split_once("id=").and_then(|(_, rest)| rest.split(' ').next().map(str::to_owned))
        };
        assert_eq!(id(&first), id(&second));
    }
    assert_ne!(line("hello world").split("id=").nth(1), line("hello moon").split("id=").nth(1));
    let main = line("all have ended");
    assert!(main.contains("task{") && !main.contains("greets"), "{main}");
    assert!(!line("outside").contains("task{"));
    assert_eq!(
        text.lines().filter(|line| line.contains("greets") && line.contains(": close ")).count(),
        2,
        "{text}"
    );
}

#[test]
fn a_subscriber_that_does_not_ask_gets_no_spans() {
    let text = logged(tracing::Level::DEBUG);
    assert!(text.contains("hello world") && !text.contains("task{"), "{text}");
}
