//! Plays the dialogues of `tests/dialogues` with every host, and prints a table of the results.

#[cfg(unix)]
mod choice;
#[cfg(unix)]
mod cli;
#[cfg(unix)]
#[path = "../shared/output.rs"]
mod output;

#[cfg(not(unix))]
fn main() {
    eprintln!("dialogues: this needs unix");
    std::process::exit(2);
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(unix)]
mod unix {
    use std::fmt::Write as _;
    use std::io::{Write as _, stderr};
    use std::panic;
    use std::process::ExitCode;

    use clap::Parser;
    use indicatif::{ProgressBar, ProgressStyle};
    use signal_hook::low_level::signal_name;
    use sinbin_tests::dialogue::{Dialogue, Host, Table, hold_all};
    use sinbin_tests::end_on_signal;

    use crate::choice;
    use crate::cli::Cli;
    use crate::output::say;

    pub(super) fn main() -> ExitCode {
        let cli = Cli::parse();
        match go(&cli) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(message) => {
                tell(&message);
                ExitCode::from(2)
            }
        }
    }

    /// Prints a message to stderr, which may be closed.
    fn tell(message: &str) {
        writeln!(stderr(), "dialogues: {message}").ok();
    }

    /// Returns true if every dialogue passed. Errors are mistakes of the user.
    fn go(cli: &Cli) -> Result<bool, String> {
        let dialogues = choice::dialogues(cli)?;
        let hosts = choice::hosts(cli)?;
        if cli.list {
            say("dialogues", &list(&hosts, &dialogues));
            return Ok(true);
        }
        let bar = bar((hosts.len() * dialogues.len()) as u64)?;
        let drawn = bar.clone();
        let ended = move |signal| {
            drawn.finish_and_clear();
            let name = signal_name(signal).unwrap_or("a signal");
            tell(&format!("{name} ended it, and the hosts that it had started"));
        };
        end_on_signal(ended).map_err(|error| format!("cannot wait for signals: {error}"))?;
        // Panics while a host is opened are reported in the table.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let mut current = String::new();
        let results = hold_all(&hosts, &dialogues, |host, dialogue| {
            bar.inc(1);
            bar.set_message(format!("{host}: {dialogue}"));
            // With a hidden bar, as in a log, a line for each host shows the progress.
            if bar.is_hidden() && host != current {
                host.clone_into(&mut current);
                writeln!(stderr(), "{host} ({:.0?})", bar.elapsed()).ok();
            }
        });
        panic::set_hook(hook);
        bar.finish_and_clear();
        say("dialogues", &Table(&results).to_string());
        Ok(results.is_good())
    }

    fn bar(len: u64) -> Result<ProgressBar, String> {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
        Ok(ProgressBar::new(len).with_style(style.map_err(|error| error.to_string())?))
    }

    fn list(hosts: &[Box<dyn Host>], dialogues: &[Dialogue]) -> String {
        let mut text = "Hosts:\n".to_owned();
        for host in hosts {
            writeln!(text, "  {:20} {}", host.name(), host.about()).ok();
        }
        text.push_str("Dialogues:\n");
        for dialogue in dialogues {
            writeln!(text, "  {:40} {}", dialogue.name, dialogue.shows).ok();
        }
        text
    }
}
