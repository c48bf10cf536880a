//! A client of the chat.

use crate::{Client, Server};

/// A client that has given its name.
pub struct Chatter(Client);

impl Chatter {
    /// Connects a client for each name, one after the other. Each has heard of all that came after it.
    ///
    /// # Panics
    ///
    /// Panics if the server says something else than a chat does.
    #[must_use]
    pub fn meet(server: &Server, names: &[&str]) -> Vec<Self> {
        let mut met: Vec<Self> = Vec::new();
        for name in names {
            let mut client = server.client();
            assert_eq!(client.line(), "your name?");
            client.send(format!("{name}\n"));
            met.push(Self(client));
            let (_, before) = met.split_last_mut().expect("one is there");
            for other in before {
                assert_eq!(other.hears(), format!("{name} joins"));
            }
        }
        met
    }

    /// Sends a line.
    pub fn says(&mut self, line: &str) {
        self.0.send(format!("{line}\n"));
    }

    /// Receives the next line.
    #[must_use]
    pub fn hears(&mut self) -> String {
        self.0.line()
    }

    /// Ends the sending direction, and waits for the server to close the connection.
    ///
    /// # Panics
    ///
    /// Panics if something else is received.
    pub fn leaves(mut self) {
        self.0.end();
        assert_eq!(self.0.rest(), "");
    }
}
