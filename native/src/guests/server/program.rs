//! Guests that are programs: what they print, and their end.

use std::io::{ErrorKind, Write};

use sinbin_core::Rest;

use crate::guests::server::GuestServer;
use crate::guests::settings::ProgramEnd;
use crate::guests::source_table::Role;
use crate::guests::{Guest, GuestFactory, caught_call};

/// The state of a server whose guest is a program.
#[derive(Default)]
pub(super) struct Program {
    /// The standard output of the program.
    pub(super) out: Option<Box<dyn Write>>,
    /// The reason why the program has ended, or is to end.
    pub(super) end: Option<ProgramEnd>,
}

impl<B: GuestFactory> GuestServer<B> {
    /// Sets the standard output of a guest that is a program. The loop's own thread writes to it, and waits for a reader
    /// that is slow. If it can't be written, the program is ended.
    pub fn print_to(&mut self, out: impl Write + 'static) {
        self.program.out = Some(Box::new(out));
    }

    /// Returns true if the guest is a program.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.is_program
    }

    /// Executes the command `print`.
    pub(super) fn print(&mut self, bytes: &[u8]) {
        let Some(out) = &mut self.program.out else { return self.ignore("prints, and has no output") };
        // Output that follows the first error would have a gap before it.
        if self.program.end.is_some() {
            return;
        }
        let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) else { return };
        self.program.end = Some(match error.kind() {
            ErrorKind::BrokenPipe => ProgramEnd::Unread,
            _ => {
                tracing::error!("cannot write the output of the guest: {error}");
                ProgramEnd::Unwritable
            }
        });
    }

    /// Returns true if the program has ended, and what it has sent before is sent.
    pub(super) fn is_program_over(&self, rest: Rest) -> bool {
        if self.program.end.is_some() || self.instance.is_none() {
            return true;
        }
        // Connections that the guest has not closed end with it.
        rest == Rest::Empty && self.input.is_empty() && self.places.of(&[Role::Closing]).is_empty()
    }

    /// Returns the reason why the program has ended.
    pub(super) fn program_end(&mut self) -> Option<ProgramEnd> {
        if !self.is_program || self.program.end.is_some() {
            return self.program.end;
        }
        let Some(instance) = &mut self.instance else { return Some(ProgramEnd::Cut) };
        Some(match caught_call(|| instance.exit_code()) {
            Ok(code) => ProgramEnd::Exited(code),
            Err(fault) => {
                tracing::error!("the guest failed when it was asked for its exit code: {fault}");
                ProgramEnd::Failed
            }
        })
    }
}
