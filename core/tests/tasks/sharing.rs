use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use sinbin_core::group::scope;
use sinbin_core::sync::{Channel, Event, Semaphore};
use sinbin_core::task::{Conn, Either, Error, Handle, NoWakers, RunContext, join, race, select};
use sinbin_testkit::memory_host::{World, join_all};

type Boxed<'d> = Pin<Box<dyn Future<Output = ()> + 'd>>;

/// An operation that a future repeats and that never has to wait.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Receive,
    Send,
    Acquire,
    Pass,
    Look,
}

/// The futures of one task, and the combinators that poll them.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(Deed),
    /// Yields after each operation.
    Modest(Deed),
    /// Repeatedly polls these two operations in order until one completes.
    Winners(Deed, Deed),
    /// Repeatedly polls these three operations in order until one completes.
    Winner(Deed, Deed, Deed),
    Join(Box<Tree>, Box<Tree>),
    Select(Box<Tree>, Box<Tree>),
    Race(Box<Tree>, Box<Tree>),
    Timeout(Box<Tree>),
    Shield(Box<Tree>),
    /// The body of a scope.
    Scope(Box<Tree>),
    /// The `join` of another crate.
    Foreign(Box<Tree>, Box<Tree>),
    All(Vec<Tree>),
}

/// The objects that the operations use.
struct Resources<'d> {
    handle: Handle<'d>,
    conn: Conn<'d>,
    permits: Semaphore<'d>,
    channel: Channel<'d, u8, 1>,
    event: Event<'d>,
}

impl Resources<'_> {
    async fn act(&self, deed: Deed) {
        match deed {
            Deed::Receive => assert_eq!(self.conn.recv(&mut [0]).await, Ok(1)),
            Deed::Send => self.conn.send_all(b"x").await.unwrap(),
            Deed::Acquire => drop(self.permits.acquire(1).await.unwrap()),
            Deed::Pass => {
                self.channel.send(1).await.unwrap();
                self.channel.try_recv().unwrap();
            }
            Deed::Look => self.event.wait().await.unwrap(),
        }
    }
}

/// The number of completed operations of each leaf.
#[derive(Clone, Default)]
struct Counts(Rc<std::cell::RefCell<Vec<Rc<Cell<u32>>>>>);

impl Counts {
    fn leaf(&self) -> Rc<Cell<u32>> {
        let count = Rc::new(Cell::new(0));
        self.0.borrow_mut().push(Rc::clone(&count));
        count
    }

    fn least(&self) -> u32 {
        self.0.borrow().iter().map(|count| count.get()).min().unwrap_or(0)
    }

    fn len(&self) -> u32 {
        u32::try_from(self.0.borrow().len()).unwrap()
    }
}

fn grown<'d>(tree: &Tree, place: &Rc<Resources<'d>>, counts: &Counts) -> Boxed<'d> {
    let handle = place.handle;
    let two = |a: &Tree, b: &Tree| (grown(a, place, counts), grown(b, place, counts));
    match tree {
        Tree::Leaf(deed) => endless(place, [(*deed, counts.leaf())], false),
        Tree::Modest(deed) => endless(place, [(*deed, counts.leaf())], true),
        Tree::Winners(a, b) => endless(place, [a, b].map(|deed| (*deed, counts.leaf())), false),
        Tree::Winner(a, b, c) => endless(place, [a, b, c].map(|deed| (*deed, counts.leaf())), false),
        Tree::Join(a, b) => {
            let (a, b) = two(a, b);
            Box::pin(async { _ = join(a, b).await })
        }
        Tree::Select(a, b) => {
            let (a, b) = two(a, b);
            Box::pin(async { _ = select(a, b).await })
        }
        Tree::Race(a, b) => {
            let (a, b) = two(a, b);
            Box::pin(race(a, b))
        }
        Tree::Timeout(tree) => {
            let future = grown(tree, place, counts);
            Box::pin(async move { handle.timeout(Duration::from_secs(1), future).await.unwrap() })
        }
        Tree::Shield(tree) => Box::pin(handle.shield(grown(tree, place, counts))),
        Tree::Scope(tree) => {
            let future = grown(tree, place, counts);
            Box::pin(async move {
                let body = async |_: &sinbin_core::group::Group<'_, (), Error>| {
                    future.await;
                    Ok(())
                };
                scope(handle, body).await.unwrap();
            })
        }
        Tree::Foreign(a, b) => {
            let (a, b) = two(a, b);
            Box::pin(async { _ = futures_util::future::join(a, b).await })
        }
        Tree::All(trees) => Box::pin(join_all(trees.iter().map(|tree| grown(tree, place, counts)).collect())),
    }
}

