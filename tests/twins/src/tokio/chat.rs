//! The chat: `chat [ADDRESS]`. The first line of a client is its name, and each further line goes to all other clients.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::accept;
use crate::MainError;

/// The maximum length of a line.
const MAX_LINE: usize = 512;

/// The number of lines that wait for a client. A client that reads more slowly misses lines, and is told how many.
const MAX_WAITING: usize = 64;

/// The clients of a chat.
#[derive(Default)]
struct Chat {
    members: RefCell<BTreeMap<u64, Rc<Member>>>,
    next: Cell<u64>,
}

struct Member {
    lines: Sender<Rc<str>>,
    missed: Cell<usize>,
}

impl Chat {
    /// Serves a client until it has sent its last line.
    async fn serve(self: Rc<Self>, mut stream: TcpStream) -> io::Result<()> {
        let mut lines = Lines::default();
        stream.write_all(b"your name?\n").await?;
        let Some(name) = lines.next(&mut stream).await? else { return Ok(()) };
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let member = Joined::new(&self, Rc::new(Member { lines: sender, missed: Cell::new(0) }));
        self.say(member.id, &format!("{name} joins\n"));
        let ended = self.talk(&mut stream, &member, receiver, &name, &mut lines).await;
        self.say(member.id, &format!("{name} leaves\n"));
        ended
    }

    async fn talk(
        &self,
        stream: &mut TcpStream,
        Joined { id, member, .. }: &Joined<'_>,
        mut received: Receiver<Rc<str>>,
        name: &str,
        lines: &mut Lines,
    ) -> io::Result<()> {
        loop {
            select! {
                line = lines.next(stream) => match line? {
                    Some(line) => self.say(*id, &format!("{name}: {line}\n")),
                    None => return Ok(()),
                },
                Some(line) = received.recv() => {
                    stream.write_all(line.as_bytes()).await?;
                    let missed = member.missed.take();
                    if missed > 0 {
                        stream.write_all(format!("({missed} lines missed)\n").as_bytes()).await?;
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
struct Joined<'c> {
    chat: &'c Chat,
    id: u64,
    member: Rc<Member>,
}

impl<'c> Joined<'c> {
    fn new(chat: &'c Chat, member: Rc<Member>) -> Self {
        let id = chat.next.get();
        chat.next.set(id + 1);
        chat.members.borrow_mut().insert(id, Rc::clone(&member));
        Self { chat, id, member }
    }
}

impl Drop for Joined<'_> {
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
    async fn next(&mut self, stream: &mut TcpStream) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()));
            }
            if self.bytes.len() > MAX_LINE {
                stream.write_all(b"that line is too long\n").await?;
                return Ok(None);
            }
            if tokio::io::AsyncReadExt::read_buf(stream, &mut self.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let listener = accept::listen(arguments.first().map_or("127.0.0.1:25000", String::as_str)).await?;
    let chat = Rc::new(Chat::default());
    Ok(accept::serve(listener, |stream| Rc::clone(&chat).serve(stream)).await?)
}
