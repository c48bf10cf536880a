//! Timers that are `Send`, `Sync` and `'static`, as hyper demands, on a loop whose handle is none of these.
//!
//! The sleeps are entries of a list that can be shared between threads. The task that polls the connection also waits
//! until the first deadline in the list: [`Timer::drive`]. A connection needs neither a thread nor a further task for its
//! timeouts.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{fmt, future};

use sinbin_core::task::Handle;

/// A timer for hyper's builders. The sleeps end only while [`drive`](Self::drive) is polled.
///
/// ```no_run
/// # use hyper::body::Incoming;
/// use hyper::client::conn::http1;
/// use sinbin::hyper::{Io, Timer};
/// # async fn connect(conn: sinbin::task::Conn<'_>) -> Result<(), hyper::Error> {
/// let handle = conn.handle();
/// let timer = Timer::new();
/// let (sender, connection) = http1::handshake::<_, String>(Io::new(conn)).await?;
/// // The sleeps of this timer, and no others, end while the connection is polled.
/// timer.drive(handle, connection).await
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Timer(Arc<Mutex<Alarms>>);

/// The sleeps of a timer.
#[derive(Default)]
struct Alarms {
    /// The wakers by their deadlines and numbers. `None` stands for the task that drives the timer, which needs no waker: it
    /// waits for the first deadline anyway.
    wakers: BTreeMap<(Instant, u64), Option<Waker>>,
    last: u64,
    /// The waker with which the driven future is polled now, as the addresses of its data and its functions.
    driver: Option<(usize, usize)>,
    /// The waker of the task that drives the timer, if other tasks may poll sleeps of the timer.
    wakes: Option<Waker>,
}

impl Timer {
    /// Creates a timer without sleeps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Polls `future`, and ends the sleeps of this timer whose deadlines have expired, until `future` completes. Other
    /// tasks can poll sleeps of the timer too.
    pub async fn drive<F: Future>(&self, handle: Handle<'_>, future: F) -> F::Output {
        let mut future = pin!(self.drive_own(handle, future));
        future::poll_fn(|context| {
            let kept = self.alarms().wakes.take();
            let kept = kept.filter(|waker| waker.will_wake(context.waker()));
            let waker = kept.unwrap_or_else(|| context.waker().clone());
            self.alarms().wakes = Some(waker);
            future.as_mut().poll(context)
        })
        .await
    }

    /// Polls `future` as [`drive`](Self::drive) does. No other task polls sleeps of the timer, so that the task that
    /// drives the timer needs no waker.
    pub(super) async fn drive_own<F: Future>(&self, handle: Handle<'_>, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut sleep = pin!(None);
        // The deadline of `sleep`.
        let mut until = None;
        future::poll_fn(|context| {
            loop {
                self.wake_due();
                let polled = self.poll_as_driver(future.as_mut(), context);
                if polled.is_ready() {
                    return polled;
                }
                let first = self.alarms().wakers.first_key_value().map(|((at, _), _)| *at);
                // A deadline that moves away keeps the earlier sleep, whose end costs one more poll: a server that sets a
                // timeout for each request sets none here.
                if first.is_none_or(|first| until.is_none_or(|until| first < until)) {
                    until = first;
                    sleep.set(first.map(|at| handle.sleep(at.saturating_duration_since(Instant::now()))));
                }
                let Some(sleep) = sleep.as_mut().as_pin_mut() else { return Poll::Pending };
                if sleep.poll(context).is_pending() {
                    return Poll::Pending;
                }
                // The clocks of the loop and of hyper may differ by a little: the deadline may be ahead.
                until = None;
            }
        })
        .await
    }

    fn poll_as_driver<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        struct Ends<'a>(&'a Timer, Option<(usize, usize)>);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.alarms().driver = self.1;
            }
        }
        let outer = self.alarms().driver.replace(identity(context.waker()));
        let _ends = Ends(self, outer);
        future.poll(context)
    }

    /// Wakes the parts of the driven future, and other tasks, whose deadlines have expired.
    fn wake_due(&self) {
        if self.alarms().wakers.is_empty() {
            return;
        }
        let now = Instant::now();
        loop {
            // No waker is called while the list is locked.
            let due = {
                let mut alarms = self.alarms();
                match alarms.wakers.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            if let Some(waker) = due {
                waker.wake();
            }
        }
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("sleeps", &self.alarms().wakers.len()).finish_non_exhaustive()
    }
}

fn identity(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let now = Instant::now();
        // A span that no instant can express lasts for as long as a program can run.
        let until = now.checked_add(duration).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        self.sleep_until(until)
    }

    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep { timer: self.clone(), until, number: None })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, until: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(own) => {
                let own = own.get_mut();
                own.withdraw();
                own.until = until;
            }
            None => *sleep = self.sleep_until(until),
        }
    }
}

/// A sleep of a [`Timer`].
pub struct Sleep {
    timer: Timer,
    until: Instant,
    /// The number of the entry in the list, if there is one.
    number: Option<u64>,
}

impl Sleep {
    /// Removes the entry from the list.
    fn withdraw(&mut self) {
        if let Some(number) = self.number.take() {
            // The waker is dropped after the list is unlocked.
            let _waker = self.timer.alarms().wakers.remove(&(self.until, number));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.until <= Instant::now() {
            this.withdraw();
            return Poll::Ready(());
        }
        let mut alarms = this.timer.alarms();
        let is_driver = alarms.driver == Some(identity(context.waker()));
        let number = match this.number {
            Some(number) => number,
            None => {
                alarms.last += 1;
                *this.number.insert(alarms.last)
            }
        };
        let entry = alarms.wakers.entry((this.until, number)).or_default();
        let waker = context.waker();
        let before = match entry {
            _ if is_driver => entry.take(),
            Some(before) if before.will_wake(waker) => None,
            _ => entry.replace(waker.clone()),
        };
        let is_first =
            alarms.wakers.first_key_value().is_some_and(|(first, _)| *first == (this.until, number));
        let driver = alarms.wakes.clone().filter(|_| is_first && !is_driver);
        drop(alarms);
        drop(before);
        // The driver waits for a later deadline.
        if let Some(driver) = driver {
            driver.wake();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl hyper::rt::Sleep for Sleep {}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).finish_non_exhaustive()
    }
}
