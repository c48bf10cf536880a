//! The loop.

use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use sinbin_core::peers::Peers;
use sinbin_core::{
    Acceptor, Executor, Host, Interest, IoError, Limits, Linger, Rest, Service, Slicer, SourceId, Task,
};

use crate::drain::Drain;
use crate::host::{Counts, Portable, PortableTask};
use crate::listener::Listener;
use crate::options::Options;
use crate::poller::{Key, List, Poller, Until, Watched};
use crate::sockets::Sockets;
use crate::stdin::Stdin;
use crate::{now, say};

/// The size of a block: what a connection reads at once, and the most that it keeps.
const BLOCK: usize = 16 * 1024;

/// Steps of tasks that go on at once, before the sources are looked at again.
const UNSEEN: usize = 64;

/// How a server ended.
pub(crate) enum Ended {
    /// All that was received is answered.
    Well,
    /// So many connections did not end in time.
    Cut(usize),
}

/// A service on sockets: one loop, without threads.
pub(crate) struct Server<S: Service> {
    executor: Executor<Portable<S>>,
    host: Portable<S>,
    poller: Poller,
    stdin: Option<Stdin>,
    slice: u32,
    drain: Drain,
    drain_timeout: Option<Duration>,
    cut: usize,
    /// Steps since the sources were last looked at.
    steps: usize,
}

