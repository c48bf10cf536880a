//! The functions that the page calls. Text goes in and out as UTF-8 in the memory of the module: the page writes to
//! [`input`], calls a function, and reads [`output_len`] bytes at the returned address.

use std::cell::RefCell;

use serde::Serialize;

use crate::frame::Played;
use crate::link::{LinkError, MAX_LINK, MAX_STEPS, Run};
use crate::scenario::{About, Scenario};

/// The maximum number of steps that one call returns.
const MAX_WINDOW: usize = 1000;

/// The room for a link and an action.
const MAX_INPUT: usize = 2 * MAX_LINK;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The scenarios and the limits, which do not change.
#[derive(Serialize)]
struct Description {
    scenarios: Vec<About>,
    max_steps: usize,
    max_n: u32,
}

/// The answer of a call.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Error(String),
    Link { link: String, scenario: &'static str, seed: String, step: usize, actions: Vec<String> },
    Played(Played),
    Description(Description),
}

/// Returns the address at which the page writes `len` bytes, or 0 if they are too many.
#[unsafe(no_mangle)]
pub extern "C" fn input(len: usize) -> *mut u8 {
    if len > MAX_INPUT {
        return std::ptr::null_mut();
    }
    INPUT.with_borrow_mut(|input| {
        *input = vec![0; len];
        input.as_mut_ptr()
    })
}

/// Returns the length of the last answer in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn output_len() -> usize {
    OUTPUT.with_borrow(Vec::len)
}

/// Describes the scenarios.
#[unsafe(no_mangle)]
pub extern "C" fn describe() -> *const u8 {
    let scenarios = Scenario::ALL.into_iter().map(Scenario::describe).collect();
    answer(&Answer::Description(Description { scenarios, max_steps: MAX_STEPS, max_n: crate::MAX_N }))
}

/// Checks the fragment of a link in the input, and returns its parts.
#[unsafe(no_mangle)]
pub extern "C" fn parse() -> *const u8 {
    reply(|text| Run::parse(text).map(|run| parts(&run)))
}

/// Adds an action to a run. The input is the fragment, a line feed, and the action without its step.
#[unsafe(no_mangle)]
pub extern "C" fn act() -> *const u8 {
    reply(|text| {
        let (link, deed) = text.split_once('\n').unwrap_or((text, ""));
        let mut run = Run::parse(link)?;
        run.act(deed)?;
        Ok(parts(&run))
    })
}

/// Plays the run in the input, and returns the steps from `from` up to `to`.
#[unsafe(no_mangle)]
pub extern "C" fn play(from: usize, to: usize) -> *const u8 {
    let to = to.min(from.saturating_add(MAX_WINDOW)).min(MAX_STEPS + 1);
    reply(|text| Ok(Answer::Played(crate::play(&Run::parse(text)?, from..to))))
}

fn parts(run: &Run) -> Answer {
    Answer::Link {
        link: run.to_string(),
        scenario: run.scenario.name(),
        seed: run.seed.to_string(),
        step: run.step,
        actions: run.actions.iter().map(ToString::to_string).collect(),
    }
}

fn reply(call: impl FnOnce(&str) -> Result<Answer, LinkError>) -> *const u8 {
    let input = INPUT.take();
    let text = String::from_utf8_lossy(&input);
    answer(&call(&text).unwrap_or_else(|error| Answer::Error(error.to_string())))
}

fn answer(answer: &Answer) -> *const u8 {
    OUTPUT.with_borrow_mut(|output| {
        output.clear();
        if let Err(error) = serde_json::to_writer(&mut *output, answer) {
            output.clear();
            output.extend(format!("{{\"error\":\"{error}\"}}").as_bytes());
        }
        output.as_ptr()
    })
}
