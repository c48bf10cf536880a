use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::script::{Dialogue, Options, Service, excerpt};
use super::stage::{Heard, Host, Outcome, Stage};

/// The number of bytes of a service's log that are shown with a failure.
const LAST_WORDS: usize = 400;

/// The result of one dialogue with one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The dialogue passed, and all clients received the same bytes as with the hosts before.
    Held,
    /// The dialogue failed, or the received bytes differ, for this reason.
    Failed(String),
    /// The host cannot serve the dialogue, for this reason.
    LeftOut(String),
}

/// The results of all dialogues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Results {
    /// The hosts: the name and the description of each.
    pub hosts: Vec<(String, String)>,
    /// The dialogues: the name and a verdict for each host.
    pub dialogues: Vec<(String, Vec<Verdict>)>,
}

impl Results {
    /// Returns the numbers of dialogues that passed, failed, and were left out.
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

    /// Returns true if no dialogue failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count()[1] == 0
    }
}

/// The name of the first host that passed a dialogue and the bytes that its clients received, by the dialogue's index.
type FirstHeard = BTreeMap<usize, (String, Vec<Heard>)>;

/// Plays each dialogue with each host, and calls `progress` with the names of both before. Dialogues with the same
/// service and the same options share one instance of it.
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

/// A service with its options, started on first use.
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
            // The failed dialogue may have left work in progress, so the next dialogue gets a new instance.
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

/// Starts a service. The helpers for tests panic when that fails; a panic becomes an error.
fn open(host: &dyn Host, service: Service, options: &Options) -> Result<Box<dyn Stage>, String> {
    catch_unwind(AssertUnwindSafe(|| host.open(service, options))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
    })
}

/// Describes the first client that received other bytes than with the host before.
fn difference(heard: &[Heard], expected: &[Heard]) -> Option<String> {
    let (heard, expected) = heard.iter().zip(expected).find(|(heard, expected)| heard != expected)?;
    let mut pairs = heard.bytes.iter().zip(&expected.bytes);
    let at = pairs.position(|(one, other)| one != other);
    let at = at.unwrap_or(heard.bytes.len().min(expected.bytes.len()));
    let (one, other) = (excerpt(&heard.bytes[at..]), excerpt(&expected.bytes[at..]));
    Some(format!("{} heard {one} from byte {at} on, and not {other}", heard.client))
}

/// Returns the end of a log, beginning with a whole line.
fn last_words(said: &str) -> String {
    let said = said.trim_end();
    let begin = said.char_indices().rev().nth(LAST_WORDS).map_or(0, |(begin, _)| begin);
    let line = match said[begin..].find('\n') {
        _ if begin == 0 || said[..begin].ends_with('\n') => begin,
        Some(end) => begin + end + 1,
        // The last line is longer than the limit; show it in full.
        None => said.rfind('\n').map_or(0, |end| end + 1),
    };
    let lines = said[line..].lines().map(|line| format!("\n    {line}"));
    if said.is_empty() { String::new() } else { format!("; at last it said:{}", lines.collect::<String>()) }
}