impl<S: Service<Conn: Task<Portable<S>>>> Server<S> {
    /// Serves until stdin ends, if that is to be the end, or no listener and no connection is left.
    pub(crate) fn serve(service: S, options: &Options) -> Result<Ended, String> {
        let mut server = Self::new(service, options);
        for address in &options.listen {
            server.listen(*address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
        }
        let ended = server.run();
        // What is left, if anything, is stuck: to drop that would block. The host ends it with the guest.
        mem::forget(server);
        ended
    }

    fn new(service: S, options: &Options) -> Self {
        let tasks = options.max_connections + options.listen.len();
        let limits = Limits::new(tasks, options.max_buffered / BLOCK, BLOCK).with_jobs(options.max_jobs);
        let host = Portable {
            service,
            sockets: Sockets::default(),
            counts: Counts::default(),
            slicer: Slicer::new(&limits),
            open: 0,
            max_connections: options.max_connections,
            peers: Peers::new(options.max_per_peer),
            crowded: false,
            relieved: false,
            to_linger: Vec::new(),
            leaving: Vec::new(),
        };
        Self {
            executor: Executor::new(&limits),
            host,
            poller: Poller::default(),
            stdin: options.until_stdin_ends.then(Stdin::open),
            slice: options.slice,
            drain: Drain::Off,
            drain_timeout: options.drain_timeout,
            cut: 0,
            steps: 0,
        }
    }

    fn listen(&mut self, address: SocketAddr) -> Result<(), String> {
        let listener = Listener::bind(address).map_err(|error| error.name().to_owned())?;
        let bound = listener.address().map_err(|error| error.name().to_owned())?;
        let source = self.open().ok_or("there is no room for a listener")?;
        self.host.sockets.insert_listener(source, listener);
        self.spawn(PortableTask::Accept(Acceptor::new(source)));
        say(&format!("listening on {bound}"));
        Ok(())
    }

    fn run(&mut self) -> Result<Ended, String> {
        let mut has_looked = true;
        loop {
            self.steps += self.turn(has_looked);
            self.linger();
            self.relieve();
            self.slice();
            if let Drain::On(_) = self.drain {
                self.nudge();
            }
            // Tasks that go on at once need not pay for a look at the sources each.
            let goes_on = self.executor.kernel.has_ready() && self.steps < UNSEEN && self.drain == Drain::Off;
            has_looked = false;
            match self.executor.kernel.rest() {
                Rest::Empty if self.host.leaving.is_empty() || self.drain == Drain::Over => break,
                Rest::Stalled => return Err("all tasks wait, and nothing can wake them".to_owned()),
                _ if goes_on => continue,
                rest => has_looked = self.wait(rest),
            }
            self.advance_drain();
        }
        say(&self.host.counts.to_string());
        Ok(if self.cut == 0 { Ended::Well } else { Ended::Cut(self.cut) })
    }

    fn open(&mut self) -> Option<SourceId> {
        self.executor.kernel.open().ok()
    }

    fn spawn(&mut self, task: PortableTask<S>) -> bool {
        self.executor.spawn(task).is_ok()
    }

    /// Runs a turn, and returns how many steps it had.
    fn turn(&mut self, has_looked: bool) -> usize {
        if has_looked {
            self.executor.turn(now(), &mut self.host)
        } else {
            self.executor.turn_unseen(now(), &mut self.host)
        }
    }

    /// Waits for readiness as the kernel asks, and tells it what is there. Returns true if that was all.
    fn wait(&mut self, rest: Rest) -> bool {
        self.steps = 0;
        while let Some((source, interest)) = self.executor.kernel.next_change() {
            self.host.sockets.watch(source, interest);
        }
        let until = self.until(rest);
        let watched = InUse { host: &self.host, stdin: self.stdin.as_ref() };
        let (mut stdin, mut left) = (false, false);
        for key in self.poller.wait(&watched, self.executor.kernel.now(), until) {
            match *key {
                Key::Source(source, readiness) => self.executor.kernel.ready(source, readiness),
                Key::Stdin => stdin = true,
                Key::Left => left = true,
            }
        }
        if left {
            self.host.see_off();
        }
        if stdin {
            self.check_stdin();
        }
        self.poller.has_looked()
    }

    fn until(&self, rest: Rest) -> Until {
        let is_due =
            self.executor.kernel.has_due() || self.drain != Drain::Off && self.drain.deadline() <= now();
        match rest {
            _ if is_due => Until::Due,
            _ if !self.host.slicer.is_idle() => Until::Now,
            Rest::Until(deadline) => Until::At(deadline.min(self.drain.deadline())),
            Rest::Empty => Until::At(self.drain.deadline()),
            Rest::Ready | Rest::Stalled => Until::Now,
        }
    }

    fn close(&mut self, source: SourceId) {
        if self.executor.kernel.close(source) {
            self.host.close(source);
        }
    }

    /// What closed with something unread is read out, by a task of its own.
    fn linger(&mut self) {
        for (connection, peer) in mem::take(&mut self.host.to_linger) {
            let Some(source) = self.open() else {
                // Without a place for it, it goes as it is.
                self.host.leave(connection);
                continue;
            };
            self.host.sockets.insert(source, connection, true);
            self.host.peers.rename(source, peer);
            if !self.spawn(PortableTask::Linger(Linger::new(source, now()))) {
                self.close(source);
            }
        }
    }

    /// Acceptors that found no room look again when a connection has gone.
    fn relieve(&mut self) {
        let relieved = mem::take(&mut self.host.relieved);
        if !(self.host.crowded && relieved) {
            return;
        }
        self.host.crowded = false;
        for listener in self.host.sockets.listeners() {
            self.executor.kernel.ready(listener, Interest::HANGUP);
        }
    }

    fn slice(&mut self) {
        if let Some(job) = self.host.slicer.run(self.slice) {
            self.executor.kernel.job_done(job);
        }
    }

    /// Lets every connection that waits for requests look whether one is there, and end if there is none.
    fn nudge(&mut self) {
        for source in self.host.sockets.served() {
            self.executor.kernel.ready(source, Interest::RECV);
        }
    }

    fn check_stdin(&mut self) {
        if self.stdin.as_ref().is_some_and(Stdin::has_ended) {
            self.stdin = None;
            self.drain = Drain::begin(now());
        }
    }

    fn advance_drain(&mut self) {
        let seen = self.executor.kernel.seen();
        let Some(next) = self.drain.next(seen, now(), self.drain_timeout) else { return };
        self.drain = next;
        match next {
            Drain::Receiving(_) => self.close_listeners(),
            Drain::On(_) => self.host.sockets.drain(),
            Drain::Over => self.cut_off(),
            Drain::Off | Drain::Accepting(_) => {}
        }
    }

    fn close_listeners(&mut self) {
        for source in self.host.sockets.listeners().collect::<Vec<_>>() {
            self.accept_waiting(source);
            self.close(source);
        }
    }

    /// Takes the connections that wait in the backlog: what they have sent already was received.
    fn accept_waiting(&mut self, listener: SourceId) {
        while let Some(new) = self.open() {
            let accepted = self.host.accept(listener, new);
            if accepted.is_err() {
                self.executor.kernel.close(new);
            }
            match accepted {
                Ok(()) => {
                    let task = self.host.serve(listener, new);
                    if !self.spawn(task) {
                        self.close(new);
                    }
                }
                Err(IoError::Reset) => {}
                Err(_) => break,
            }
        }
    }

    fn cut_off(&mut self) {
        self.cut = self.host.sockets.served().count() + self.host.leaving.len();
        let tasks: Vec<_> = self.executor.kernel.tasks().map(|task| task.id).collect();
        for task in tasks {
            self.executor.kernel.cancel(task);
        }
    }
}

/// What the loop waits for.
struct InUse<'s, S: Service> {
    host: &'s Portable<S>,
    stdin: Option<&'s Stdin>,
}

impl<S: Service> Watched for InUse<'_, S> {
    fn gather_always<'a>(&'a self, list: &mut List<'a>) {
        list.push_some(self.stdin.map(|stdin| &stdin.readable), Key::Stdin);
        self.host.sockets.gather_listeners(list);
    }

    fn gather<'a>(&'a self, list: &mut List<'a>, from: usize, count: usize) -> Option<usize> {
        if from == 0 {
            for connection in &self.host.leaving {
                list.push_some(connection.writable(), Key::Left);
            }
        }
        self.host.sockets.gather(list, from, count)
    }
}
