//! Panics in the user's code: each ends a single connection.

use std::pin::Pin;

use sinbin_core::serve::{Guard, Subject, Unguarded};
use sinbin_core::task::Label;
use sinbin_core::{Cx, NoJob, Service, SourceId, Step, Task, TaskId, Wait};

use crate::world::{World, engine, reports};

/// The methods in which a service panics.
#[derive(Clone, Copy, Default)]
struct Places {
    connect: bool,
    spawned: bool,
    resume: bool,
    panicked: bool,
    end: bool,
    dropped: bool,
    label: bool,
    name: bool,
}

struct Planted(Places);

struct PlantedConn(SourceId, Places);

impl Drop for PlantedConn {
    fn drop(&mut self) {
        assert!(!self.1.dropped, "planted");
    }
}

impl Service for Planted {
    type Conn = PlantedConn;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> PlantedConn {
        assert!(!self.0.connect, "planted");
        PlantedConn(source, self.0)
    }

    fn name(&self) -> &'static str {
        assert!(!self.0.name, "planted");
        "a service"
    }
}

impl Task<World<Planted>> for PlantedConn {
    fn resume(self: Pin<&mut Self>, _: &mut Cx<'_, World<Planted>>) -> Step {
        assert!(!self.1.resume, "planted");
        Step::Done
    }

    fn spawned(self: Pin<&mut Self>, _: TaskId) {
        assert!(!self.1.spawned, "planted");
    }

    fn label(&self) -> Option<Label> {
        assert!(!self.1.label, "planted");
        None
    }

    fn panicked(self: Pin<&mut Self>, _: &mut Cx<'_, World<Planted>>) {
        assert!(!self.1.panicked, "planted");
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, World<Planted>>) {
        cx.close(self.0);
        assert!(!self.1.end, "planted");
    }
}

/// Serves a connection with a service that panics in these methods. Returns the reports and the number of lost
/// connections.
fn said(places: Places) -> (Vec<String>, usize) {
    let mut world: World<Planted> = World::new(Planted(places), 10);
    let client = world.connect(b"");
    world.clients[client].has_ended = true;
    world.then(1, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(0));
    assert!(engine.platform.clients[client].is_closed, "the connection is closed in any case");
    assert_eq!(engine.platform.room.open(), 0);
    (reports(), engine.platform.panicked)
}

#[test]
fn a_connection_is_lost_alone_wherever_its_code_panics() {
    let task = |did: &str| format!("task: a connection's task (engine::panics::PlantedConn): {did}: planted");
    assert_eq!(said(Places::default()), (vec![], 0));
    let connect = said(Places { connect: true, ..Places::default() });
    assert_eq!(connect, (vec!["source: a service: panicked when a connection came: planted".to_owned()], 1));
    let nameless = said(Places { connect: true, name: true, ..Places::default() });
    let planted = "source: engine::panics::Planted: panicked when a connection came: planted".to_owned();
    assert_eq!(nameless, (vec![planted], 1));
    let spawned = said(Places { spawned: true, ..Places::default() });
    assert_eq!(spawned, (vec![task("panicked")], 1));
    let resume = said(Places { resume: true, label: true, ..Places::default() });
    assert_eq!(resume, (vec![task("panicked")], 1));
    let again = said(Places { resume: true, panicked: true, ..Places::default() });
    assert_eq!(again, (vec![task("panicked"), task("panicked again when it was told")], 1));
    let end = said(Places { end: true, ..Places::default() });
    assert_eq!(end, (vec![task("panicked at its end")], 0));
    let dropped = said(Places { dropped: true, ..Places::default() });
    let value = "value: engine::panics::PlantedConn: panicked when it was dropped: planted".to_owned();
    assert_eq!(dropped, (vec![value], 0));
}

#[test]
fn a_loop_that_is_dropped_drops_each_task_by_the_guard() {
    let world: World<Planted> = World::new(Planted(Places { dropped: true, ..Places::default() }), 10);
    let mut engine = engine(world, 11);
    for _ in 0..2 {
        let client = engine.platform.connect(b"");
        assert_eq!(engine.serve(|world, source| world.adopt(source, client)), Ok(()));
    }
    engine.clear();
    assert_eq!(reports().len(), 2);
}

/// A service whose tasks have a name.
struct Named;

struct NamedConn(SourceId);

impl Service for Named {
    type Conn = NamedConn;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> NamedConn {
        NamedConn(source)
    }
}

impl Task<World<Named>> for NamedConn {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, World<Named>>) -> Step {
        if cx.host.clients[0].sent.is_empty() {
            return Step::Wait(Wait::recv(self.0));
        }
        panic!("planted");
    }

    fn label(&self) -> Option<Label> {
        Some(Label { name: "a task with a name", spawned: core::panic::Location::caller() })
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, World<Named>>) {
        cx.close(self.0);
    }
}

#[test]
fn a_report_names_the_task_and_so_does_the_loop() {
    let mut world: World<Named> = World::new(Named, 10);
    world.connect(b"");
    world.then(1, |world, executor| {
        let tasks: Vec<_> = executor.kernel.tasks().map(|task| task.id).collect();
        let labels = tasks.iter().filter_map(|task| executor.label(*task)).map(|label| label.name);
        // The other task is the acceptor, which has no name.
        assert_eq!((tasks.len(), labels.collect::<Vec<_>>()), (2, vec!["a task with a name"]));
        // Neither waits for a lock or a channel.
        assert_eq!(tasks.iter().filter_map(|task| executor.wait_name(*task)).count(), 0);
        world.clients[0].sent.extend(b"x");
    });
    world.then(2, |world, _| world.clients[0].has_ended = true);
    world.then(3, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(0));
    let reports = reports();
    let [report] = &reports[..] else { panic!("one report: {reports:?}") };
    assert!(report.starts_with("task: a task with a name, spawned at "), "{report}");
    assert!(report.ends_with(": panicked: planted"), "{report}");
}

#[test]
fn without_a_catch_the_code_is_called_as_it_is() {
    assert_eq!(Unguarded.call(|| 7), Ok(7));
    Unguarded.drop(Box::new(7));
    Unguarded.report(Subject::Value, format_args!("this is discarded"));
}
