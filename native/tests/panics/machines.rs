use std::pin::Pin;
use std::sync::mpsc::channel;
use std::thread;

use sinbin::exec::Jobs;
use sinbin::guests::{GuestServer, GuestSettings, InProcess};
use sinbin::job::WireJob;
use sinbin::kernel::Op;
use sinbin::task::Label;
use sinbin::{
    Cx, Instant, Job, JobId, Progress, Server, Serves, Service, Settings, SourceId, Step, Task, TaskId, Wait,
};

use crate::scene::{
    PLANTED, alone, expect_end, expect_report, listener, strike, strike_with_a_grumble, strike_without_text,
    visit,
};

/// The user code that panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PanicSite {
    Connect,
    Spawned,
    /// Called for a report of another panic.
    Label,
    FirstStep,
    Step,
    WithoutText,
    WithAGrumble,
    /// Called after another panic.
    Panicked,
    End,
    /// The destructor of the task.
    Dropped,
    JobRuns,
    JobDropped,
    /// The destructor of a job that is cancelled while it waits, or while it is computed.
    JobCancelled,
    ResultDropped,
    ResultUnwanted,
    // Called only if jobs are passed as bytes.
    JobEncoded,
    JobDecoded,
    ResultEncoded,
    ResultDecoded,
}

const PANIC_SITES: [PanicSite; 15] = [
    PanicSite::Connect,
    PanicSite::Spawned,
    PanicSite::Label,
    PanicSite::FirstStep,
    PanicSite::Step,
    PanicSite::WithoutText,
    PanicSite::WithAGrumble,
    PanicSite::Panicked,
    PanicSite::End,
    PanicSite::Dropped,
    PanicSite::JobRuns,
    PanicSite::JobDropped,
    PanicSite::JobCancelled,
    PanicSite::ResultDropped,
    PanicSite::ResultUnwanted,
];

const OF_BYTES: [PanicSite; 4] =
    [PanicSite::JobEncoded, PanicSite::JobDecoded, PanicSite::ResultEncoded, PanicSite::ResultDecoded];

impl PanicSite {
    /// Panics if `here` is the planted place.
    fn at(self, here: Self) {
        if self == here {
            strike();
        }
    }

    /// Returns the name that the report contains in addition to the panic's text.
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "machines::Planted",
            Self::JobRuns | Self::JobDecoded | Self::ResultEncoded => "machines::Work",
            Self::JobDropped | Self::JobCancelled => "machines::Work",
            Self::ResultUnwanted => "machines::Fruit",
            Self::JobEncoded | Self::ResultDecoded => "machines::Work: a job panicked",
            _ => "machines::Conn",
        }
    }
}

struct Planted(PanicSite);

struct Conn {
    source: SourceId,
    place: PanicSite,
    job: Option<JobId>,
    has_begun: bool,
    is_bad: bool,
}

impl Service for Planted {
    type Conn = Conn;
    type Job = Work;

    fn connect(&self, source: SourceId) -> Conn {
        self.0.at(PanicSite::Connect);
        Conn { source, place: self.0, job: None, has_begun: false, is_bad: false }
    }
}

impl Conn {
    fn answer<H: Serves<Planted> + Jobs<Work>>(&mut self, cx: &mut Cx<'_, H>) -> Step {
        let mut bytes = [0; 4];
        let read = cx.recv(self.source, &mut bytes);
        match read.map(|count| &bytes[..count]) {
            Ok(b"good") => {
                cx.send(self.source, b"good").expect("there is room");
                Step::Done
            }
            Ok(b"bad!") => self.misbehave(cx),
            Ok(_) => Step::Done,
            Err(error) => cx.failed(Op::Recv, self.source, error, Instant::NEVER),
        }
    }

    fn misbehave<H: Serves<Planted> + Jobs<Work>>(&mut self, cx: &mut Cx<'_, H>) -> Step {
        self.is_bad = true;
        self.place.at(PanicSite::Step);
        let slices = if self.place == PanicSite::JobCancelled { u32::MAX } else { 2 };
        let job = Work { place: self.place, slices };
        match self.place {
            PanicSite::Label | PanicSite::Panicked => panic!("{PLANTED} before"),
            PanicSite::WithoutText => {
                strike_quietly();
                strike_without_text();
            }
            PanicSite::WithAGrumble => {
                strike_quietly();
                strike_with_a_grumble();
            }
            PanicSite::JobCancelled => {
                let job = cx.submit(job).expect("there is room");
                cx.cancel_job::<Work>(job);
            }
            _ if job.is_wanted() => {
                let job = cx.submit(job).expect("there is room");
                self.job = Some(job);
                return Step::Wait(Wait::job(job));
            }
            _ => {}
        }
        Step::Done
    }

    /// Handles the end of the job. If the job was lost, there is no result.
    fn collect<H: Serves<Planted> + Jobs<Work>>(&mut self, job: JobId, cx: &mut Cx<'_, H>) -> Step {
        if self.place == PanicSite::ResultUnwanted {
            cx.cancel_job::<Work>(job);
        } else {
            drop(cx.take_job::<Work>(job));
        }
        Step::Done
    }
}

/// Triggers and catches the planted panic, so that the next panic has another text.
fn strike_quietly() {
    std::panic::catch_unwind(strike).expect_err("it is armed");
}

