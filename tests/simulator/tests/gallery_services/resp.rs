//! The store, compared with a map. The loop has one thread, and a read's requests are answered before another task
//! runs, so the order of the service's reads is the order of the requests.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;

use sinbin_core::task::{AsyncService, Handle, NoWakers, Pool, RunContext};
use sinbin_simulator::client_model::ClientModel;
use sinbin_simulator::{Expected, Plan, Read, Rng, Simulation};

#[path = "../../../../native/examples/resp/service.rs"]
mod service;

use service::Store;

/// The keys of all clients. There are few, so that clients often use the same ones.
const KEYS: [&str; 4] = ["a", "b", "counter", "longer than others"];

/// More than the bytes of any request that the clients send.
const MAX_REQUEST: usize = 256;

/// Bytes that are no request, and the service's complaint about them.
const NONSENSE: [(&str, &str); 6] = [
    ("*x\r\n", "invalid multibulk length"),
    ("*65\r\n", "invalid multibulk length"),
    ("*-1\r\n", "invalid multibulk length"),
    ("*1\r\n:4\r\n", "invalid bulk length"),
    ("*1\r\n$65537\r\n", "invalid bulk length"),
    ("*1\r\n$4\r\nPINGxx", "expected the end of a bulk string"),
];

type Map = BTreeMap<String, String>;

