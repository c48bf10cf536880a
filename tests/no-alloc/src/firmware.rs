//! A program that uses the whole core: kernel, executor, slicer and the shipped services, on a board whose only
//! connection is a few bytes of memory.

mod tasks;

use core::hint::black_box;
use core::pin::Pin;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::exec::Jobs;
use sinbin_core::fib::FibJob;
use sinbin_core::fib_service::{Fib, FibConn};
use sinbin_core::job::Slicer;
use sinbin_core::serve::Acceptor;
use sinbin_core::{
    Cx, Executor, Fixed, Host, Instant, Interest, IoError, JobId, Rest, Serves, Service, SourceId, Step, Task,
};

type Store = Fixed<8, 8, 8, 2, 256>;

/// The board, with the bytes of its only connection in both directions.
struct Board {
    fib: Fib,
    echo: Echo,
    upper: Upper,
    slicer: Slicer<FibJob, Store>,
    wire: [u8; 64],
}

/// A task of the board.
enum AnyTask {
    Accept(Acceptor),
    Fib(FibConn),
    Echo(<Echo as Service>::Conn),
    Upper(<Upper as Service>::Conn),
}

impl Task<Board> for AnyTask {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Board>) -> Step {
        match self.get_mut() {
            Self::Accept(task) => Pin::new(task).resume(cx),
            Self::Fib(task) => Pin::new(task).resume(cx),
            Self::Echo(task) => Pin::new(task).resume(cx),
            Self::Upper(task) => Pin::new(task).resume(cx),
        }
    }
}

impl Host for Board {
    type Storage = Store;
    type Task = AnyTask;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        black_box(Ok(()))
    }

    fn recv(&mut self, _: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let count = buffer.len().min(self.wire.len());
        buffer[..count].copy_from_slice(&self.wire[..count]);
        Ok(count)
    }

    fn send(&mut self, _: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let count = bytes.len().min(self.wire.len());
        self.wire[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn close(&mut self, _: SourceId) {}

    fn serve(&mut self, listener: SourceId, connection: SourceId) -> AnyTask {
        match listener.index() {
            0 => AnyTask::Fib(self.fib.connect(connection)),
            1 => AnyTask::Echo(self.echo.connect(connection)),
            _ => AnyTask::Upper(self.upper.connect(connection)),
        }
    }
}

impl Jobs<FibJob> for Board {
    fn submit(&mut self, id: JobId, job: FibJob) {
        self.slicer.submit(id, job);
    }

    fn take(&mut self, id: JobId) -> Option<u64> {
        self.slicer.take(id)
    }

    fn cancel(&mut self, id: JobId) {
        self.slicer.cancel(id);
    }
}

impl Serves<Fib> for Board {
    fn service(&self) -> &Fib {
        &self.fib
    }
}

impl Serves<Echo> for Board {
    fn service(&self) -> &Echo {
        &self.echo
    }
}

impl Serves<Upper> for Board {
    fn service(&self) -> &Upper {
        &self.upper
    }
}

/// Runs the loop, as on any host.
fn run(board: &mut Board) {
    let mut executor = Executor::new(&Fixed);
    for _ in 0..3 {
        if let Ok(listener) = executor.kernel.open() {
            executor.spawn(AnyTask::Accept(Acceptor::new(listener))).ok();
        }
    }
    let mut now = 0;
    while executor.kernel.rest() != Rest::Empty {
        now = black_box(now + 1);
        executor.turn(Instant::from_nanos(now), board);
        if let Some(job) = board.slicer.run(1000) {
            executor.kernel.job_done(job);
        }
        while let Some((source, _)) = executor.kernel.next_change() {
            executor.kernel.ready(source, Interest::RECV);
        }
    }
}

// SAFETY: no other symbol of this program has this name.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    #[cfg(feature = "canary")]
    black_box(alloc::boxed::Box::new(1));
    let mut board = Board {
        fib: Fib::default(),
        echo: Echo::default(),
        upper: Upper::default(),
        slicer: Slicer::new(&Fixed),
        wire: black_box([b'1'; 64]),
    };
    run(&mut board);
    tasks::run();
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
