//! Measures the time until an instance of a guest is ready to serve, and the memory of each further instance.
//!
//! `cargo run --release --package sinbin-wasi --example instances -- GUEST.cwasm [COUNT]`
//!
//! An instance is ready to serve once it is loaded from the file and started, and has completed a first turn, in which
//! it receives a listener. All instances are kept, idle. Linux only: the memory is the resident set size of the page
//! tables.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, error, fs};

use sinbin_wasi::contract::{Event, Settings};
use sinbin_wasi::{Artefact, GuestFactory, Instance, Loader, engine};
use wasmtime::Engine;

type Result<T> = std::result::Result<T, Box<dyn error::Error>>;

/// The number of times that the file is loaded.
const LOADS: usize = 50;

/// The defaults of the command `sinbin-wasi run`.
const MAX_CONNECTIONS: u32 = 10_000;
const MAX_BUFFERED: u32 = 64 << 20;
const SLICE: u32 = 50_000;
const MAX_MEMORY: usize = 256 << 20;
const TURN_LIMIT: Duration = Duration::from_secs(1);

const WINDOW: u32 = 64 * 1024;

fn main() -> Result<()> {
    let (guest, count) = arguments()?;
    let engine = engine()?;
    let loads = times(LOADS, || ready(&factory(&engine, &guest)?).map(drop))?;
    let factory = factory(&engine, &guest)?;
    let mut instances = Vec::with_capacity(count);
    // The first instance also allocates the memory that all instances share.
    instances.push(ready(&factory)?);
    let before = resident()?;
    let starts = times(count, || {
        instances.push(ready(&factory)?);
        Ok(())
    })?;
    let kibibytes = (resident()? - before) / count as f64;
    println!("{count} instances\tmedian\tp99");
    println!("load and start, µs\t{loads}");
    println!("start, µs\t{starts}");
    println!("RSS of each, KiB\t{kibibytes:.1}");
    Ok(())
}

fn arguments() -> Result<(PathBuf, usize)> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments[..] {
        [guest] => Ok((guest.into(), 1000)),
        [guest, count] => match count.parse()? {
            0 => Err("COUNT is at least 1".into()),
            count => Ok((guest.into(), count)),
        },
        _ => Err("usage: instances GUEST.cwasm [COUNT]".into()),
    }
}

fn factory(engine: &Engine, guest: &Path) -> Result<GuestFactory> {
    // SAFETY: the user of this example must give a file that they have compiled themselves.
    match unsafe { Loader::new(engine).load_precompiled(guest) }? {
        Artefact::Driven(component) => Ok(GuestFactory::new(&component, MAX_MEMORY, Some(TURN_LIMIT))?),
        Artefact::Portable(_) => Err("the guest is a WASI command; give a service".into()),
    }
}

/// Creates an instance, and passes it a listener.
fn ready(factory: &GuestFactory) -> Result<Instance> {
    let (mut instance, _) = factory.start(&settings())?;
    instance.turn(0, WINDOW, &[Event::Listener(0)], &[])?;
    Ok(instance)
}

/// Returns the settings that a server starts its guest with.
fn settings() -> Settings {
    Settings {
        arguments: Vec::new(),
        max_connections: MAX_CONNECTIONS,
        max_buffered: MAX_BUFFERED,
        computes: true,
        slice: SLICE,
    }
}

/// Returns the median and the 99th percentile of the times of `act`, in µs.
fn times(count: usize, mut act: impl FnMut() -> Result<()>) -> Result<String> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        act()?;
        times.push(start.elapsed());
    }
    times.sort();
    let at = |percent: usize| times[(count - 1) * percent / 100].as_secs_f64() * 1e6;
    Ok(format!("{:.1}\t{:.1}", at(50), at(99)))
}

/// Returns the resident set size of this process, in KiB.
fn resident() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB"));
    Ok(line.ok_or("no Rss in smaps_rollup")?.trim().parse()?)
}
