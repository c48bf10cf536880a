use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use sinbin::Settings;
use sinbin::task::{Conn, Error};

use crate::scene::{
    PLANTED, alone, expect_end, expect_report, is_armed, listener, strike, strike_with_a_grumble,
    strike_without_text, visit,
};

/// The user code that panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PanicSite {
    BeforeTheFuture,
    FirstStep,
    Step,
    WithoutText,
    WithAGrumble,
    /// The step panics, and then the future's destructor.
    StepAndDrop,
    /// The future's destructor panics after the future has returned.
    DropBehind,
    RecvWith,
    TryRecvWith,
    ErrorShown,
    ErrorDropped,
    /// A task that the connection's task has spawned and detached.
    Child,
    ChildCancelled,
    ChildsResult,
    ChildsResultUnwanted,
    /// The waker of an executor within the task.
    WakerWoken,
    WakerCloned,
    WakerDropped,
    JobRuns,
    JobDropped,
    JobCancelled,
    ResultDropped,
    ResultUnwanted,
    TimedOut,
}

const PANIC_SITES: [PanicSite; 24] = [
    PanicSite::BeforeTheFuture,
    PanicSite::FirstStep,
    PanicSite::Step,
    PanicSite::WithoutText,
    PanicSite::WithAGrumble,
    PanicSite::StepAndDrop,
    PanicSite::DropBehind,
    PanicSite::RecvWith,
    PanicSite::TryRecvWith,
    PanicSite::ErrorShown,
    PanicSite::ErrorDropped,
    PanicSite::Child,
    PanicSite::ChildCancelled,
    PanicSite::ChildsResult,
    PanicSite::ChildsResultUnwanted,
    PanicSite::WakerWoken,
    PanicSite::WakerCloned,
    PanicSite::WakerDropped,
    PanicSite::JobRuns,
    PanicSite::JobDropped,
    PanicSite::JobCancelled,
    PanicSite::ResultDropped,
    PanicSite::ResultUnwanted,
    PanicSite::TimedOut,
];

impl PanicSite {
    /// Returns the name that the report contains in addition to the panic's text.
    fn name(self) -> &'static str {
        match self {
            Self::Child | Self::ChildCancelled => "futures::child",
            Self::StepAndDrop => "futures::Both",
            Self::ChildsResultUnwanted => "futures::fruitful",
            Self::JobDropped | Self::JobCancelled => "BoxedJob",
            Self::ResultUnwanted => "panicked when it was dropped",
            _ => "futures::answer",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::WithoutText | Self::WithAGrumble => "with a value that is no text",
            _ => PLANTED,
        }
    }
}

/// A value that panics when it is dropped while the panic is armed.
struct Strikes;

impl Drop for Strikes {
    fn drop(&mut self) {
        if is_armed() {
            strike();
        }
    }
}

/// The error of a connection.
enum Failure {
    Of(Error),
    /// An error that panics when it is displayed.
    Shown,
    Dropped(Strikes),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(error) => error.fmt(f),
            Self::Shown => {
                strike();
                Ok(())
            }
            Self::Dropped(_) => f.write_str("it is about to be dropped"),
        }
    }
}

static PLACE: Mutex<PanicSite> = Mutex::new(PanicSite::Step);

fn serve(conn: Conn<'_>) -> impl Future<Output = Result<(), Failure>> {
    let place = *PLACE.lock().expect("no thread panics while it holds the lock");
    if place == PanicSite::BeforeTheFuture {
        strike();
    }
    answer(conn, place)
}

async fn answer(conn: Conn<'_>, place: PanicSite) -> Result<(), Failure> {
    if place == PanicSite::FirstStep {
        strike();
    }
    let mut word = [0; 4];
    let count = conn.recv(&mut word).await?;
    match &word[..count] {
        b"good" => conn.send_all(b"good").await?,
        b"bad!" => Box::pin(misbehave(&conn, place)).await?,
        _ => {}
    }
    Ok(())
}

async fn misbehave(conn: &Conn<'_>, place: PanicSite) -> Result<(), Failure> {
    let handle = conn.handle();
    match place {
        PanicSite::Step => strike(),
        PanicSite::WithoutText => {
            disarm();
            strike_without_text();
        }
        PanicSite::WithAGrumble => {
            disarm();
            strike_with_a_grumble();
        }
        // (In an `async fn`, the awaited future would be dropped during unwinding. A second panic there aborts the
        // process, by the rules of the language.)
        PanicSite::StepAndDrop => drop(handle.spawn(Both(Strikes)).expect("there is room")),
        PanicSite::DropBehind => drop(Strikes),
        PanicSite::RecvWith => {
            conn.shutdown()?;
            conn.recv_with(|_| strike()).await?;
        }
        PanicSite::TryRecvWith => {
            conn.shutdown()?;
            conn.readable().await?;
            conn.try_recv_with(|_| strike())?;
        }
        PanicSite::ErrorShown => return Err(Failure::Shown),
        PanicSite::ErrorDropped => return Err(Failure::Dropped(Strikes)),
        PanicSite::Child => drop(handle.spawn(child(true)).expect("there is room")),
        PanicSite::ChildCancelled => {
            let child = handle.spawn(child(false)).expect("there is room");
            handle.yield_now().await;
            child.cancel();
            handle.yield_now().await;
        }
        PanicSite::ChildsResult => {
            let mut child = handle.spawn(fruitful()).expect("there is room");
            drop(child.join().await);
        }
        PanicSite::ChildsResultUnwanted => drop(handle.spawn(fruitful()).expect("there is room")),
        PanicSite::WakerWoken | PanicSite::WakerCloned | PanicSite::WakerDropped => within(conn, place).await,
        PanicSite::JobRuns => handle.job(strike).await.map_err(Error::from)?,
        PanicSite::JobDropped => {
            handle.job(Work { until: Arc::default(), strikes: Some(Strikes) }).await.map_err(Error::from)?;
        }
        PanicSite::JobCancelled => cancelled(conn).await,
        PanicSite::ResultDropped => drop(handle.job(|| Strikes).await),
        PanicSite::ResultUnwanted => unwanted(conn).await,
        PanicSite::TimedOut => {
            let forever = async {
                let _strikes = Strikes;
                std::future::pending::<()>().await;
            };
            handle.timeout(Duration::from_millis(1), forever).await.ok();
        }
        PanicSite::BeforeTheFuture | PanicSite::FirstStep => {}
    }
    Ok(())
}

