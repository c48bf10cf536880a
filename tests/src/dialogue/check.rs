//! Validation of dialogues.

use super::error::Wrong;
use super::rehearsal::rehearse;
use super::script::{Client, Dialogue, Service, Step};

/// Options that every service has.
const COMMON: [&str; 3] = ["idle-timeout", "max-buffered", "max-connections"];
/// Options that only fib has.
const OF_FIB: [&str; 4] = ["framing", "loop-n", "max-line", "max-n"];

/// Returns an error if the dialogue makes no sense.
pub(super) fn check(dialogue: &Dialogue) -> Result<(), Wrong> {
    let whole = |what: String| Wrong::Whole { name: dialogue.name.clone(), what };
    if dialogue.shows.trim().is_empty() {
        return Err(whole("shows is empty: say in a sentence what it shows".to_owned()));
    }
    if dialogue.clients.is_empty() {
        return Err(whole("there is no client; add a [[client]] with steps".to_owned()));
    }
    let known = |option: &str| {
        COMMON.contains(&option) || (dialogue.service == Service::Fib && OF_FIB.contains(&option))
    };
    if let Some(option) = dialogue.options.keys().find(|option| !known(option)) {
        return Err(whole(format!("{option} is no option of {}", dialogue.service)));
    }
    for client in &dialogue.clients {
        check_client(client).map_err(|(index, what)| Wrong::Step {
            name: dialogue.name.clone(),
            client: client.name.clone(),
            step: client.number(index),
            what: what.to_owned(),
        })?;
    }
    rehearse(dialogue)
}

/// Validates each step in the context of the steps before it. Returns the index of an invalid step and the reason.
fn check_client(client: &Client) -> Result<(), (usize, &'static str)> {
    let (mut connected, mut half_closed) = (false, false);
    let last = client.steps.len() - 1;
    for (index, step) in client.steps.iter().enumerate() {
        let wrong = |what| Err((index, what));
        match step {
            Step::Connect if connected => return wrong("it is connected already"),
            Step::Connect => connected = true,
            Step::Pause(_) | Step::Reach(_) | Step::Await(_) => {}
            _ if !connected => return wrong("it comes before connect"),
            Step::Send(_) if half_closed => return wrong("nothing can be sent behind half-close"),
            Step::HalfClose if half_closed => return wrong("it has half-closed already"),
            Step::HalfClose => half_closed = true,
            Step::Expect(any) => check_expected(any).or_else(wrong)?,
            Step::ExpectEnd { .. } | Step::Reset | Step::Close if index < last => {
                return wrong("the connection ends here, and more steps follow");
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_expected(any: &[Vec<u8>]) -> Result<(), &'static str> {
    if any.is_empty() || any.iter().any(Vec::is_empty) {
        return Err("nothing is expected; leave the step out, or use expect-nothing");
    }
    let begins = |one: usize| {
        any.iter().enumerate().any(|(other, bytes)| one != other && bytes.starts_with(&any[one]))
    };
    if (0..any.len()).any(begins) {
        return Err("one alternative begins with another, so its end cannot be known");
    }
    Ok(())
}
