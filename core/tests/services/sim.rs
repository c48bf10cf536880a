//! A server with its clients, round by round.

use std::collections::BTreeMap;
use std::time::Duration;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Acceptor, Executor, Instant, Interest, Kernel, Rest, SourceId, Storage, TaskId, What};

use crate::check::{held_back, owed, walk};
use crate::client::{Client, Leaves};
use crate::luck::Luck;
use crate::net::{Conn, Net, Peer, Serve};
use crate::pool::{News, Pool};

/// After so many rounds, friendly ones in the end, everything should be over.
const MANY_ROUNDS: usize = 4000;

/// How long a round takes.
pub const ROUND: Duration = Duration::from_millis(10);

pub struct Sim<S: Storage> {
    pub executor: Executor<Net<S>>,
    pub net: Net<S>,
    pub clients: Vec<Client>,
    pub now: Instant,
    /// Threads may fail, and there may be too few places for jobs: an error is as good an answer then.
    pub jobs_may_fail: bool,
    /// Whether anybody computes.
    pub works: bool,
    /// Readiness is false, tasks are named and cancelled, for nothing.
    pub mischief: bool,
    acceptor: TaskId,
    watched: BTreeMap<SourceId, Interest>,
    storage: S,
    pub rounds: usize,
}

impl<S: Storage> Sim<S> {
    pub fn new(storage: &S, serve: Serve, fib: Fib, tape: &[u8]) -> Self {
        let mut executor = Executor::new(storage);
        let listener = executor.kernel.open().expect("there is room for a listener");
        let acceptor = Conn::Acceptor(Acceptor::new(listener));
        let acceptor = executor.spawn(acceptor).unwrap_or_else(|_| panic!("there is room for an acceptor"));
        let net = Net {
            serve,
            fib,
            echo: Echo { idle_timeout: fib.idle_timeout },
            upper: Upper { idle_timeout: fib.idle_timeout },
            luck: Luck::new(tape),
            listener: Some(listener),
            backlog: [].into(),
            peers: Vec::new(),
            sources: BTreeMap::new(),
            pool: Pool::slices(storage),
            old_jobs: Vec::new(),
            empty_sends: 0,
            stopping: false,
        };
        Self {
            executor,
            net,
            clients: Vec::new(),
            now: Instant::ZERO,
            jobs_may_fail: false,
            works: true,
            mischief: false,
            acceptor,
            watched: BTreeMap::new(),
            storage: storage.clone(),
            rounds: 0,
        }
    }

    /// A client that will connect. Returns its number.
    pub fn client(&mut self, script: &[u8], leaves: Leaves, room: usize) -> usize {
        self.clients.push(Client::new(script, leaves));
        self.net.peers.push(Peer::new(room));
        self.clients.len() - 1
    }

    /// Everybody does something, once.
    pub fn round(&mut self) {
        self.rounds += 1;
        for number in 0..self.clients.len() {
            self.act(number);
        }
        self.turn();
        self.work();
        self.poll();
        if self.mischief {
            self.do_mischief();
        }
        self.now = self.now + ROUND;
    }

    pub fn rounds(&mut self, count: usize) {
        (0..count).for_each(|_| self.round());
    }

    /// Until all clients have left.
    pub fn run(&mut self) {
        while !self.is_over() {
            self.round();
            assert!(self.rounds < MANY_ROUNDS, "stuck:\n{}", self.describe());
        }
    }

    pub fn is_over(&self) -> bool {
        self.clients.iter().zip(&self.net.peers).all(|(client, peer)| client.is_over(peer))
    }

    fn act(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if !client.connected {
            if !self.net.luck.strikes(3) {
                client.connected = true;
                self.net.backlog.push_back(number);
            }
            return;
        }
        let owed = owed(&self.net, &self.net.peers[number], self.jobs_may_fail);
        let is_answered = walk(&owed, &client.got) == Ok(owed.len());
        client.act(&mut self.net.peers[number], &mut self.net.luck, is_answered);
    }

    fn turn(&mut self) {
        let tasks = self.executor.kernel.count();
        let steps = self.executor.turn(self.now, &mut self.net);
        assert!(steps <= tasks, "a turn is one step of each task at most");
        assert_eq!(self.executor.kernel.audit(), Ok(()));
        assert_ne!(self.executor.kernel.rest(), Rest::Stalled, "{}", self.describe());
        for number in 0..self.clients.len() {
            self.check(number);
        }
    }

    fn work(&mut self) {
        if !self.works {
            return;
        }
        match self.net.pool.work(&mut self.net.luck, self.jobs_may_fail) {
            Some(News::Done(job)) => self.executor.kernel.job_done(job),
            Some(News::Lost(job)) => {
                assert!(self.executor.kernel.end_job(job), "who computes knows its jobs");
            }
            None => {}
        }
    }

