//! Completions for shells and the manual page of a command, from the definition of its command line.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Command, Parser};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::output::line_or_end;

/// The arguments of the command that prints completions.
#[derive(Args)]
pub struct CompletionsArgs {
    /// Shell to print completions for. Its manual lists the directories of completions; bash, for example, reads
    /// ~/.local/share/bash-completion/completions/NAME.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of a command.
///
/// # Errors
///
/// Fails with an error of UTF-8 if the completions are not text, which does not happen.
pub fn completions<C: Parser>(args: &CompletionsArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut command = C::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print(script)
}

/// Prints the manual page of a command, with a section for each of its subcommands.
///
/// # Errors
///
/// Fails with an error of UTF-8 if the page is not text, which does not happen.
pub fn page<C: Parser>() -> Result<ExitCode, Box<dyn Error>> {
    let mut command = C::command();
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for subcommand in visible(&command) {
        sections(subcommand, &mut page)?;
    }
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    print(page)
}

/// Writes a section of the page for a command, or one for each of its subcommands.
fn sections(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    if command.has_subcommands() {
        return visible(command).try_for_each(|subcommand| sections(subcommand, page));
    }
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    // A section of a subcommand's own page becomes a subsection here.
    let text = String::from_utf8_lossy(&text).replace("\n.SH ", "\n.SS ");
    let text = text.strip_prefix(".SH ").map_or_else(|| text.clone(), |rest| format!(".SS {rest}"));
    let name = command.get_bin_name().unwrap_or(command.get_name());
    write!(page, ".SH \"{}\"\n{text}", name.to_uppercase())
}

/// Returns the subcommands that the help lists, without clap's own `help`.
fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set() && subcommand.get_name() != "help")
}

fn print(text: Vec<u8>) -> Result<ExitCode, Box<dyn Error>> {
    line_or_end(String::from_utf8(text)?.trim_end());
    Ok(ExitCode::SUCCESS)
}
