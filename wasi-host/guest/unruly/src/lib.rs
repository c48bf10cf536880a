//! An echo service that misbehaves on request, for tests of the host. If the input of a turn contains one of the words
//! below, the turn fails in the corresponding way.
#![no_std]

extern crate alloc;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use sinbin_core::echo::Echo;
use sinbin_guest::bindings::exports::sinbin::service::guest::{
    Answer, Event, Guest, Limits, Progress, Settings, Tally,
};
use sinbin_guest::bindings::sinbin::service::types::{
    Arrival, Command, Interest, Parcel, Piece, Rest, Target, Watch,
};
use sinbin_guest::{Loop, machine};

static LOOP: Loop = Loop::new();

/// True once received bytes were returned with `unread` many times.
static HOARDED: Flag = Flag(Cell::new(false));

/// True if each turn returns `ready`, and thousands of invalid commands.
static NAGS: Flag = Flag(Cell::new(false));

/// The number of jobs that this guest has submitted, for unique handles.
static JOBS: Count = Count(Cell::new(0));

struct Count(Cell<u64>);

// SAFETY: an instance has one thread.
unsafe impl Sync for Count {}

impl Count {
    fn next(&self) -> u64 {
        self.0.replace(self.0.get() + 1)
    }
}

struct Flag(Cell<bool>);

// SAFETY: an instance has one thread.
unsafe impl Sync for Flag {}

impl Flag {
    fn replace(&self, value: bool) -> bool {
        self.0.replace(value)
    }
}

struct Unruly;

sinbin_guest::bindings::export!(Unruly with_types_in sinbin_guest::bindings);

impl sinbin_guest::bindings::exports::sinbin::service::bounds::Guest for Unruly {
    fn max_jobs(jobs: u32) {
        LOOP.bound_jobs(jobs);
    }
}

impl Guest for Unruly {
    fn start(settings: Settings) -> Result<Limits, String> {
        if settings.arguments.iter().any(|argument| argument == "--trap") {
            panic!("at the start");
        }
        let start = |settings: &Settings, max_jobs| {
            let echo = sinbin_arguments::echo(settings.arguments.iter().map(String::as_str))?;
            Ok(machine::<Echo>(echo, settings, max_jobs))
        };
        LOOP.start(start, &settings)
    }

    fn turn(now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        let says = |word: &str| input.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        if says("trap") {
            panic!("as it was told");
        }
        if says("burst") {
            panic!("a\nb\x1b[2J{}", "x".repeat(5000));
        }
        if says("loop") {
            spin();
        }
        if says("scribble") {
            scribble(&input);
            spin();
        }
        if says("grow") {
            grow();
        }
        if says("ghosts") {
            return LOOP.turn(now, window, with_ghosts(&events), input);
        }
        let job = if says("spoil") { Some(b't') } else { says("toil").then_some(b'l') };
        let hoards: Vec<_> = if says("hoard") && !HOARDED.replace(true) { unread(&events) } else { vec![] };
        let greed = greed(says, &events);
        let (says_much, nags) = (says("gush"), says("nag"));
        let dials = if says("flood of") { 5000 } else { 0 };
        let endpoint = if says("forbidden dials") { "192.0.2.1:80" } else { "127.0.0.1:1" };
        let junk = says("junk dials");
        let (is_strange, is_late, is_stalled) = (says("strange"), says("late"), says("stall"));
        let mut answer = LOOP.turn(now, window, events, input);
        answer.commands.extend(hoards);
        answer.commands.extend(greed);
        if says_much {
            answer.output.resize(80 << 20, b'x');
        }
        if nags {
            NAGS.replace(true);
        }
        if NAGS.0.get() {
            answer.commands.extend(vec![Command::Send(NOTHING); 4000]);
            answer.rest = Rest::Ready;
        }
        if is_strange {
            answer.commands.extend(strange());
            answer.output.extend_from_slice(b"nobody's");
        }
        if dials > 0 {
            dial(&mut answer, dials, endpoint);
        }
        if junk {
            dial_junk(&mut answer);
        }
        if let Some(job) = job {
            answer.commands.push(Command::Submit(Parcel { job: 1000 + JOBS.next(), len: 1 }));
            answer.output.push(job);
        }
        if is_late {
            answer.rest = Rest::Until(0);
        }
        if is_stalled {
            answer.rest = Rest::Stalled;
        }
        answer
    }

    fn compute(job: Vec<u8>, _: u32) -> Progress {
        match job[..] {
            [b't', ..] => panic!("in a job"),
            [b'l', ..] => spin(),
            _ => Progress::Nonsense,
        }
    }

    fn counts() -> Tally {
        LOOP.counts()
    }
}

/// A piece of a connection that never existed.
const NOTHING: Piece = Piece { source: 3 << 32 | 1_000_000, len: 0 };

/// Returns more commands than the host allows or than are useful: invalid ones of several numbers, or valid ones.
fn greed(says: impl Fn(&str) -> bool, events: &[Event]) -> Vec<Command> {
    if says("deluge") {
        return vec![Command::Close(NOTHING.source); 3_000_000];
    }
    if says("flood") && !says("dials") {
        return vec![Command::Close(NOTHING.source); 1_000_000];
    }
    if says("haunt") {
        return vec![Command::Send(NOTHING); 5000];
    }
    let received = events.iter().find_map(|event| match event {
        Event::Received(piece) if says("swarm") => Some(piece.source),
        _ => None,
    });
    let watch = |source| Command::Watch(Watch { source, interest: Interest::RECV });
    received.map_or_else(Vec::new, |source| vec![watch(source); 1_000_000])
}