/// Triggers and catches the planted panic, so that the next panic has another text.
fn disarm() {
    std::panic::catch_unwind(strike).expect_err("it is armed");
}

/// A future that panics when it is polled and when it is dropped.
struct Both(Strikes);

impl Future for Both {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        panic!("{PLANTED} in poll");
    }
}

async fn child(at_once: bool) {
    if at_once {
        strike();
    }
    let _strikes = Strikes;
    std::future::pending::<()>().await;
}

async fn fruitful() -> Strikes {
    Strikes
}

/// Polls with a waker that panics, like an executor within the task.
async fn within(conn: &Conn<'_>, place: PanicSite) {
    std::future::poll_fn(|_| {
        static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, gone);
        let raw = RawWaker::new((place as usize) as *const (), &TABLE);
        #[expect(unsafe_code, reason = "creating a waker from a custom table is unsafe")]
        // SAFETY: the functions of the table accept any pointer.
        let waker = unsafe { Waker::from_raw(raw) };
        let mut context = Context::from_waker(&waker);
        if place == PanicSite::WakerWoken {
            _ = pin!(conn.handle().yield_now()).poll(&mut context);
        } else if place == PanicSite::WakerCloned {
            drop(context.waker().clone());
        }
        Poll::Ready(())
    })
    .await;
}

fn at(data: *const (), place: PanicSite) {
    if data as usize == place as usize {
        strike();
    }
}

fn clone(data: *const ()) -> RawWaker {
    at(data, PanicSite::WakerCloned);
    RawWaker::new(std::ptr::null(), Waker::noop().vtable())
}

fn wake(data: *const ()) {
    at(data, PanicSite::WakerWoken);
}

fn gone(data: *const ()) {
    at(data, PanicSite::WakerDropped);
}

/// A job that ends when its flag is set.
struct Work {
    until: Arc<AtomicBool>,
    strikes: Option<Strikes>,
}

impl sinbin::Job for Work {
    type Output = ();

    fn run(&mut self, _: u32) -> sinbin::Progress<()> {
        if self.until.load(Ordering::Relaxed)
            || is_armed() && self.strikes.is_some() && !IS_ENDLESS.load(Ordering::Relaxed)
        {
            return sinbin::Progress::Done(());
        }
        sinbin::Progress::More
    }
}

static IS_ENDLESS: AtomicBool = AtomicBool::new(false);

/// Cancels two jobs: one while it is computed, the other possibly before.
async fn cancelled(conn: &Conn<'_>) {
    IS_ENDLESS.store(true, Ordering::Relaxed);
    let job = || conn.handle().job(Work { until: Arc::default(), strikes: Some(Strikes) });
    conn.handle().timeout(Duration::from_millis(1), sinbin::task::join(job(), job())).await.ok();
    while is_armed() {
        conn.handle().sleep(Duration::from_millis(1)).await;
    }
    IS_ENDLESS.store(false, Ordering::Relaxed);
}

/// Produces a result that arrives after the job was cancelled.
async fn unwanted(conn: &Conn<'_>) {
    let may_end = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&may_end);
    let job = conn.handle().job(move || {
        end.store(true, Ordering::SeqCst);
        Strikes
    });
    {
        let mut job = pin!(job);
        // The job is started and never polled again.
        std::future::poll_fn(|context| {
            assert!(job.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        while !may_end.load(Ordering::SeqCst) {
            conn.handle().sleep(Duration::from_millis(1)).await;
        }
        conn.handle().sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn on_the_native_loop() {
    let _alone = alone();
    for (place, workers) in PANIC_SITES.into_iter().flat_map(|place| [(place, 1), (place, 0)]) {
        let (listener, address) = listener();
        let (tell, stopper) = channel();
        *PLACE.lock().expect("no thread panics while it holds the lock") = place;
        let server = thread::spawn(move || {
            let mut settings = Settings::default();
            settings.workers = workers;
            let started = |stopper| tell.send(stopper).expect("the test waits for it");
            settings.serve([listener], started, serve).map_err(|error| error.to_string())
        });
        let stopper = stopper.recv().expect("it is started");
        visit(address, &(place, workers));
        expect_report(&(place, workers), &[place.name(), place.text()]);
        stopper.stop();
        expect_end(&(place, workers), server.join());
    }
}
