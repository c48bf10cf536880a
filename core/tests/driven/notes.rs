//! Notes about tasks for a reader of the tables: their names, who has spawned them, and what they wait for.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;

use sinbin_core::driven::{Compute, Driven};
use sinbin_core::kernel::{Storage, TaskNote};
use sinbin_core::sync::Channel;
use sinbin_core::task::{Async, AsyncService, Conn, Handle, NoWakers, Pool, RunContext, WaitKind};
use sinbin_core::{Growing, Instant, Limits, TaskId};

use crate::{WINDOW, arrived};

type Notes = Rc<RefCell<Vec<(TaskId, TaskNote)>>>;

/// Storage that keeps the notes.
#[derive(Clone)]
struct Noting(Limits, Notes);

impl Storage for Noting {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;
    type Beacon = ();

    fn tasks<T>(&self) -> Growing<T> {
        Storage::tasks(&self.0)
    }

    fn sources<T>(&self) -> Growing<T> {
        Storage::sources(&self.0)
    }

    fn jobs<T>(&self) -> Growing<T> {
        self.0.jobs()
    }

    fn blocks<T>(&self) -> Growing<T> {
        self.0.blocks()
    }

    fn bytes(&self) -> Box<[u8]> {
        self.0.bytes()
    }

    fn beacon(&self) {}

    fn note_task(&self, task: TaskId, note: TaskNote) {
        // Storage without readers does nothing.
        self.0.note_task(task, note);
        self.1.borrow_mut().push((task, note));
    }
}

async fn nothing() {}

/// Spawns a task, and waits for the value that it sends.
async fn serve<'a>(handle: Handle<'a>, inbox: Rc<Channel<'a, u8, 1>>) {
    handle.spawn(send(Rc::clone(&inbox))).expect("there is room");
    inbox.recv().await.expect("a value");
}

async fn send(inbox: Rc<Channel<'_, u8, 1>>) {
    inbox.send(7).await.expect("there is room");
}

#[test]
fn storage_is_told_the_names_of_tasks_their_parents_and_their_waits() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let inbox = Rc::new(Channel::named(handle, "inbox"));
    let pool = pin!(Pool::growing(1));
    let service =
        AsyncService::new(handle, Pin::as_ref(&pool), |_: Conn<'_>| serve(handle, Rc::clone(&inbox)));
    let limits = Limits::new(8, 1, 256);
    let notes = Notes::default();
    let storage = Noting(limits, Rc::clone(&notes));
    let mut driven = Driven::with_storage(service, &limits, storage, Compute::Here { slice: 1 });
    let main = driven.start(Async::new(handle, nothing()).0).ok().expect("there is room");
    assert!(matches!(notes.take()[..], [(task, TaskNote::Named(name, place))]
            if task == main && name.ends_with("notes::nothing") && place.file().ends_with("driven/notes.rs")));
    driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
    let noted = notes.take();
    let named = |with: &str| {
        let is_named = |note: &TaskNote| matches!(note, TaskNote::Named(name, _) if name.ends_with(with));
        noted.iter().find(|(_, note)| is_named(note)).expect("a task with this name").0
    };
    let (connection, spawned) = (named("notes::serve"), named("notes::send"));
    assert!(noted.contains(&(spawned, TaskNote::SpawnedBy(connection))), "{noted:?}");
    let wait = TaskNote::WaitsFor(Some((WaitKind::Recv.number(), "inbox")));
    let waits = noted.iter().filter(|(_, note)| matches!(note, TaskNote::WaitsFor(_)));
    assert_eq!(waits.collect::<Vec<_>>(), [&(connection, wait), &(connection, TaskNote::WaitsFor(None))]);
}
