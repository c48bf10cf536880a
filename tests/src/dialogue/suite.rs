use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::script::{Dialogue, Options, Service, excerpt};
use super::stage::{Heard, Host, Outcome, Stage};

/// How much of a service's log is shown where a dialogue failed.
const LAST_WORDS: usize = 400;

/// What came of one dialogue with one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was held, and all bytes are those that the hosts before heard.
    Held,
    /// It was not, or something differs: this.
    Failed(String),
    /// This host can't, for this reason.
    LeftOut(String),
}

/// What came of all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Results {
    /// Hosts by name, and a line about each.
    pub hosts: Vec<(String, String)>,
    /// Dialogues by name, and a verdict for each host.
    pub dialogues: Vec<(String, Vec<Verdict>)>,
}

impl Results {
    /// How many dialogues were held, failed, and were left out.
    #[must_use]
    pub fn count(&self) -> [usize; 3] {
        let mut count = [0; 3];
        for verdict in self.dialogues.iter().flat_map(|(_, verdicts)| verdicts) {
            count[match verdict {
                Verdict::Held => 0,
                Verdict::Failed(_) => 1,
                Verdict::LeftOut(_) => 2,
            }] += 1;
        }
        count
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count()[1] == 0
    }
}

/// What the first host to hold a dialogue heard, by the dialogue's place.
type FirstHeard = BTreeMap<usize, (String, Vec<Heard>)>;

/// Holds each dialogue with each host, and calls `progress` with the names of both before. Dialogues that want the same
/// service with the same options share one.
#[must_use]
pub fn hold_all(
    hosts: &[Box<dyn Host>],
    dialogues: &[Dialogue],
    mut progress: impl FnMut(&str, &str),
) -> Results {
    let mut groups: BTreeMap<(Service, &Options), Vec<usize>> = BTreeMap::new();
    for (index, dialogue) in dialogues.iter().enumerate() {
        groups.entry((dialogue.service, &dialogue.options)).or_default().push(index);
    }
    let mut table: Vec<_> = dialogues.iter().map(|dialogue| (dialogue.name.clone(), Vec::new())).collect();
    let mut first = FirstHeard::new();
    for host in hosts {
        for (&(service, options), members) in &groups {
            let mut room = Parallelism { host: host.as_ref(), service, options, stage: None };
            for &index in members {
                progress(host.name(), &dialogues[index].name);
                let verdict = room.judge(index, &dialogues[index], &mut first);
                table[index].1.push(verdict);
            }
        }
    }
    let hosts = hosts.iter().map(|host| (host.name().to_owned(), host.about().to_owned())).collect();
    Results { hosts, dialogues: table }
}

/// A service with its options, which is started when somebody needs it.
struct Parallelism<'a> {
    host: &'a dyn Host,
    service: Service,
    options: &'a Options,
    stage: Option<Result<Box<dyn Stage>, String>>,
}

impl Parallelism<'_> {
    fn judge(&mut self, index: usize, dialogue: &Dialogue, first: &mut FirstHeard) -> Verdict {
        if let Some(reason) = self.host.lacks(dialogue) {
            return Verdict::LeftOut(reason);
        }
        let stage = self.stage.get_or_insert_with(|| open(self.host, self.service, self.options));
        let stage = match stage {
            Ok(stage) => stage,
            Err(reason) => return Verdict::Failed(format!("the service does not start: {reason}")),
        };
        let Outcome { heard, failure } = stage.perform(dialogue);
        if let Some(failure) = failure {
            let said = last_words(&stage.says());
            // What it left under way is not for the next one.
            self.stage = None;
            return Verdict::Failed(format!("{failure}{said}"));
        }
        let (other, expected) =
            first.entry(index).or_insert_with(|| (self.host.name().to_owned(), heard.clone()));
        match difference(&heard, expected) {
            None => Verdict::Held,
            Some(text) => Verdict::Failed(format!("{text}, unlike {other}")),
        }
    }
}

/// Starts a service. What there is in tests for that panics when it fails.
fn open(host: &dyn Host, service: Service, options: &Options) -> Result<Box<dyn Stage>, String> {
    catch_unwind(AssertUnwindSafe(|| host.open(service, options))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
    })
}

/// Where a client heard something else than with the host before.
fn difference(heard: &[Heard], expected: &[Heard]) -> Option<String> {
    let (heard, expected) = heard.iter().zip(expected).find(|(heard, expected)| heard != expected)?;
    let mut pairs = heard.bytes.iter().zip(&expected.bytes);
    let at = pairs.position(|(one, other)| one != other);
    let at = at.unwrap_or(heard.bytes.len().min(expected.bytes.len()));
    let (one, other) = (excerpt(&heard.bytes[at..]), excerpt(&expected.bytes[at..]));
    Some(format!("{} heard {one} from byte {at} on, and not {other}", heard.client))
}

/// The end of a log, from the beginning of a line on.
fn last_words(said: &str) -> String {
    let said = said.trim_end();
    let begin = said.char_indices().rev().nth(LAST_WORDS).map_or(0, |(begin, _)| begin);
    let line = match said[begin..].find('\n') {
        _ if begin == 0 || said[..begin].ends_with('\n') => begin,
        Some(end) => begin + end + 1,
        // A line that is longer than all that is shown.
        None => said.rfind('\n').map_or(0, |end| end + 1),
    };
    let lines = said[line..].lines().map(|line| format!("\n    {line}"));
    if said.is_empty() { String::new() } else { format!("; at last it said:{}", lines.collect::<String>()) }
}
