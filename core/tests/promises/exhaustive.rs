//! Checks all promises after every order of a few operations, up to a depth. Within that depth, finding an error does
//! not depend on chance.
//!
//! The search explores a small alphabet of operations breadth first, so that a failure prints a shortest sequence.
//! After each operation, the kernel is compared with the model as everywhere in these tests, and audited. From each new
//! state, [`ends`] checks that the state ends well without further operations: no wake-up is lost, no deadline is
//! missed, each cancelled task is notified once, and nothing is left.
//!
//! # Why each state needs only one visit
//!
//! Kernel and model are deterministic, so their future depends only on their states. Two states count as one if they
//! are equal in all data of kernel and model ([`row`]), with these exceptions:
//!
//! - Moments are relative to the present time. They are only stored and compared with each other, with the present time
//!   and with `Instant::NEVER`, and no moment here comes near that.
//! - Of the numbers of waits with a deadline, only the order is kept, since they are only compared.
//! - Of a generation, the kernel's row keeps only whether the slot is in use. Generations are only compared with those
//!   of ids, and the operations here name an id by its slot, as the last id or the one before it. Each operation also
//!   checks that an id is new: its generation is that of the slot's previous id plus two.
//! - The times since which tasks are in their states are only written and displayed. They decide nothing.
//! - Data that is written before it is read again is left out, such as the links of tasks that are in no list.
//!
//! The search therefore continues from the first of two such states for both: equal operations lead to equal results,
//! except for names. This is verified for some pairs of paths by applying each operation to both ([`explore`]), and
//! [`one_state_of_each_kind_stands_for_all`] compares with a search that leaves nothing out. For promise 3, the order
//! of turns is compared with the model, whose queue is first in, first out. That no task has two turns while another
//! waits for its first follows from that. If no operation leads to a new state, the promises hold for sequences of any
//! length, and the summary of visited states says so.
//!
//! `SINBIN_DEEPER=2 cargo test --release --package sinbin-core --test promises exhaustive -- --nocapture` goes two
//! operations deeper than by default and takes minutes.

mod alphabets;
mod ends;
mod explore;
mod row;

use crate::exhaustive::explore::Alphabet;
use sinbin_testkit::kernel_model::heap::Heap;
use sinbin_testkit::kernel_model::world::World;

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

/// These alphabets have finitely many states: sequences of any length lead only to visited states.
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

/// Exploring every sequence leads to the same states as a search that continues once from each state.
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
