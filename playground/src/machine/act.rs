//! The visitor's actions.

use crate::link::{Deed, MAX_CLIENTS};
use crate::machine::Machine;

impl Machine<'_> {
    /// Carries out an action, and returns what it did.
    pub(super) fn act(&mut self, deed: Deed) -> String {
        match deed {
            Deed::Add(_) if self.clients.len() >= MAX_CLIENTS => {
                format!("You add no client: a run has at most {MAX_CLIENTS}")
            }
            Deed::Add(n) => {
                self.add_client(n);
                format!("You add client {}", self.clients.len())
            }
            Deed::Slow(number) => self.slow(number),
            Deed::Cut(number) => self.cut(number),
            Deed::Reset(number) => self.reset(number),
            Deed::Cancel(task) => {
                self.to_cancel.push(task);
                format!("You cancel {}", self.name(task))
            }
        }
    }

    fn slow(&mut self, number: usize) -> String {
        let Some(client) = self.client(number) else { return unknown(number) };
        client.is_slow = !client.is_slow;
        if client.is_slow {
            format!("You slow client {number} down: it reads 16 bytes at a time")
        } else {
            format!("You let client {number} be fast again")
        }
    }

    fn cut(&mut self, number: usize) -> String {
        let Some(client) = self.client(number) else { return unknown(number) };
        client.is_cut = !client.is_cut;
        if client.is_cut {
            return format!("You cut client {number} off: nothing arrives there or comes from there");
        }
        for event in std::mem::take(&mut client.held) {
            let delay = self.world.between(50, 400);
            self.schedule(delay, event);
        }
        format!("You connect client {number} to the network again")
    }

    fn reset(&mut self, number: usize) -> String {
        let Some(client) = self.client(number) else { return unknown(number) };
        if client.is_gone() {
            return format!("You reset nothing: client {number} has left");
        }
        client.reset();
        format!("You reset the connection of client {number}")
    }
}

fn unknown(number: usize) -> String {
    format!("You do nothing: client {number} does not exist")
}