impl<H: Serves<Planted> + Jobs<Work>> Task<H> for Conn {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.place.at(PanicSite::FirstStep);
        }
        match self.job {
            Some(job) => self.collect(job, cx),
            None => self.answer(cx),
        }
    }

    fn spawned(self: Pin<&mut Self>, _: TaskId) {
        self.place.at(PanicSite::Spawned);
    }

    fn label(&self) -> Option<Label> {
        if self.is_bad {
            self.place.at(PanicSite::Label);
        }
        None
    }

    fn panicked(self: Pin<&mut Self>, _: &mut Cx<'_, H>) {
        if self.is_bad {
            self.place.at(PanicSite::Panicked);
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
        if self.is_bad {
            self.place.at(PanicSite::End);
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.is_bad {
            self.place.at(PanicSite::Dropped);
        }
    }
}

struct Work {
    place: PanicSite,
    slices: u32,
}

struct Fruit(PanicSite);

impl Work {
    fn is_wanted(&self) -> bool {
        matches!(
            self.place,
            PanicSite::JobRuns
                | PanicSite::JobDropped
                | PanicSite::ResultDropped
                | PanicSite::ResultUnwanted
                | PanicSite::JobEncoded
                | PanicSite::JobDecoded
                | PanicSite::ResultEncoded
                | PanicSite::ResultDecoded
        )
    }
}

impl Job for Work {
    type Output = Fruit;

    fn run(&mut self, _: u32) -> Progress<Fruit> {
        self.place.at(PanicSite::JobRuns);
        self.slices -= 1;
        if self.slices == 0 { Progress::Done(Fruit(self.place)) } else { Progress::More }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.place.at(PanicSite::JobDropped);
        self.place.at(PanicSite::JobCancelled);
    }
}

impl Drop for Fruit {
    fn drop(&mut self) {
        self.0.at(PanicSite::ResultDropped);
        self.0.at(PanicSite::ResultUnwanted);
    }
}

const ALL: [PanicSite; 19] = {
    let mut all = [PanicSite::Connect; 19];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < PANIC_SITES.len() { PANIC_SITES[at] } else { OF_BYTES[at - PANIC_SITES.len()] };
        at += 1;
    }
    all
};

fn place_of(byte: u8) -> Option<PanicSite> {
    ALL.iter().copied().find(|place| *place as u8 == byte)
}

impl WireJob for Work {
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool {
        put(&[self.place as u8]);
        self.place.at(PanicSite::JobEncoded);
        put(&self.slices.to_le_bytes());
        true
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (place, slices) = bytes.split_first()?;
        let place = place_of(*place)?;
        place.at(PanicSite::JobDecoded);
        Some(Self { place, slices: u32::from_le_bytes(slices.try_into().ok()?) })
    }

    fn encode_output(output: &Fruit, put: &mut dyn FnMut(&[u8])) {
        put(&[output.0 as u8]);
        output.0.at(PanicSite::ResultEncoded);
    }

    fn decode_output(bytes: &[u8]) -> Option<Fruit> {
        let place = place_of(*bytes.first()?)?;
        place.at(PanicSite::ResultDecoded);
        Some(Fruit(place))
    }
}

fn settings(workers: usize) -> Settings {
    let mut settings = Settings::default();
    settings.workers = workers;
    settings
}

#[test]
fn on_the_native_loop() {
    let _alone = alone();
    for (place, workers) in PANIC_SITES.into_iter().flat_map(|place| [(place, 1), (place, 0)]) {
        let (listener, address) = listener();
        let (tell, stopper) = channel();
        let server = thread::spawn(move || {
            let mut server =
                Server::new(Planted(place), &settings(workers)).map_err(|error| error.to_string())?;
            server.listen_on(listener).map_err(|error| error.to_string())?;
            tell.send(server.stopper()).expect("the test waits for it");
            server.run().map_err(|error| error.to_string())
        });
        let stopper = stopper.recv().expect("it is started");
        visit(address, &(place, workers));
        expect_report(&(place, workers), &[place.name(), place.text()]);
        stopper.stop();
        expect_end(&(place, workers), server.join());
    }
}

#[test]
fn driven_in_this_process() {
    let _alone = alone();
    for (place, workers) in ALL.into_iter().flat_map(|place| [(place, 1), (place, 0)]) {
        if workers == 0 && OF_BYTES.contains(&place) {
            continue;
        }
        let (tell, told) = channel();
        let server = thread::spawn(move || {
            let mut settings = GuestSettings::default();
            settings.workers = workers;
            let factory = InProcess::new(move |_| Ok(Planted(place)));
            let mut server = GuestServer::new(factory, &settings).map_err(|error| error.to_string())?;
            let address = server.listen(crate::scene::LOCAL).map_err(|error| error.to_string())?;
            tell.send((address, server.stopper())).expect("the test waits for it");
            let summary = server.run().map_err(|error| error.to_string())?;
            assert_eq!(
                summary.restarts, 0,
                "{place:?}: the guest was replaced, and its connections were lost"
            );
            Ok(summary.served)
        });
        let (address, stopper) = told.recv().expect("it is started");
        visit(address, &(place, workers, "driven"));
        let name = match place {
            // A worker has the result, and encodes it.
            PanicSite::ResultDropped | PanicSite::ResultUnwanted if workers > 0 => {
                PanicSite::ResultEncoded.name()
            }
            PanicSite::JobRuns | PanicSite::ResultUnwanted if workers == 0 => PanicSite::JobEncoded.name(),
            place => place.name(),
        };
        expect_report(&(place, workers, "driven"), &[name, place.text()]);
        stopper.stop();
        expect_end(&(place, workers, "driven"), server.join());
    }
}

impl PanicSite {
    /// Returns the panic's text in the report.
    fn text(self) -> &'static str {
        match self {
            Self::WithoutText | Self::WithAGrumble => "with a value that is no text",
            _ => PLANTED,
        }
    }
}
