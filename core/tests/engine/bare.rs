//! A platform with only the required methods.

use std::pin::Pin;
use std::time::Duration;

use sinbin_core::serve::{Admission, Engine, Guarded, Platform, ServeTask, Unguarded, Until};
use sinbin_core::{
    Cx, Executor, Host, Instant, IoError, Limits, NoJob, Serves, Service, SourceId, Step, Task, Wait,
};

/// A service whose connections send nothing and wait for a second each, regardless of cancellations.
struct Silent;

struct SilentConn(SourceId);

impl Service for Silent {
    type Conn = SilentConn;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> SilentConn {
        SilentConn(source)
    }
}

impl<H: Host> Task<H> for SilentConn {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        if cx.now() >= Instant::ZERO + Duration::from_secs(1) {
            return Step::Done;
        }
        Step::Wait(Wait::time(Instant::ZERO + Duration::from_secs(1)))
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.0);
    }
}

struct Bare {
    now: Instant,
    room: Admission<()>,
}

impl Host for Bare {
    type Storage = Limits;
    type Task = ServeTask<Silent>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::WouldBlock)
    }

    fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Err(IoError::WouldBlock)
    }

    fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        Err(IoError::WouldBlock)
    }

    fn close(&mut self, _: SourceId) {
        self.let_go(());
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> ServeTask<Silent> {
        ServeTask::connect(self, connection)
    }
}

impl Serves<Silent> for Bare {
    fn service(&self) -> &Silent {
        &Silent
    }
}

impl Guarded for Bare {
    type Guard = Unguarded;
}

impl Platform for Bare {
    type Service = Silent;
    type Closed = ();
    type Error = ();

    fn room(&mut self) -> &mut Admission<()> {
        &mut self.room
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn linger(&mut self, _: SourceId, (): ()) {
        unreachable!("nothing is read out");
    }

    fn wait(&mut self, _: &mut Executor<Self>, until: Until) -> Result<bool, ()> {
        self.now = self.now + until.span(self.now).max(Duration::from_nanos(1));
        Ok(true)
    }
}

/// Creates a loop with one connection.
fn engine() -> Engine<Bare> {
    let bare = Bare { now: Instant::ZERO, room: Admission::new(1) };
    let mut engine = Engine::new(bare, &Limits::new(1, 1, 64), Duration::ZERO);
    assert_eq!(engine.serve(|bare, _| bare.room.enter()), Ok(()));
    engine
}

#[test]
fn a_connection_is_served_to_its_end() {
    let mut engine = engine();
    assert_eq!(engine.run(|| false), Ok(0));
    assert!(engine.platform.now >= Instant::ZERO + Duration::from_secs(1));
}

#[test]
fn a_loop_that_is_over_ends_though_its_platform_knows_of_no_end() {
    let mut engine = engine();
    engine.platform.begin_drain();
    assert_eq!(engine.run(|| true), Ok(0));
    assert!(engine.platform.now < Instant::ZERO + Duration::from_millis(1));
}
