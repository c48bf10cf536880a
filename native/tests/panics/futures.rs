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

/// Where the user's code is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    BeforeTheFuture,
    FirstStep,
    Step,
    WithoutText,
    WithAGrumble,
    /// The step panics, and the future's destructor as well.
    StepAndDrop,
    /// The future's destructor, behind its result.
    DropBehind,
    RecvWith,
    TryRecvWith,
    ErrorShown,
    ErrorDropped,
    /// Of a task that the connection's has spawned, and forgets.
    Child,
    ChildCancelled,
    ChildsResult,
    ChildsResultUnwanted,
    /// The wakers of an executor within the task.
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

const PLACES: [Place; 24] = [
    Place::BeforeTheFuture,
    Place::FirstStep,
    Place::Step,
    Place::WithoutText,
    Place::WithAGrumble,
    Place::StepAndDrop,
    Place::DropBehind,
    Place::RecvWith,
    Place::TryRecvWith,
    Place::ErrorShown,
    Place::ErrorDropped,
    Place::Child,
    Place::ChildCancelled,
    Place::ChildsResult,
    Place::ChildsResultUnwanted,
    Place::WakerWoken,
    Place::WakerCloned,
    Place::WakerDropped,
    Place::JobRuns,
    Place::JobDropped,
    Place::JobCancelled,
    Place::ResultDropped,
    Place::ResultUnwanted,
    Place::TimedOut,
];

impl Place {
    /// Returns the name in the report, beside the panic's text.
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

/// Panics when it is dropped, the first that is.
struct Strikes;

impl Drop for Strikes {
    fn drop(&mut self) {
        if is_armed() {
            strike();
        }
    }
}

/// Why a connection fails.
enum Failure {
    Of(Error),
    /// An error that panics when it is shown.
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

static PLACE: Mutex<Place> = Mutex::new(Place::Step);

fn serve(conn: Conn<'_>) -> impl Future<Output = Result<(), Failure>> {
    let place = *PLACE.lock().expect("nobody panics with it");
    if place == Place::BeforeTheFuture {
        strike();
    }
    answer(conn, place)
}

async fn answer(conn: Conn<'_>, place: Place) -> Result<(), Failure> {
    if place == Place::FirstStep {
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

async fn misbehave(conn: &Conn<'_>, place: Place) -> Result<(), Failure> {
    let on = conn.on();
    match place {
        Place::Step => strike(),
        Place::WithoutText => {
            disarm();
            strike_without_text();
        }
        Place::WithAGrumble => {
            disarm();
            strike_with_a_grumble();
        }
        // (In an `async fn` what it awaits would be dropped while it unwinds: a second panic there aborts, by the language's
        // rule.)
        Place::StepAndDrop => drop(on.spawn(Both(Strikes)).expect("there is room")),
        Place::DropBehind => drop(Strikes),
        Place::RecvWith => {
            conn.shutdown()?;
            conn.recv_with(|_| strike()).await?;
        }
        Place::TryRecvWith => {
            conn.shutdown()?;
            conn.readable().await?;
            conn.try_recv_with(|_| strike())?;
        }
        Place::ErrorShown => return Err(Failure::Shown),
        Place::ErrorDropped => return Err(Failure::Dropped(Strikes)),
        Place::Child => drop(on.spawn(child(true)).expect("there is room")),
        Place::ChildCancelled => {
            let child = on.spawn(child(false)).expect("there is room");
            on.yield_now().await;
            child.cancel();
            on.yield_now().await;
        }
        Place::ChildsResult => {
            let mut child = on.spawn(fruitful()).expect("there is room");
            drop(child.join().await);
        }
        Place::ChildsResultUnwanted => drop(on.spawn(fruitful()).expect("there is room")),
        Place::WakerWoken | Place::WakerCloned | Place::WakerDropped => within(conn, place).await,
        Place::JobRuns => on.job(strike).await.map_err(Error::from)?,
        Place::JobDropped => {
            on.job(Work { until: Arc::default(), strikes: Some(Strikes) }).await.map_err(Error::from)?;
        }
        Place::JobCancelled => cancelled(conn).await,
        Place::ResultDropped => drop(on.job(|| Strikes).await),
        Place::ResultUnwanted => unwanted(conn).await,
        Place::TimedOut => {
            let forever = async {
                let _strikes = Strikes;
                std::future::pending::<()>().await;
            };
            on.timeout(Duration::from_millis(1), forever).await.ok();
        }
        Place::BeforeTheFuture | Place::FirstStep => {}
    }
    Ok(())
}

/// Spends the planted panic, so that the one that follows has another text.
fn disarm() {
    std::panic::catch_unwind(strike).expect_err("it is armed");
}

/// Panics when it is polled, and when it is dropped.
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

/// An executor within the task, whose waker panics.
async fn within(conn: &Conn<'_>, place: Place) {
    std::future::poll_fn(|_| {
        static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, gone);
        let raw = RawWaker::new((place as usize) as *const (), &TABLE);
        #[expect(unsafe_code, reason = "the standard library makes a waker of a pointer and a table only")]
        // SAFETY: the table's functions take any pointer.
        let waker = unsafe { Waker::from_raw(raw) };
        let mut context = Context::from_waker(&waker);
        if place == Place::WakerWoken {
            _ = pin!(conn.on().yield_now()).poll(&mut context);
        } else if place == Place::WakerCloned {
            drop(context.waker().clone());
        }
        Poll::Ready(())
    })
    .await;
}

fn at(data: *const (), place: Place) {
    if data as usize == place as usize {
        strike();
    }
}

fn clone(data: *const ()) -> RawWaker {
    at(data, Place::WakerCloned);
    RawWaker::new(std::ptr::null(), Waker::noop().vtable())
}

fn wake(data: *const ()) {
    at(data, Place::WakerWoken);
}

fn gone(data: *const ()) {
    at(data, Place::WakerDropped);
}

/// A job that ends when it is told to.
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

/// Jobs that are given up, the first while it is computed and the second perhaps before.
async fn cancelled(conn: &Conn<'_>) {
    IS_ENDLESS.store(true, Ordering::Relaxed);
    let job = || conn.on().job(Work { until: Arc::default(), strikes: Some(Strikes) });
    conn.on().timeout(Duration::from_millis(1), sinbin::task::join(job(), job())).await.ok();
    while is_armed() {
        conn.on().sleep(Duration::from_millis(1)).await;
    }
    IS_ENDLESS.store(false, Ordering::Relaxed);
}

/// A result that comes when nobody wants it any more.
async fn unwanted(conn: &Conn<'_>) {
    let may_end = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&may_end);
    let job = conn.on().job(move || {
        end.store(true, Ordering::SeqCst);
        Strikes
    });
    {
        let mut job = pin!(job);
        // The job is begun, and looked at no more.
        std::future::poll_fn(|context| {
            assert!(job.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        while !may_end.load(Ordering::SeqCst) {
            conn.on().sleep(Duration::from_millis(1)).await;
        }
        conn.on().sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn on_the_native_loop() {
    let _alone = alone();
    for (place, workers) in PLACES.into_iter().flat_map(|place| [(place, 1), (place, 0)]) {
        let (listener, address) = listener();
        let (tell, stopper) = channel();
        *PLACE.lock().expect("nobody panics with it") = place;
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
