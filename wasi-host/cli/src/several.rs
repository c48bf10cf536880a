//! The command line of several guests: each `--and` begins the file and the options of another one.

use std::ffi::OsString;

use clap::Parser;
use sinbin_cli::arguments::parse;

use crate::cli::{RunArgs, refuse};

/// The word between the guests.
const AND: &str = "--and";

/// The maximum number of guests of a process. Each has a thread.
const MOST: usize = 64;

/// A guest with its own file and options, and its name, which no other guest of the process has.
pub(crate) struct NamedGuest {
    pub(crate) args: RunArgs,
    pub(crate) name: String,
    /// True if the stdin of the process is that of the guest.
    pub(crate) has_stdin: bool,
}

/// The arguments of a guest after the first.
#[derive(Parser)]
#[command(name = "sinbin-wasi run … --and", disable_version_flag = true)]
struct Further {
    #[command(flatten)]
    run: RunArgs,
}

/// Splits the arguments of the process into those up to the first `--and`, and those after each `--and`.
pub(crate) fn split(arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<Vec<OsString>>) {
    let (mut own, mut further) = (Vec::new(), Vec::<Vec<_>>::new());
    for argument in arguments {
        let joined = argument.to_str().and_then(|text| text.strip_prefix(AND)?.strip_prefix('='));
        if argument == AND {
            further.push(vec![AND.into()]);
        } else if let Some(guest) = joined {
            further.push(vec![AND.into(), guest.into()]);
        } else {
            further.last_mut().unwrap_or(&mut own).push(argument);
        }
    }
    (own, further)
}

/// Parses the arguments of the guests after the first, and names all of them. Ends the process if any of it is wrong.
pub(crate) fn guests(first: RunArgs, further: Vec<Vec<OsString>>) -> Vec<NamedGuest> {
    let further = further.into_iter().map(|arguments| parse::<Further>(arguments).run);
    let all: Vec<_> = std::iter::once(first).chain(further).collect();
    if all.len() > MOST {
        refuse(&format!("a process can run {MOST} guests, and these are {}", all.len()));
    }
    let mut guests = Vec::<NamedGuest>::new();
    for args in all {
        let is_taken = |name: &String| guests.iter().any(|other| other.name == *name);
        let name = match &args.name {
            Some(name) if is_taken(name) => refuse(&format!("two guests have the name {name:?}")),
            Some(name) => name.clone(),
            None => free(&args.file_name(), is_taken),
        };
        let has_stdin = args.raw_arguments && !guests.iter().any(|other| other.has_stdin);
        guests.push(NamedGuest { args, name, has_stdin });
    }
    guests
}

/// Returns the name, with a number if it is taken.
fn free(name: &str, is_taken: impl Fn(&String) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{free, split};

    #[test]
    fn the_arguments_of_each_guest_are_split() {
        let split = |text: &str| split(text.split(' ').map(OsString::from));
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(split("x run a --listen 0"), (words("x run a --listen 0"), vec![]));
        assert_eq!(
            split("x run a -- b --and c --and d --listen 0"),
            (words("x run a -- b"), vec![words("--and c"), words("--and d --listen 0")])
        );
        assert_eq!(split("x --and"), (words("x"), vec![words("--and")]));
        assert_eq!(split("x --and=y z"), (words("x"), vec![words("--and y z")]));
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let taken = ["fib", "fib-2"];
        let is_taken = |name: &String| taken.contains(&name.as_str());
        assert_eq!(free("echo", is_taken), "echo");
        assert_eq!(free("fib", is_taken), "fib-3");
    }
}
