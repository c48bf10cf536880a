//! Whatever happens.

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Fixed, Storage};

use crate::cases::cases;
use crate::client::Leaves;
use crate::net::Serve;
use crate::pool::Pool;
use crate::sim::Sim;

/// A run: who comes, to what service, and what goes wrong.
#[derive(Clone, Debug)]
struct Setup {
    serve: Serve,
    framing: Framing,
    clients: Vec<Script>,
    /// Jobs run in threads, which may fail.
    threads: bool,
    jobs_may_fail: bool,
    mischief: bool,
    tape: Tape,
}

#[derive(Clone)]
struct Tape(Vec<u8>);

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is friendly to the end need not be told.
        let len = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        write!(f, "{:?}", &self.0[..len])
    }
}

#[derive(Clone)]
struct Script {
    text: Vec<u8>,
    leaves: Leaves,
    /// How much fits into the socket towards the client.
    room: usize,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\", {:?}, room for {}", self.text.escape_ascii(), self.leaves, self.room)
    }
}

/// Runs it to its end. Returns what each client got, and after how many rounds all were gone.
fn simulate<S: Storage>(storage: &S, setup: &Setup) -> (Vec<Vec<u8>>, usize) {
    let rules = Rules { framing: setup.framing, ..Rules::default() };
    let fib = Fib { rules, ..Fib::default() };
    let mut sim = Sim::new(storage, setup.serve, fib, &setup.tape.0);
    if setup.threads {
        sim.net.pool = Pool::threads();
    }
    sim.jobs_may_fail = setup.jobs_may_fail;
    sim.mischief = setup.mischief;
    for script in &setup.clients {
        sim.client(&script.text, script.leaves, script.room);
    }
    sim.run();
    let outcome = (sim.clients.iter().map(|client| client.got.clone()).collect(), sim.rounds);
    sim.shut_down();
    outcome
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "(0|1|2|3|10)\r?\n",
        6 => "[ ]{0,3}1[1-6]\n",
        3 => "(x|99|--4| |100000000000000)\n",
        1 => "0{50,63}7\n",
    ]
}

/// Lines, the last of them perhaps not whole, and now and then one that is too long.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let middle = prop_oneof![9 => Just(String::new()), 1 => "[0-9]{60,80}\n"];
    let tail = prop_oneof![2 => Just(String::new()), 1 => "[ ]?[0-9x]{1,2}"];
    (vec(line(), 0..25), middle, vec(line(), 0..25), tail)
        .prop_map(|(first, middle, last, tail)| [first.concat(), middle, last.concat(), tail].concat().into())
}

fn script(text: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Script> {
    let leaves = prop_oneof![
        3 => Just(Leaves::HalfClosed),
        3 => Just(Leaves::Answered),
        2 => (0..100_usize).prop_map(Leaves::Reset),
    ];
    (text, leaves, 1..300_usize).prop_map(|(text, leaves, room)| Script { text, leaves, room: room.max(20) })
}

fn tape() -> impl Strategy<Value = Tape> {
    // Some tapes are mostly friendly: where all goes wrong all the time nothing gets far.
    let byte = prop_oneof![Just(0), any::<u8>()];
    prop_oneof![vec(any::<u8>(), 0..1500), vec(byte, 0..1500)].prop_map(Tape)
}

fn fib() -> impl Strategy<Value = Setup> {
    let framing = prop_oneof![2 => Just(Framing::Lines), 1 => Just(Framing::Auto), 1 => Just(Framing::Bare)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (vec(script(lines()), 1..=5), framing, flags, tape()).prop_map(|(clients, framing, flags, tape)| {
        let (threads, jobs_may_fail, mischief) = flags;
        Setup { serve: Serve::Fib, framing, clients, threads, jobs_may_fail, mischief, tape }
    })
}

fn echo() -> impl Strategy<Value = Setup> {
    let serve = prop_oneof![Just(Serve::Echo), Just(Serve::Upper)];
    let text = vec(any::<u8>(), 0..900);
    (serve, vec(script(text), 1..=5), any::<bool>(), tape()).prop_map(|(serve, clients, mischief, tape)| {
        let (framing, threads, jobs_may_fail) = (Framing::Lines, false, false);
        Setup { serve, framing, clients, threads, jobs_may_fail, mischief, tape }
    })
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn fib_with_blocks_for_all_answers_right(setup in fib()) {
        simulate(&Fixed::<6, 6, 5, 5, 256>, &setup);
    }

    #[test]
    fn fib_with_one_small_block_answers_right(setup in fib()) {
        simulate(&Fixed::<6, 6, 5, 1, 128>, &setup);
    }

    #[test]
    fn fib_without_any_block_answers_right(setup in fib()) {
        simulate(&Fixed::<6, 6, 5, 0, 128>, &setup);
    }

    /// Clients wait in the backlog, and for want of places for jobs an error is an answer.
    #[test]
    fn fib_with_too_few_places_answers_right(setup in fib()) {
        simulate(&Fixed::<3, 3, 1, 2, 160>, &Setup { jobs_may_fail: true, ..setup });
    }

    #[test]
    fn echo_and_upper_answer_right(setup in echo()) {
        simulate(&Fixed::<6, 6, 0, 2, 128>, &setup);
        simulate(&Fixed::<3, 3, 0, 0, 128>, &setup);
    }

    /// Promise 4, with everything on top of the kernel.
    #[test]
    fn the_same_luck_gives_the_same_run(setup in prop_oneof![fib(), echo()]) {
        let storage = Fixed::<6, 6, 5, 2, 128>;
        prop_assert_eq!(simulate(&storage, &setup), simulate(&storage, &setup));
    }
}
