//! The lines of a program, and the waits that are marked in them.

use crate::scenario::Scenario;

/// The beginning of a mark: `//@ FUNCTION.WAIT`.
const MARK: &str = " //@ ";

/// Returns the line as the page shows it.
pub(crate) fn without_mark(line: &'static str) -> &'static str {
    line.split_once(MARK).map_or(line, |(code, _)| code)
}

/// Returns the number of the line, from 0, at which a task of this function waits: the marked line, or the first line of
/// the function for a task that has not run yet, or whose wait has no mark.
pub(crate) fn line(scenario: Scenario, function: &str, wait: &str) -> Option<usize> {
    let key = format!("{function}.{wait}");
    let marked = |line: &str| line.split_once(MARK).is_some_and(|(_, mark)| mark == key);
    let head = format!("async fn {function}");
    let begins = |line: &str| {
        let rest = line.trim_start_matches("pub ").strip_prefix(head.as_str());
        rest.is_some_and(|rest| rest.starts_with(['(', '<']))
    };
    scenario.marked_code().position(marked).or_else(|| scenario.marked_code().position(begins))
}

#[cfg(test)]
mod tests {
    use super::{line, without_mark};
    use crate::scenario::Scenario;

    #[test]
    fn marks_are_found_and_not_shown() {
        let code: Vec<_> = Scenario::Deadlock.marked_code().map(without_mark).collect();
        let at = |wait| code[line(Scenario::Deadlock, "left", wait).expect("a line")].trim();
        assert_eq!(at("task:y"), "let _y = y.lock().await?;");
        assert_eq!(at("task:x"), "let _x = x.lock().await?;");
        assert!(at("start").starts_with("async fn left("));
        assert_eq!(line(Scenario::Deadlock, "up", "start"), None);
        for scenario in Scenario::ALL {
            assert!(scenario.describe().code.iter().all(|line| !line.contains("//@")));
        }
    }
}
