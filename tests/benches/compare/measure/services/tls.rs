//! An echo server with TLS, and one client that sends records of 16 KiB.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Bench, twin, with_cpu};
use crate::figure::{Figure, View};
use crate::measure::Cell;
use crate::programs;
use crate::server::Who;

/// The most bytes of a record.
const RECORD: usize = 16 * 1024;

/// The number of records before the measurement, and in it: for a measurement, and for a quick run.
const WARM_UP: u32 = 200;
const RECORDS: u32 = 12_000;
const FEW: u32 = 500;

/// A certificate for the address of the servers.
struct Identity {
    certificate: String,
    key: String,
    client: Arc<ClientConfig>,
}

pub(super) fn run(bench: &mut Bench) {
    let rate = Figure::new("TLS echo, records of 16 KiB: MB/s", View::RatioTo(Who::Tokio));
    let cpu = Figure::new("TLS echo, records of 16 KiB: server CPU a record, µs", View::RatioTo(Who::Tokio));
    let mut figures = [rate.at_least(Who::Sinbin, 1.0, Who::Tokio), cpu];
    match Identity::create() {
        Ok(identity) => {
            for round in 0..bench.plan.rounds() {
                bench.round(&[Who::Sinbin, Who::Tokio], round, &mut figures, |bench, who| {
                    measure(bench, &identity, who)
                });
            }
        }
        Err(error) => bench.report.problem(format!("no certificate: {error}")),
    }
    bench.report.figures.extend(figures);
}

impl Identity {
    fn create() -> io::Result<Self> {
        let created = rcgen::generate_simple_self_signed([String::from("localhost")]);
        let created = created.map_err(io::Error::other)?;
        let path = |name: &str| Path::new(programs::SCRATCH).join(name).display().to_string();
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        fs::write(&certificate, created.cert.pem())?;
        fs::write(&key, created.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(created.cert.der().clone()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let client = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { certificate, key, client: Arc::new(client) })
    }
}

fn measure(bench: &Bench, identity: &Identity, who: Who) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = twin(bench, who, ["tls-echo", &identity.certificate, &identity.key, "127.0.0.1:0"])?;
    let name = "localhost".try_into().map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::clone(&identity.client), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    let mut stream = StreamOwned::new(session, stream);
    let records = if bench.plan.is_quick() { FEW } else { RECORDS };
    exchange(&mut stream, WARM_UP)?;
    let began = Instant::now();
    let ((), cpu) = with_cpu(&server, || exchange(&mut stream, records))?;
    let megabytes = f64::from(records) * RECORD as f64 / 1e6;
    Ok(Cell::of([megabytes / began.elapsed().as_secs_f64(), cpu.as_secs_f64() * 1e6 / f64::from(records)]))
}

/// Sends records, each after the answer to the one before.
fn exchange(stream: &mut StreamOwned<ClientConnection, TcpStream>, records: u32) -> io::Result<()> {
    let (sent, mut received) = (vec![b'x'; RECORD], vec![0; RECORD]);
    for _ in 0..records {
        stream.write_all(&sent)?;
        stream.flush()?;
        stream.read_exact(&mut received)?;
    }
    if received == sent { Ok(()) } else { Err(io::Error::other("a wrong echo")) }
}
