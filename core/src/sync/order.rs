//! Locks that can't deadlock, because they are taken in a fixed order (a recipe by David Beazley, *Python Cookbook*,
//! 12.5).
//!
//! The order of the locks is the order of their creation. [`acquire`] takes several locks in that order, whatever the
//! order of its arguments. A task that has a lock and requests an earlier one, or the same one again, might wait for a
//! task that waits for it. Such a request fails at once, with the names of both locks. If no task waits for a lock that
//! is earlier than one it has, no cycle can form, and each task gets its turn.
//!
//! ```
//! # use sinbin_core::sync::order::{Order, OrderError, Ordered, acquire};
//! # use sinbin_core::task::{RunContext, Handle, NoWakers};
//! async fn transfer(sum: u32, from: &Ordered<'_, '_, u32>, to: &Ordered<'_, '_, u32>) -> Result<bool, OrderError> {
//!     // Another task may transfer in the opposite direction at the same time.
//!     let (mut from, mut to) = acquire((from, to)).await?;
//!     let is_covered = *from >= sum;
//!     if is_covered {
//!         *from -= sum;
//!         *to += sum;
//!     }
//!     Ok(is_covered)
//! }
//!
//! # let run_context = RunContext::new(&NoWakers);
//! # let handle = Handle::new(&run_context);
//! let order = Order::<8>::new(handle); // eight of its locks can be held, or requested, at a time
//! let (savings, current) = (order.lock("savings", 100), order.lock("current", 0));
//! # let _ = (transfer(30, &savings, &current), transfer(20, &current, &savings));
//! ```

use core::cell::Cell;
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::kernel::id::TaskId;
use crate::sync::lock::{Guard, Lock};
use crate::task::error::WaitError;
use crate::task::handle::Handle;

/// A factory of locks that are taken in the order of their creation. `N` of them can be held, or requested, at a time.
///
/// Different orders are independent of each other, and of locks that are in no order.
pub struct Order<'d, const N: usize> {
    table: Table<'d, [OrderSlot; N]>,
}

/// The locks that are held or requested: a table of any size.
struct Table<'d, P: ?Sized = [OrderSlot]> {
    handle: Handle<'d>,
    /// The number of locks that were created.
    locks: Cell<u32>,
    places: P,
}

type OrderSlot = Cell<Option<Claimed>>;

/// A lock that a task holds or has requested.
#[derive(Clone, Copy)]
struct Claimed {
    task: TaskId,
    rank: u32,
    name: &'static str,
}

/// A lock on a value, with a rank in an [`Order`] of locks. Only [`acquire`] gives access to the value.
pub struct Ordered<'o, 'd, T> {
    order: &'o Table<'d>,
    rank: u32,
    lock: Lock<'d, T>,
}

/// The value of an [`Ordered`] lock. When it is dropped, the value passes to the task that has waited longest.
pub struct OrderedGuard<'a, 'd, T> {
    // The fields are dropped in this order.
    guard: Guard<'a, 'd, T>,
    _claim: Claim<'a>,
}

/// Error returned when a task has a lock and requests one that does not come after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfOrder {
    /// The task.
    pub task: TaskId,
    /// The name of the lock that the task holds or has requested before; of several, the last in the order.
    pub held: &'static str,
    /// The name of the lock that the task requested.
    pub wanted: &'static str,
}

impl fmt::Display for OutOfOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, held, wanted } = self;
        write!(f, "task {task} has the lock {held:?} and asks for {wanted:?}, which does not come after it")
    }
}

impl core::error::Error for OutOfOrder {}

/// Error returned when a lock was not acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OrderError {
    /// The request was out of order.
    OutOfOrder(OutOfOrder),
    /// The order's capacity of locks that are held or requested is exhausted. A later attempt may succeed.
    Full,
    /// The locks do not all belong to one order.
    Mixed,
    /// The task must not wait.
    Wait(WaitError),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder(error) => error.fmt(f),
            Self::Full => f.write_str("too many locks of the order are held or asked for"),
            Self::Mixed => f.write_str("the locks are of several orders"),
            Self::Wait(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for OrderError {}

impl From<WaitError> for OrderError {
    fn from(refused: WaitError) -> Self {
        Self::Wait(refused)
    }
}

impl<'d, const N: usize> Order<'d, N> {
    /// Creates an order without locks, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self { table: Table { handle, locks: Cell::new(0), places: [const { Cell::new(None) }; N] } }
    }

    /// Creates a lock on `value` that comes after all locks created before it.
    #[must_use]
    pub fn lock<T>(&self, name: &'static str, value: T) -> Ordered<'_, 'd, T> {
        let rank = self.table.locks.get();
        self.table.locks.set(rank + 1);
        Ordered { order: &self.table, rank, lock: Lock::named(self.table.handle, name, value) }
    }
}

