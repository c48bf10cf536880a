//! A chat: the first line of a client is its name, and each further line goes to all other clients.
//!
//! This file is compiled twice: natively, and as a guest for the sandbox. It needs a heap and no operating system.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use sinbin::sync::Channel;
use sinbin::task::{Conn, Either, Error, Handle, select};

/// The maximum length of a line.
const MAX_LINE: usize = 512;

/// The number of lines that wait for a client. A client that reads more slowly misses lines, and is told how many.
const MAX_WAITING: usize = 64;

/// The clients of a chat.
pub struct Chat<'d> {
    handle: Handle<'d>,
    members: RefCell<BTreeMap<u64, Rc<Member<'d>>>>,
    next: Cell<u64>,
}

struct Member<'d> {
    lines: Channel<'d, Rc<str>, MAX_WAITING>,
    missed: Cell<usize>,
}

impl<'d> Chat<'d> {
    /// Creates a chat without clients.
    pub const fn new(handle: Handle<'d>) -> Self {
        Self { handle, members: RefCell::new(BTreeMap::new()), next: Cell::new(0) }
    }

    /// Serves a client until it has sent its last line.
    pub async fn serve(&self, conn: Conn<'d>) -> Result<(), Error> {
        let mut lines = Lines::default();
        conn.send_all(b"your name?\n").await?;
        let Some(name) = lines.next(&conn).await? else { return Ok(()) };
        let member = Member { lines: Channel::new(self.handle), missed: Cell::new(0) };
        let member = Joined::new(self, Rc::new(member));
        self.say(member.id, &format!("{name} joins\n"));
        let ended = self.talk(&conn, &member, &name, &mut lines).await;
        self.say(member.id, &format!("{name} leaves\n"));
        ended
    }

    async fn talk(
        &self,
        conn: &Conn<'_>,
        Joined { id, member, .. }: &Joined<'_, 'd>,
        name: &str,
        lines: &mut Lines,
    ) -> Result<(), Error> {
        loop {
            match select(lines.next(conn), member.lines.recv()).await {
                Either::First(line) => match line? {
                    Some(line) => self.say(*id, &format!("{name}: {line}\n")),
                    None => return Ok(()),
                },
                Either::Second(line) => {
                    let Ok(line) = line else { return Ok(()) };
                    conn.send_all(line.as_bytes()).await?;
                    let missed = member.missed.take();
                    if missed > 0 {
                        conn.send_all(format!("({missed} lines missed)\n").as_bytes()).await?;
                    }
                }
            }
        }
    }

    /// Passes a line to all clients but one.
    fn say(&self, from: u64, line: &str) {
        let line: Rc<str> = line.into();
        for (_, member) in self.members.borrow().iter().filter(|(id, _)| **id != from) {
            if member.lines.try_send(Rc::clone(&line)).is_err() {
                member.missed.set(member.missed.get() + 1);
            }
        }
    }
}

/// A client that takes part, until this value is dropped.
struct Joined<'c, 'd> {
    chat: &'c Chat<'d>,
    id: u64,
    member: Rc<Member<'d>>,
}

impl<'c, 'd> Joined<'c, 'd> {
    fn new(chat: &'c Chat<'d>, member: Rc<Member<'d>>) -> Self {
        let id = chat.next.get();
        chat.next.set(id + 1);
        chat.members.borrow_mut().insert(id, Rc::clone(&member));
        Self { chat, id, member }
    }
}

impl Drop for Joined<'_, '_> {
    fn drop(&mut self) {
        self.chat.members.borrow_mut().remove(&self.id);
    }
}

/// The bytes of a client that are not a complete line yet.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Receives the next line. A line longer than the limit ends the stream of lines, as the end of the connection does.
    /// Dropping the future loses no bytes.
    async fn next(&mut self, conn: &Conn<'_>) -> Result<Option<String>, Error> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()));
            }
            if self.bytes.len() > MAX_LINE {
                conn.send_all(b"that line is too long\n").await?;
                return Ok(None);
            }
            if conn
                .recv_with(|bytes| {
                    self.bytes.extend_from_slice(bytes);
                    bytes.len()
                })
                .await?
                == 0
            {
                return Ok(None);
            }
        }
    }
}