/// A request, by what it does to the map.
enum Request {
    Ping,
    Echo(String),
    Get(&'static str),
    Set(&'static str, String),
    Del(Vec<&'static str>),
    Exists(Vec<&'static str>),
    Incr(&'static str),
    Size,
    Flush,
    Unknown,
    /// A command with too few arguments.
    Lacking,
    /// Bytes after which the service closes the connection, and its complaint.
    Nonsense(&'static str, &'static str),
}

impl Request {
    fn drawn(rng: &mut Rng) -> Self {
        let key = *rng.pick(&KEYS);
        let keys = |rng: &mut Rng| (0..=rng.below(3)).map(|_| *rng.pick(&KEYS)).collect();
        match rng.below(24) {
            0 => Self::Ping,
            1 => Self::Echo(text(rng)),
            2..7 => Self::Get(key),
            7..11 => Self::Set(key, text(rng)),
            11 => Self::Set("counter", rng.below(100).to_string()),
            12 => Self::Set("counter", i64::MAX.to_string()),
            13 => Self::Del(keys(rng)),
            14 | 15 => Self::Exists(keys(rng)),
            16 => Self::Incr(key),
            17 | 18 => Self::Incr("counter"),
            19 => Self::Size,
            20 => Self::Flush,
            21 => Self::Unknown,
            22 => Self::Lacking,
            _ => {
                let (text, complaint) = *rng.pick(&NONSENSE);
                Self::Nonsense(text, complaint)
            }
        }
    }

    /// Appends the bytes of the request.
    fn write(&self, rng: &mut Rng, bytes: &mut Vec<u8>) {
        let words: Vec<&str> = match self {
            Self::Ping => vec!["PING"],
            Self::Echo(text) => vec!["Echo", text],
            Self::Get(key) => vec!["get", key],
            Self::Set(key, value) => vec!["SET", key, value],
            Self::Del(keys) => ["DEL"].iter().chain(keys).copied().collect(),
            Self::Exists(keys) => ["EXISTS"].iter().chain(keys).copied().collect(),
            Self::Incr(key) => vec!["INCR", key],
            Self::Size => vec!["DBSIZE"],
            Self::Flush => vec!["FLUSHALL"],
            Self::Unknown => vec!["SUBSCRIBE", "a"],
            Self::Lacking => vec!["GET"],
            Self::Nonsense(text, _) => return bytes.extend_from_slice(text.as_bytes()),
        };
        let has_spaces = words.iter().any(|word| word.is_empty() || word.contains([' ', '\r', '\n']));
        if !has_spaces && rng.below(4) == 0 {
            bytes.extend_from_slice(words.join(" ").as_bytes());
            bytes.extend_from_slice(if rng.below(2) == 0 { b"\r\n" } else { b"\n" });
            return;
        }
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }

    /// Applies the request to the map, and returns the answer.
    fn answer(self, map: &mut Map) -> String {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        match self {
            Self::Ping => "+PONG\r\n".to_owned(),
            Self::Echo(text) => bulk(&text),
            Self::Get(key) => map.get(key).map_or("$-1\r\n".to_owned(), |value| bulk(value)),
            Self::Set(key, value) => {
                map.insert(key.to_owned(), value);
                "+OK\r\n".to_owned()
            }
            Self::Del(keys) => {
                format!(":{}\r\n", keys.iter().filter(|key| map.remove(**key).is_some()).count())
            }
            Self::Exists(keys) => {
                format!(":{}\r\n", keys.iter().filter(|key| map.contains_key(**key)).count())
            }
            Self::Incr(key) => {
                let value = map.get(key).map_or(Ok(0), |value| value.parse::<i64>());
                match value.ok().and_then(|value| value.checked_add(1)) {
                    Some(next) => {
                        map.insert(key.to_owned(), next.to_string());
                        format!(":{next}\r\n")
                    }
                    None => "-ERR value is not an integer or out of range\r\n".to_owned(),
                }
            }
            Self::Size => format!(":{}\r\n", map.len()),
            Self::Flush => {
                map.clear();
                "+OK\r\n".to_owned()
            }
            Self::Unknown => "-ERR unknown command\r\n".to_owned(),
            Self::Lacking => "-ERR wrong number of arguments\r\n".to_owned(),
            Self::Nonsense(_, why) => format!("-ERR Protocol error: {why}\r\n"),
        }
    }
}

/// Returns a text without a quote, which may be empty, or contain the bytes that end lines.
fn text(rng: &mut Rng) -> String {
    let piece = *rng.pick(&["", "x", "42", "two words", "a\r\nb", "$5\r\n", "*1\r\n"]);
    piece.repeat(rng.below(4) as usize)
}

/// A client, and the requests whose ends the service has not read.
#[derive(Default)]
struct Client {
    map: Rc<RefCell<Map>>,
    /// The requests, each with its number of bytes.
    requests: VecDeque<(usize, Request)>,
    /// The number of bytes of the first request that were read.
    read: usize,
    is_over: bool,
}

impl ClientModel for Client {
    fn say(&mut self, rng: &mut Rng, bytes: &mut Vec<u8>) {
        for _ in 0..*rng.pick(&[1, 1, 2, 16]) {
            let (request, before) = (Request::drawn(rng), bytes.len());
            request.write(rng, bytes);
            self.requests.push_back((bytes.len() - before, request));
        }
    }

    fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
        match read {
            Read::Bytes { bytes, .. } => self.read += bytes.len(),
            Read::Nothing => return,
            Read::End => return expected.over(),
        }
        while let Some((length, _)) = self.requests.front()
            && *length <= self.read
            && !self.is_over
        {
            self.read -= length;
            let Some((_, request)) = self.requests.pop_front() else { return };
            self.is_over = matches!(request, Request::Nonsense(..));
            expected.answer(request.answer(&mut self.map.borrow_mut()));
            if self.is_over {
                expected.over();
            }
        }
    }

    fn may_keep(&self) -> usize {
        MAX_REQUEST
    }
}

#[test]
fn every_answer_is_that_of_a_map() {
    let mut answers = 0;
    for seed in 0..200 {
        let mut rng = Rng::seeded(seed);
        let plan = Plan { idle_timeout: None, ..Plan::drawn(&mut rng) };
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let store = Store::new(handle);
        let pool = pin!(Pool::growing(u32::try_from(plan.capacity.tasks).expect("a small plan")));
        let service = AsyncService::new(handle, pool.as_ref(), |conn| store.serve(conn));
        let map = Rc::default();
        let client = |_: &mut Rng| Client { map: Rc::clone(&map), ..Client::default() };
        let outcome = Simulation::new(service, &plan, rng, client).run();
        answers += outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).answers;
    }
    assert!(answers > 1000, "{answers} answers");
}