impl Table<'_> {
    /// Records that a task requests a lock. O(N).
    fn claim(&self, claimed: Claimed) -> Result<Claim<'_>, OrderError> {
        let all = self.places.iter().filter_map(Cell::get);
        let last = all.filter(|other| other.task == claimed.task).max_by_key(|other| other.rank);
        if let Some(last) = last.filter(|last| last.rank >= claimed.rank) {
            let (held, wanted) = (last.name, claimed.name);
            return Err(OrderError::OutOfOrder(OutOfOrder { task: claimed.task, held, wanted }));
        }
        let place = self.places.iter().find(|place| place.get().is_none()).ok_or(OrderError::Full)?;
        place.set(Some(claimed));
        Ok(Claim(place))
    }
}

/// An entry in the table, which is freed on drop.
struct Claim<'a>(&'a OrderSlot);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl<'d, T> Ordered<'_, 'd, T> {
    /// Returns the name of the lock.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.lock.name()
    }

    /// Returns the task that acquired the value and has it now.
    #[must_use]
    pub fn holder(&self) -> Option<TaskId> {
        self.lock.holder()
    }

    fn claim(&self) -> Result<Claim<'_>, OrderError> {
        let task = self.order.handle.current()?;
        self.order.claim(Claimed { task, rank: self.rank, name: self.name() })
    }
}

impl<T: fmt::Debug> fmt::Debug for Ordered<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered").field("rank", &self.rank).field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl<const N: usize> fmt::Debug for Order<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.table.places.iter().filter_map(Cell::get);
        f.debug_list().entries(held.map(|held| (held.task, held.name))).finish()
    }
}

impl<T> Deref for OrderedGuard<'_, '_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for OrderedGuard<'_, '_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: fmt::Debug> fmt::Debug for OrderedGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Takes the locks in their order, and returns their values in the order of the arguments. The argument is one lock
/// (`&left`), a tuple of up to four locks of any types (`(&left, &right)`), or an array of any number of locks of one
/// type (`[&left, &right]`).
///
/// Every refusal except that of a wait happens before the first wait. If the future is dropped before its end, it
/// releases the locks that it has taken. O(k (k + N)) for k locks.
///
/// # Errors
///
/// Fails with [`OrderError`]; in that case no lock is taken.
pub async fn acquire<L: Locks>(locks: L) -> Result<L::OrderedGuard, OrderError> {
    locks.are_of_one_order()?;
    let mut taken = L::none();
    let mut next = locks.first_after(None);
    while let Some(rank) = next {
        locks.claim(rank, &mut taken)?;
        next = locks.first_after(next);
    }
    next = locks.first_after(None);
    while let Some(rank) = next {
        locks.take(rank, &mut taken).await?;
        next = locks.first_after(next);
    }
    Ok(L::all(taken))
}

/// The argument of [`acquire`]: a single [`Ordered`] lock or several.
pub trait Locks: sealed::Locks {}

impl<L: sealed::Locks> Locks for L {}

mod sealed {
    use super::{Claim, Guard, OrderError, OrderSlot, Ordered, OrderedGuard};

    /// The rank of a lock in the order, and its position in the arguments, which distinguishes duplicates.
    pub type Rank = (u32, usize);

    /// Locks, as [`acquire`](super::acquire) sees them: indexed by their position in the arguments.
    pub trait Locks {
        type OrderedGuard;
        type Taken;

        fn none() -> Self::Taken;

        /// Returns the lock at the position, if it exists.
        fn key(&self, place: usize) -> Option<Key<'_>>;

        fn claim(&self, rank: Rank, taken: &mut Self::Taken) -> Result<(), OrderError>;

        #[expect(async_fn_in_trait, reason = "the trait is sealed, and tasks stay on their thread")]
        async fn take(&self, rank: Rank, taken: &mut Self::Taken) -> Result<(), OrderError>;

        /// Returns the values, after all locks were taken.
        fn all(taken: Self::Taken) -> Self::OrderedGuard;

        fn are_of_one_order(&self) -> Result<(), OrderError> {
            let mut orders = (0..).map_while(|place| Some(self.key(place)?.order));
            let first = orders.next();
            let is_of_one = orders.all(|order| first.is_some_and(|first| core::ptr::eq(first, order)));
            if is_of_one { Ok(()) } else { Err(OrderError::Mixed) }
        }

        /// Returns the first lock after `last` in the order.
        fn first_after(&self, last: Option<Rank>) -> Option<Rank> {
            let all = (0..).map_while(|place| Some((self.key(place)?.rank, place)));
            all.filter(|rank| Some(*rank) > last).min()
        }
    }

