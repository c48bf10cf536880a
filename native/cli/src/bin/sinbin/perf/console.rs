//! Where the results of a measurement are shown, and how.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::rc::Rc;

use sinbin_cli::{complain, is_coloured, is_dumb, output};

use super::live::Screen;

/// The form of the results on stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// A table, with colours if the terminal has them.
    Terminal,
    /// Lines of text.
    Plain,
    /// A single JSON document.
    Json,
    /// A line for programs.
    Brief,
}

/// The output of a measurement.
pub(crate) struct Console {
    pub(crate) style: Style,
    /// The live line, if stderr is a terminal.
    pub(crate) screen: Option<Rc<Screen>>,
}

impl Console {
    /// Creates the output. `asked` is the form that the arguments demand, if any.
    pub(crate) fn new(asked: Option<Style>) -> Self {
        let is_terminal = io::stdout().is_terminal() && !is_dumb();
        let style = asked.unwrap_or(if is_terminal { Style::Terminal } else { Style::Plain });
        // Lines that are printed as they come need no live line beside them.
        let is_live = style != Style::Plain && io::stderr().is_terminal() && !is_dumb();
        Self { style, screen: is_live.then(|| Rc::new(Screen::stderr())) }
    }

    /// Returns true if lines are printed as they come.
    pub(crate) fn is_plain(&self) -> bool {
        self.style == Style::Plain
    }

    /// Returns true if the table on stdout has colours.
    pub(crate) fn is_coloured(&self) -> bool {
        is_coloured(&io::stdout())
    }

    /// Removes the live line. Call this when everything is measured.
    pub(crate) fn end_live(&self) {
        if let Some(screen) = &self.screen {
            screen.end();
        }
    }

    /// Prints a line to stdout. Ends the process if it can't be written.
    pub(crate) fn line(&self, text: impl Display) {
        self.aside(|| output::line_or_end(text));
    }

    /// Prints a message to stderr.
    pub(crate) fn note(&self, text: impl Display) {
        self.aside(|| complain(text));
    }

    fn aside(&self, print: impl FnOnce()) {
        match &self.screen {
            Some(screen) => screen.aside(print),
            None => print(),
        }
    }
}
