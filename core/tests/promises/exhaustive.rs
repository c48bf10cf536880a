//! All promises after every order of a few operations, up to a depth: no luck is needed to find what goes wrong
//! within that.
//!
//! A small alphabet of operations is gone through breadth first, so what fails is a shortest sequence. After each
//! operation kernel and model are compared as everywhere in these tests, and the kernel is audited; from each new
//! state it is tried what comes of it by itself ([`ends`]): no wake-up is lost, no deadline is missed, whoever is
//! cancelled is told once, nothing is left.
//!
//! # Why it is enough to visit a state once
//!
//! Kernel and model are deterministic, so what can follow depends on their states alone. Two states count as one
//! if they are equal in all that either keeps ([`row`]), but for
//!
//! - moments, which count from now: they are only stored, compared with each other and with now and the end of
//!   all time, and nothing here comes near that;
//! - numbers of waits with a deadline, of which only the order is kept: they are only compared;
//! - generations, of which the kernel's row keeps whether a place is taken: they are only compared with those of
//!   ids, and the operations here name ids by place, as the last or the one before that. That an id is new is seen
//!   at each operation: its generation is that of the last one there, and two;
//! - since when tasks are where they are, which is written and shown and decides nothing;
//! - what is written before it is read again, such as the links of tasks that are in no list.
//!
//! So a path can go on from the first of two such states for both: the same operations do the same, but for
//! names. Now and then that is tried: both paths are followed by each operation ([`explore`]); and
//! [`one_state_of_each_kind_stands_for_all`] compares with a search that leaves nothing out. Of
//! promise 3, what is compared is the order of turns with the model, whose queue is one; that nobody has two
//! turns while another has none follows from that. Where no operation leads to a new state any more, the promises
//! hold for sequences of any length, and the sum of visited states says so.
//!
//! `SINBIN_DEEPER=2 cargo test --release --package sinbin-core --test promises exhaustive -- --nocapture` goes two
//! operations deeper than by default, and takes minutes.

mod alphabets;
mod ends;
mod explore;
mod row;

use crate::exhaustive::explore::Alphabet;
use crate::heap::Heap;
use crate::world::World;

type Small = World<Heap>;

fn explore(alphabet: &Alphabet) {
    println!("{}", alphabet.explore());
}

#[test]
fn one_task_and_one_of_everything() {
    explore(&alphabets::one_of_everything());
}

#[test]
fn one_source_and_two_who_want_it() {
    explore(&alphabets::one_source(2));
}

#[test]
fn two_sources_and_who_waits_for_both() {
    explore(&alphabets::two_sources());
}

#[test]
fn what_the_host_watches() {
    explore(&alphabets::watching(2));
}

#[test]
fn three_deadlines() {
    explore(&alphabets::deadlines(3));
}

#[test]
fn three_who_take_turns() {
    explore(&alphabets::turns(3));
}

#[test]
fn a_job_and_who_waits_for_it() {
    explore(&alphabets::jobs(2));
}

#[test]
fn three_tasks_two_sources_and_a_job() {
    explore(&alphabets::everything());
}

/// With one of each there is an end: no sequence, however long, leads to a state that was not visited.
#[test]
fn small_worlds_to_their_ends() {
    let mut alphabets = vec![alphabets::deadlines(1), alphabets::turns(1)];
    if explore::deeper() >= 0 {
        alphabets.extend([alphabets::watching(1), alphabets::jobs(1)]);
    }
    if explore::deeper() > 0 {
        alphabets.extend([alphabets::one_source(1), alphabets::turns(2), alphabets::deadlines(2)]);
    }
    for alphabet in alphabets {
        let visited = alphabet.explore_to(usize::MAX);
        println!("{visited}");
        assert!(visited.is_all, "only what is finite has an end");
    }
}

/// Every sequence, none left out, leads to the same states as the search that goes on from each state once.
#[test]
fn one_state_of_each_kind_stands_for_all() {
    for (alphabet, depth) in [
        (alphabets::one_of_everything(), 3),
        (alphabets::one_source(2), 3),
        (alphabets::watching(2), 3),
        (alphabets::deadlines(3), 4),
        (alphabets::turns(3), 4),
        (alphabets::jobs(2), 3),
    ] {
        let plainly = alphabet.explore_plainly(depth);
        let merged = alphabet.explore_to(depth).states;
        assert_eq!(plainly.len(), merged.len(), "{}", alphabet.name);
        assert!(plainly.iter().all(|state| merged.contains_key(state)), "{}", alphabet.name);
    }
}