    /// The properties of a lock that do not depend on the type of its value.
    pub struct Key<'a> {
        /// The order, identified by the address of its table.
        order: &'a [OrderSlot],
        rank: u32,
    }

    /// A lock on its way from being requested to being held.
    pub struct Taken<'a, 'd, T> {
        // The fields are dropped in this order.
        guard: Option<Guard<'a, 'd, T>>,
        claim: Option<Claim<'a>>,
    }

    impl<'a, 'd, T> Taken<'a, 'd, T> {
        const NOT: Self = Self { guard: None, claim: None };

        fn claim(&mut self, lock: &'a Ordered<'_, 'd, T>) -> Result<(), OrderError> {
            self.claim = Some(lock.claim()?);
            Ok(())
        }

        async fn take(&mut self, lock: &'a Ordered<'_, 'd, T>) -> Result<(), OrderError> {
            self.guard = Some(lock.lock.lock().await?);
            Ok(())
        }

        fn held(self) -> OrderedGuard<'a, 'd, T> {
            match (self.guard, self.claim) {
                (Some(guard), Some(claim)) => OrderedGuard { guard, _claim: claim },
                _ => unreachable!("each lock is claimed, then taken"),
            }
        }
    }

    impl<'a, 'd, T> Locks for &'a Ordered<'_, 'd, T> {
        type OrderedGuard = OrderedGuard<'a, 'd, T>;
        type Taken = Taken<'a, 'd, T>;

        fn none() -> Self::Taken {
            Taken::NOT
        }

        fn key(&self, place: usize) -> Option<Key<'_>> {
            (place == 0).then_some(Key { order: &self.order.places, rank: self.rank })
        }

        fn claim(&self, _: Rank, taken: &mut Self::Taken) -> Result<(), OrderError> {
            taken.claim(self)
        }

        async fn take(&self, _: Rank, taken: &mut Self::Taken) -> Result<(), OrderError> {
            taken.take(self).await
        }

        fn all(taken: Self::Taken) -> Self::OrderedGuard {
            taken.held()
        }
    }

    impl<'a, 'd, T, const K: usize> Locks for [&'a Ordered<'_, 'd, T>; K] {
        type OrderedGuard = [OrderedGuard<'a, 'd, T>; K];
        type Taken = [Taken<'a, 'd, T>; K];

        fn none() -> Self::Taken {
            [const { Taken::NOT }; K]
        }

        fn key(&self, place: usize) -> Option<Key<'_>> {
            self.get(place)?.key(0)
        }

        fn claim(&self, (_, place): Rank, taken: &mut Self::Taken) -> Result<(), OrderError> {
            taken[place].claim(self[place])
        }

        async fn take(&self, (_, place): Rank, taken: &mut Self::Taken) -> Result<(), OrderError> {
            taken[place].take(self[place]).await
        }

        fn all(taken: Self::Taken) -> Self::OrderedGuard {
            taken.map(Taken::held)
        }
    }

    macro_rules! tuple {
        ($($value:ident $order:lifetime $loop:lifetime $place:tt),+) => {
            impl<'a, $($order, $loop,)+ $($value),+> Locks for ($(&'a Ordered<$order, $loop, $value>,)+) {
                type OrderedGuard = ($(OrderedGuard<'a, $loop, $value>,)+);
                type Taken = ($(Taken<'a, $loop, $value>,)+);

                fn none() -> Self::Taken {
                    ($(Taken::<$value>::NOT,)+)
                }

                fn key(&self, place: usize) -> Option<Key<'_>> {
                    match place {
                        $($place => self.$place.key(0),)+
                        _ => None,
                    }
                }

                fn claim(&self, (_, place): Rank, taken: &mut Self::Taken) -> Result<(), OrderError> {
                    match place {
                        $($place => taken.$place.claim(self.$place),)+
                        _ => Ok(()),
                    }
                }

                async fn take(&self, (_, place): Rank, taken: &mut Self::Taken) -> Result<(), OrderError> {
                    match place {
                        $($place => taken.$place.take(self.$place).await,)+
                        _ => Ok(()),
                    }
                }

                fn all(taken: Self::Taken) -> Self::OrderedGuard {
                    ($(taken.$place.held(),)+)
                }
            }
        };
    }

    tuple!(A 'a0 'd0 0, B 'a1 'd1 1);
    tuple!(A 'a0 'd0 0, B 'a1 'd1 1, C 'a2 'd2 2);
    tuple!(A 'a0 'd0 0, B 'a1 'd1 1, C 'a2 'd2 2, D 'a3 'd3 3);
}