    /// A level-triggered poller, which may be slow.
    fn poll(&mut self) {
        while let Some((source, interest)) = self.executor.kernel.next_change() {
            self.watched.insert(source, interest);
        }
        self.watched.retain(|source, _| self.net.is_open(*source));
        for (source, interest) in self.watched.iter().filter(|(_, interest)| !interest.is_empty()) {
            let report = self.net.readiness(*source) & (*interest | Interest::HANGUP);
            if !report.is_empty() && !self.net.luck.strikes(6) {
                self.executor.kernel.ready(*source, report);
            }
        }
    }

    fn do_mischief(&mut self) {
        let kernel = &mut self.executor.kernel;
        if self.net.luck.strikes(5) {
            let generation = 1 + 2 * self.net.luck.below(3) as u64;
            let source = SourceId::from_bits(generation << 32 | self.net.luck.below(8) as u64);
            kernel.ready(source, [Interest::RECV, Interest::SEND][self.net.luck.below(2)]);
        }
        if self.net.luck.strikes(5) {
            let task = kernel.tasks().nth(self.net.luck.below(8));
            task.map(|task| kernel.wake(task.id));
        }
        if self.net.luck.strikes(5) && !self.net.old_jobs.is_empty() {
            kernel.job_done(self.net.old_jobs[self.net.luck.below(self.net.old_jobs.len())]);
        }
        if self.net.luck.strikes(40) {
            let task = kernel.tasks().nth(self.net.luck.below(8));
            let waits = task.map_or([None; sinbin_core::MAX_WAITS], |task| task.waits);
            let is_of = |what: &What| match what {
                What::Recv(source) | What::Send(source) | What::Hangup(source) => {
                    self.net.sources.get(source)
                }
                What::Job(_) => None,
            };
            if let (Some(peer), Some(task)) = (waits.iter().flatten().find_map(is_of), task) {
                self.net.peers[*peer].cancelled = true;
                kernel.cancel(task.id);
            }
        }
    }

    /// What a client got so far is right, and the server does not run ahead of it.
    fn check(&self, number: usize) {
        let (client, peer) = (&self.clients[number], &self.net.peers[number]);
        assert!(peer.closed || !peer.cancelled, "client {number}: its task was cancelled and serves on");
        let owed = owed(&self.net, peer, self.jobs_may_fail);
        let whole = walk(&owed, &client.got).unwrap_or_else(|wrong| panic!("client {number}: {wrong}"));
        let held_back = held_back(&owed, peer);
        let limit = self.storage.bytes().as_ref().len() + usize::from(self.net.fib.rules.max_line);
        assert!(held_back <= limit, "client {number}: {held_back} bytes are taken and not answered");
        if peer.closed && peer.outbox.is_empty() && !peer.reset && !peer.cancelled {
            assert_eq!(whole, owed.len(), "client {number} was left without its answers");
        }
    }

    /// Ends the server, when all clients have left, and looks for what it left behind.
    pub fn shut_down(mut self) {
        for (number, peer) in self.net.peers.iter().enumerate() {
            let is_last =
                || owed(&self.net, peer, self.jobs_may_fail).last().is_some_and(|owed| owed.is_last);
            let is_read = peer.inbox.is_empty() && peer.saw_end;
            let is_right = is_read || peer.reset || peer.cancelled || is_last();
            assert!(is_right, "client {number} was turned away with something to say");
        }
        self.executor.kernel.cancel(self.acceptor);
        // An acceptor that was about to run anyway is told after its next step.
        for _ in 0..2 {
            self.executor.turn(self.now, &mut self.net);
        }
        assert_eq!(self.executor.kernel.rest(), Rest::Empty, "no task is left:\n{}", self.describe());
        assert_eq!(self.executor.blocks_lent(), 0, "every block is back");
        assert!(self.net.pool.is_idle(), "nothing is computed for nobody");
        assert!(self.net.sources.is_empty() && self.net.listener.is_none(), "every source is closed");
        let fresh = room(&mut Kernel::new(&self.storage));
        assert_eq!(room(&mut self.executor.kernel), fresh, "every place is free");
    }

    fn describe(&self) -> String {
        let tasks = self.executor.kernel.tasks().map(|task| format!("{task}\n"));
        format!("round {}\n{}", self.rounds, tasks.collect::<String>())
    }
}

/// For how many tasks, sources and jobs there is room.
fn room<S: Storage>(kernel: &mut Kernel<S>) -> [usize; 3] {
    let tasks = std::iter::from_fn(|| kernel.spawn().ok()).count();
    let sources = std::iter::from_fn(|| kernel.open().ok()).count();
    let jobs = std::iter::from_fn(|| kernel.begin_job().ok()).count();
    [tasks, sources, jobs]
}
