use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use console::style;

use super::suite::{Results, Verdict};

/// A table of the results for people: a row for each dialogue and a column for each host, followed by the failures and
/// the omissions. The table is coloured if stdout is a terminal.
pub struct Table<'a>(pub &'a Results);

/// Returns the heading of a column.
fn letter(index: usize) -> char {
    ('a'..='z').chain('A'..='Z').nth(index).unwrap_or('?')
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Results { hosts, dialogues } = self.0;
        let longest = hosts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (index, (name, about)) in hosts.iter().enumerate() {
            writeln!(f, "{} {name:longest$}  {}", style(letter(index)).bold(), style(about).dim())?;
        }
        writeln!(f)?;
        let longest = dialogues.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let heads: Vec<_> = (0..hosts.len()).map(|index| letter(index).to_string()).collect();
        writeln!(f, "{:longest$}  {}", "", style(heads.join(" ")).bold())?;
        for (name, verdicts) in dialogues {
            let marks: Vec<_> = verdicts.iter().map(mark).collect();
            writeln!(f, "{name:longest$}  {}", marks.join(" "))?;
        }
        self.left_out(f)?;
        self.failed(f)?;
        let [held, failed, left_out] = self.0.count();
        let (dialogues, hosts) = (dialogues.len(), hosts.len());
        writeln!(
            f,
            "\n{dialogues} dialogues, {hosts} hosts: {held} held, {failed} failed, {left_out} left out"
        )
    }
}

impl<'a> Table<'a> {
    fn left_out(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let reason = |verdict: &'a Verdict| match verdict {
            Verdict::LeftOut(reason) => Some(reason),
            _ => None,
        };
        self.reasons(f, &style("–").dim(), reason)
    }

    fn failed(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let reason = |verdict: &'a Verdict| match verdict {
            Verdict::Failed(what) => Some(what),
            _ => None,
        };
        self.reasons(f, &style("✗").red(), reason)
    }

    /// Prints the reasons with the hosts and dialogues that they concern.
    fn reasons(
        &self,
        f: &mut Formatter<'_>,
        mark: &dyn Display,
        reason: impl Fn(&'a Verdict) -> Option<&'a String>,
    ) -> fmt::Result {
        let mut reasons: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
        for (name, verdicts) in &self.0.dialogues {
            for (host, verdict) in verdicts.iter().enumerate() {
                if let Some(reason) = reason(verdict) {
                    reasons.entry((host, reason)).or_default().push(name);
                }
            }
        }
        if !reasons.is_empty() {
            writeln!(f)?;
        }
        for ((host, reason), names) in reasons {
            let names = if names.len() > 3 { format!("{} dialogues", names.len()) } else { names.join(", ") };
            writeln!(f, "{mark} {}: {names}: {reason}", self.0.hosts[host].0)?;
        }
        Ok(())
    }
}

fn mark(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Held => style("✓").green(),
        Verdict::Failed(_) => style("✗").red(),
        Verdict::LeftOut(_) => style("–").dim(),
    }
    .to_string()
}