/// Returns commands that take back the same received bytes many times.
fn unread(events: &[Event]) -> Vec<Command> {
    let received = events.iter().find_map(|event| match event {
        Event::Received(piece) => Some(*piece),
        _ => None,
    });
    received.into_iter().flat_map(|piece| vec![Command::Unread(piece); 1000]).collect()
}

/// Returns the events, followed by events with handles that name nothing.
fn with_ghosts(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    let nothing = 77 << 32 | 5;
    events.extend([
        Event::Received(Piece { source: nothing, len: 1 << 30 }),
        Event::Accepted(Arrival { listener: nothing, connection: u64::MAX, len: 0 }),
        Event::Computed(Parcel { job: nothing, len: 0 }),
        Event::Lost(nothing),
        Event::Hangup(nothing),
    ]);
    events
}

/// Returns invalid commands.
fn strange() -> Vec<Command> {
    let nobody = 3 << 32 | 1_000_000;
    let everything = Interest::RECV | Interest::SEND | Interest::HANGUP;
    vec![
        Command::Send(Piece { source: nobody, len: 3 }),
        Command::Send(Piece { source: 0, len: 2 }),
        Command::Send(Piece { source: nobody, len: u32::MAX }),
        Command::Watch(Watch { source: nobody, interest: everything }),
        Command::Unread(Piece { source: 0, len: 1 << 20 }),
        Command::Unread(Piece { source: nobody, len: 1 }),
        Command::Shutdown(0),
        Command::Shutdown(nobody),
        Command::Close(nobody),
        Command::Close(u64::MAX),
        Command::Cancel(99),
        Command::Submit(Parcel { job: 1, len: u32::MAX }),
        Command::Submit(Parcel { job: 2, len: 1 }),
    ]
}

/// Requests many connections to an endpoint. Abandons every third request at once, and closes handles that a host could
/// have given to its attempts.
fn dial(answer: &mut Answer, count: u64, endpoint: &str) {
    for request in 0..count {
        connect(answer, request, endpoint.as_bytes());
        if request % 3 == 0 {
            answer.commands.push(Command::Abandon(request));
        }
    }
    answer.commands.extend((0..100).map(|handle| Command::Send(Piece { source: 1 << 32 | handle, len: 0 })));
}

/// Requests a connection.
fn connect(answer: &mut Answer, request: u64, text: &[u8]) {
    answer.output.extend_from_slice(text);
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    answer.commands.push(Command::Connect(Target { request, len }));
}

/// Requests connections to texts that are no endpoints, or are not permitted.
fn dial_junk(answer: &mut Answer) {
    let long = "a".repeat(1000);
    let texts: [&[u8]; 19] = [
        b"",
        b":",
        b":80",
        b"example.org",
        b"example.org:0",
        b"example.org:99999",
        b"example.org:+80",
        b"unix:/run/docker.sock",
        b"\xff\xfe:80",
        b"a\0b.example.org:80",
        b"a b.example.org:80",
        b"../../etc/passwd:80",
        b"2130706433:80",
        b"127.1:80",
        b"0x7f.1:80",
        b"[fe80::1%lo]:80",
        b"[::1]:80",
        b"localhost:22",
        long.as_bytes(),
    ];
    for (request, text) in (0..).zip(texts) {
        connect(answer, request, text);
    }
    // Requests by the number of another one, for bytes that do not exist, and requests that do not exist.
    for _ in 0..2 {
        connect(answer, 1000, b"127.0.0.1:1");
    }
    answer.commands.extend([
        Command::Abandon(77),
        Command::Abandon(u64::MAX),
        Command::Connect(Target { request: 1001, len: u32::MAX }),
    ]);
}

/// Computes forever.
fn spin() -> ! {
    let mut count = 0_u32;
    loop {
        count = core::hint::black_box(count.wrapping_add(1));
    }
}

/// Overwrites the published tables with junk that depends on the input, so that no look at them can rely on anything.
fn scribble(input: &[u8]) {
    #[allow(unsafe_code)]
    unsafe extern "C" {
        #[link_name = "sinbin:service/inspect@0.1.0#tables"]
        safe fn tables() -> *const [usize; 2];
    }
    // SAFETY: the function returns the address of a static list, which has the address and the length of the tables. The
    // service is not called any more, so no other code accesses them.
    let words = unsafe {
        let [address, len] = tables().read();
        core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut::<u32>(address), len / 4)
    };
    let mut random =
        input.iter().fold(1_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random
    };
    // The first words, with the version, stay: otherwise no reader would look further. Most words are small, so that many
    // of them are valid indexes.
    for word in words.iter_mut().skip(3) {
        *word = match next() % 4 {
            0 => next(),
            1 => u32::MAX,
            _ => next() % 64,
        };
    }
    // The spans of the tables: all of the memory.
    for span in words[4..19].chunks_exact_mut(3) {
        span.copy_from_slice(&[4096, 1 << 25, 1 << 25]);
    }
    core::hint::black_box(words);
}

/// Allocates memory without limit.
fn grow() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 1 << 20]);
        core::hint::black_box(&all);
    }
}
