//! A program with tasks that are `async fn`s: their futures are in pools of a fixed size, their wakers in statics, and
//! their jobs are computed in slices.

use core::hint::black_box;
use core::marker::PhantomData;
use core::pin::{Pin, pin};
use core::time::Duration;

use sinbin_core::fib::FibJob;
use sinbin_core::group::{JoinSet, scope};
use sinbin_core::job::Slicer;
use sinbin_core::sync::{Broadcast, Channel, Event, Lock, Oneshot, RwLock, Semaphore, Watch};
use sinbin_core::task::{
    Async, AsyncHost, Bell, Conn, ErasedJob, Error, FixedPlaces, Handle, Pool, RunContext, Signal, Signals,
    join, select,
};
use sinbin_core::{Executor, Fixed, Host, Instant, Interest, IoError, JobId, Rest, SourceId};

type Store = Fixed<8, 8, 8>;

static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; 8] = [const { Signal::new(&BELL) }; 8];

struct Board<'d> {
    slicer: Slicer<FibJob, Store>,
    tasks: PhantomData<Async<'d>>,
}

impl<'d> Host for Board<'d> {
    type Storage = Store;
    type Task = Async<'d>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, _: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        black_box(Ok(buffer.len()))
    }

    fn send(&mut self, _: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        black_box(Ok(bytes.len()))
    }

    fn close(&mut self, _: SourceId) {}

    fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> {
        unreachable!("nothing is accepted")
    }
}

impl<'d> AsyncHost<'d> for Board<'d> {
    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let Some(job) = job.job().downcast_mut().and_then(Option::take) else { return false };
        self.slicer.submit(id, job);
        true
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        self.slicer.take(id).is_some_and(|value| job.put(&mut Some(value)))
    }

    fn cancel_job(&mut self, id: JobId) {
        self.slicer.cancel(id);
    }
}

async fn echo(conn: Conn<'_>) -> Result<(), Error> {
    let mut buf = [0; 64];
    loop {
        let n = conn.recv(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        conn.handle().timeout(Duration::from_secs(1), conn.send_all(&buf[..n])).await??;
    }
}

async fn compute(
    handle: Handle<'_>,
    lock: &Lock<'_, u64>,
    results: &Channel<'_, u64, 2>,
) -> Result<(), Error> {
    let value = handle.job(FibJob::new(30)).await?;
    *lock.lock().await? += value;
    handle.sleep(Duration::from_millis(1)).await;
    results.send(value).await.ok();
    Ok(())
}

/// Runs two computations, and collects their results one by one.
async fn collect<'d, F>(
    handle: Handle<'d>,
    lock: &'d Lock<'d, u64>,
    results: &'d Channel<'d, u64, 2>,
    computing: Pin<&'d Pool<F, FixedPlaces<F, 2>>>,
    compute: impl Fn(Handle<'d>, &'d Lock<'d, u64>, &'d Channel<'d, u64, 2>) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + 'd,
{
    let set = JoinSet::with_limit(handle, 1);
    for _ in 0..2 {
        let place = set.reserve().await?;
        if let Ok((task, join_handle)) = computing.put(handle, compute(handle, lock, results)) {
            place.start((task.erase(), join_handle)).ok();
        }
        while let Some((_, result)) = set.join_next().await? {
            black_box(result.is_ok());
        }
    }
    set.shutdown().await?;
    Ok(())
}

/// Uses the values that tasks share.
async fn share(handle: Handle<'_>) -> Result<(), Error> {
    let (oneshot, watch) = (Oneshot::new(handle), Watch::new(handle, 0));
    let (broadcast, lock) = (Broadcast::<_, 2>::new(handle), RwLock::new(handle, 0));
    let (mut changes, mut messages) = (watch.receiver(), broadcast.receiver());
    for n in 0..black_box(3) {
        watch.send(n)?;
        broadcast.send(n)?;
        *lock.write().await? += n;
    }
    oneshot.sender().send(*lock.read().await?)?;
    changes.changed().await?;
    black_box((changes.get(), messages.recv().await.ok(), oneshot.recv().await?));
    Ok(())
}

/// Runs the loop, as on any host.
pub(crate) fn run() {
    let signals = Signals::new(&BELL, &SIGNALS);
    let run_context = RunContext::new(&signals);
    let handle = Handle::new(&run_context);
    let (lock, results) = (Lock::new(handle, 0), Channel::new(handle));
    let (event, semaphore) = (Event::new(handle), Semaphore::new(handle, 2));
    let computing = pin!(Pool::<_, _>::fixed::<2>());
    let (serving, first) = (pin!(Pool::<_, _>::fixed::<1>()), pin!(Pool::<_, _>::fixed::<1>()));

    let mut executor = Executor::<Board<'_>>::new(&Fixed);
    let mut board = Board { slicer: Slicer::new(&Fixed), tasks: PhantomData };
    if let Ok(source) = executor.kernel.open()
        && let Ok((task, _)) = serving.as_ref().put(handle, echo(Conn::new(handle, source)))
    {
        executor.spawn(task.erase()).ok();
    }
    let computing = computing.as_ref();
    let (lock, results, event, semaphore) = (&lock, &results, &event, &semaphore);
    let main = async move {
        let both = scope(handle, async |group| {
            for _ in 0..2 {
                if let Ok((task, join_handle)) = computing.put(handle, compute(handle, lock, results)) {
                    group.start((task.erase(), join_handle)).ok();
                }
            }
            Ok::<_, Error>(())
        });
        let heard = async {
            for _ in 0..2 {
                results.recv().await.ok();
            }
            event.set().ok();
        };
        let _permit = semaphore.acquire(1).await;
        join(both, heard).await.0.ok();
        select(event.wait(), handle.yield_now()).await;
        collect(handle, lock, results, computing, compute).await.ok();
        share(handle).await.ok();
    };
    if let Ok((task, _)) = first.as_ref().put(handle, main) {
        executor.spawn(task.erase()).ok();
    }
    let mut now = 0;
    while executor.kernel.rest() != Rest::Empty {
        now = black_box(now + 1);
        signals.deliver(&mut executor.kernel);
        executor.turn(Instant::from_nanos(now), &mut board);
        if let Some(job) = board.slicer.run(1000) {
            executor.kernel.job_done(job);
        }
        while let Some((source, _)) = executor.kernel.next_change() {
            executor.kernel.ready(source, Interest::RECV);
        }
    }
}