/// Repeats the first of these operations that can complete.
fn endless<'d, const N: usize>(
    place: &Rc<Resources<'d>>,
    deeds: [(Deed, Rc<Cell<u32>>); N],
    is_modest: bool,
) -> Boxed<'d> {
    let place = Rc::clone(place);
    Box::pin(async move {
        let place = &place;
        loop {
            let [mut first, mut second, mut third] = [0, 1, 2].map(|at| {
                deeds.get(at).map(|(deed, count)| {
                    Box::pin(async move {
                        place.act(*deed).await;
                        count.set(count.get() + 1);
                    })
                })
            });
            poll_fn(|context| {
                for future in [&mut first, &mut second, &mut third].into_iter().flatten() {
                    if pin!(future).poll(context).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending
            })
            .await;
            if is_modest {
                place.handle.yield_now().await;
            }
        }
    })
}

/// Returns the lowest count of a leaf after this many turns per leaf.
fn least_of(tree: &Tree, turns: u32) -> u32 {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend([0; 200_000]);
    let (permits, channel, event) = (Semaphore::new(handle, 100), Channel::new(handle), Event::new(handle));
    let place = Rc::new(Resources { handle, conn, permits, channel, event });
    let counts = Counts::default();
    let future = grown(tree, &place, &counts);
    world.spawn(async move {
        place.event.set().unwrap();
        future.await;
    });
    for _ in 0..turns * (counts.len() + 1) {
        world.turn();
    }
    counts.least()
}

fn deed() -> impl Strategy<Value = Deed> {
    prop::sample::select(&[Deed::Receive, Deed::Send, Deed::Acquire, Deed::Pass, Deed::Look][..])
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        3 => deed().prop_map(Tree::Leaf),
        1 => deed().prop_map(Tree::Modest),
        1 => (deed(), deed()).prop_map(|(a, b)| Tree::Winners(a, b)),
        1 => (deed(), deed(), deed()).prop_map(|(a, b, c)| Tree::Winner(a, b, c)),
    ];
    leaf.prop_recursive(4, 8, 3, |inner| {
        let two = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            two().prop_map(|(a, b)| Tree::Join(a, b)),
            two().prop_map(|(a, b)| Tree::Select(a, b)),
            two().prop_map(|(a, b)| Tree::Race(a, b)),
            two().prop_map(|(a, b)| Tree::Foreign(a, b)),
            inner.clone().prop_map(|tree| Tree::Timeout(Box::new(tree))),
            inner.clone().prop_map(|tree| Tree::Shield(Box::new(tree))),
            inner.clone().prop_map(|tree| Tree::Scope(Box::new(tree))),
            prop::collection::vec(inner, 1..4).prop_map(Tree::All),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Every future makes progress, regardless of the other futures and the combinator.
    #[test]
    fn every_future_of_a_task_that_can_go_on_does_so(tree in tree()) {
        prop_assert!(least_of(&tree, 4) > 0);
        prop_assert!(least_of(&tree, 40) >= 5);
    }
}

/// Two futures whose operations never wait share the steps of their task.
#[test]
fn two_greedy_futures_share_the_steps() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (permits, counts) = (&Semaphore::new(handle, 10), &[Cell::new(0), Cell::new(0)]);
    let mut world = World::new(handle);
    let greedy = async |at: usize| {
        loop {
            drop(permits.acquire(1).await);
            counts[at].set(counts[at].get() + 1);
        }
    };
    world.spawn(async move { join(greedy(0), greedy(1)).await });
    for turn in 1..10 {
        world.turn();
        let [a, b] = [0, 1].map(|at: usize| counts[at].get());
        assert!(a >= b && a - b <= 32, "{a} and {b} in {turn} turns");
    }
}

/// Two operations that never wait complete alternately.
#[test]
fn in_a_loop_of_selects_each_is_the_first_every_other_time() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (one, other) = (&Semaphore::new(handle, 1), &Semaphore::new(handle, 1));
    let (firsts, seconds) = (&Cell::new(0), &Cell::new(0));
    let mut world = World::new(handle);
    world.spawn(async move {
        loop {
            let count = match select(one.acquire(1), other.acquire(1)).await {
                Either::First(_) => firsts,
                Either::Second(_) => seconds,
            };
            count.set(count.get() + 1);
        }
    });
    world.turn();
    assert_eq!((firsts.get(), seconds.get()), (16, 16), "32 operations in a step");
    for _ in 0..if cfg!(miri) { 5 } else { 100 } {
        world.turn();
    }
    let (less, more) = (firsts.get().min(seconds.get()), firsts.get().max(seconds.get()));
    assert!(2 * less > more, "{} firsts and {} seconds", firsts.get(), seconds.get());
}
