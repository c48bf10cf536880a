//! The host over a cable with faults: the answers are those of TCP, whatever the cable does, and no socket is lost. All in
//! virtual time; a seed decides everything.

mod board;
mod clients;
mod wire;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib::fib;
use sinbin_core::fib_service::Fib;
use sinbin_metal::Settings;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use board::{HARDWARE, Run, SOCKETS, serve, serve_amid};
use clients::{BOARD, Ends, PORT, Script};
use wire::{End, Faults, Random, Wire};

/// The number of runs of a property.
const SEEDS: u64 = 60;

/// Returns requests of the Fibonacci service, and their answers.
fn requests(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let (mut sends, mut expects) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(30) {
        match random.below(8) {
            0 => {
                sends.extend_from_slice(b"x\n");
                expects.extend_from_slice(b"error: not an integer\n");
            }
            1 => {
                let n = u32::try_from(11 + random.below(6)).expect("small");
                sends.extend_from_slice(format!("{n}\n").as_bytes());
                expects.extend_from_slice(format!("{}\n", fib(n)).as_bytes());
            }
            _ => {
                let n = u32::try_from(random.below(11)).expect("small");
                sends.extend_from_slice(format!(" {n}\r\n").as_bytes());
                expects.extend_from_slice(format!("{}\n", fib(n)).as_bytes());
            }
        }
    }
    (sends, expects)
}

/// Returns bytes and their echo.
fn bytes(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let count = random.below(6000);
    let sends: Vec<_> = (0..count).map(|_| random.below(256).to_le_bytes()[0]).collect();
    (sends.clone(), sends)
}

/// Returns up to three times as many clients as there are sockets.
fn scripts(random: &mut Random, talk: fn(&mut Random) -> (Vec<u8>, Vec<u8>)) -> Vec<Script> {
    let count = 1 + random.below(3 * SOCKETS as u64);
    let script = |_| {
        let (sends, expects) = talk(random);
        let ends = match random.below(8) {
            0 => Ends::Reset(usize::try_from(random.below(expects.len() as u64 + 1)).expect("small")),
            1 => Ends::Mute(i64::try_from(random.below(3000)).expect("small")),
            2..5 => Ends::Close,
            _ => Ends::HalfClose,
        };
        Script { begins: i64::try_from(random.below(2000)).expect("small"), sends, expects, ends }
    };
    (0..count).map(script).collect()
}

fn faults(random: &mut Random) -> Faults {
    let pulled = random.is(30).then(|| {
        let from = i64::try_from(random.below(3000)).expect("small");
        (from, from + i64::try_from(random.below(10_000)).expect("small"))
    });
    Faults {
        loss: random.below(15),
        duplication: random.below(15),
        corruption: random.below(10),
        delay: random.below(30),
        pulled,
    }
}

/// Checks what each client has received.
fn check(run: &Run) {
    for client in &run.clients.borrow().clients {
        let Script { expects, ends, .. } = &client.script;
        match ends {
            Ends::Reset(_) | Ends::Mute(_) => assert!(expects.starts_with(&client.got), "{client:?}"),
            Ends::Close | Ends::HalfClose => {
                let (got, of) = (client.got.len(), expects.len());
                assert!(
                    client.got == *expects,
                    "{got} of {of} bytes; the run took {:?}: {client:?}",
                    run.took
                );
            }
        }
    }
}

/// Settings for a cable that loses so many frames that the pauses before another attempt grow to minutes.
fn patient() -> Settings {
    let minutes = core::time::Duration::from_secs(300);
    Settings {
        handshake_timeout: minutes,
        peer_timeout: minutes,
        close_timeout: minutes,
        ..Settings::default()
    }
}

fn run_fib(seed: u64, scripts: Vec<Script>, faults: Faults) -> Run {
    // The framing by lines does not depend on how the network cuts the bytes.
    let mut service = Fib::default();
    service.rules.framing = sinbin_core::fib_protocol::Framing::Lines;
    serve(service, patient(), seed, faults, scripts)
}

#[test]
fn a_client_is_answered() {
    let script =
        Script { begins: 5, sends: b"30\n".to_vec(), expects: b"832040\n".to_vec(), ends: Ends::HalfClose };
    let run = run_fib(1, vec![script], Faults::default());
    check(&run);
    assert_eq!((run.connections, run.wire.borrow().hurt), (1, 0));
}

#[test]
fn every_answer_arrives_whatever_the_cable_does() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let scripts = scripts(&mut random, requests);
        let run = run_fib(seed, scripts, faults(&mut random));
        check(&run);
    }
}

#[test]
fn every_byte_comes_back_whatever_the_cable_does() {
    for seed in 0..SEEDS {
        let mut random = Random(!seed);
        let scripts = scripts(&mut random, bytes);
        let faults = faults(&mut random);
        let run = serve(Echo::default(), patient(), seed, faults, scripts);
        check(&run);
    }
}

#[test]
fn a_run_is_repeated_by_its_seed() {
    let run = || {
        let mut random = Random(7);
        let scripts = scripts(&mut random, requests);
        let run = run_fib(7, scripts, faults(&mut random));
        (run.took, run.connections, run.wire.borrow().sent, run.wire.borrow().hurt)
    };
    assert_eq!(run(), run());
}

/// More clients than sockets, that all come at once: some wait established, some are refused and try again.
#[test]
fn clients_beyond_the_sockets_are_refused_or_wait_and_none_hangs() {
    for max_connections in [1, 3, SOCKETS] {
        let script = |_| Script {
            begins: 0,
            sends: b"hello".to_vec(),
            expects: b"HELLO_SB".to_vec(),
            ends: Ends::Close,
        };
        let scripts = (0..4 * SOCKETS).map(script).collect();
        let settings = Settings { max_connections, ..Settings::default() };
        let run = serve(Upper::default(), settings, 3, Faults::default(), scripts);
        check(&run);
        assert_eq!(run.connections, 4 * u32::try_from(SOCKETS).expect("small"));
        let refused: usize = run.clients.borrow().clients.iter().map(|client| client.refused).sum();
        assert!(refused > 0, "some were refused");
    }
}

/// Clients that never read their answers are reset when the time for that is over, and others are served meanwhile.
#[test]
fn a_client_that_never_reads_keeps_no_other_from_being_served() {
    let service = Echo { reply_timeout: Some(core::time::Duration::from_secs(2)), idle_timeout: None };
    let mute = |_| Script {
        begins: 0,
        sends: vec![b'x'; 20_000],
        expects: vec![b'x'; 20_000],
        ends: Ends::Mute(60_000),
    };
    let mut scripts: Vec<_> = (0..SOCKETS - 1).map(mute).collect();
    scripts.push(Script { begins: 100, sends: b"ok".to_vec(), expects: b"ok".to_vec(), ends: Ends::Close });
    let run = serve(service, Settings::default(), 4, Faults::default(), scripts);
    check(&run);
}

/// Returns a SYN from an address that answers nothing.
fn syn(number: u64) -> Vec<u8> {
    let [a, b, ..] = number.to_le_bytes();
    let source = Ipv4Address::new(10, 0, 0, 100 + a % 100);
    let IpAddress::Ipv4(board) = BOARD;
    let tcp = TcpRepr {
        src_port: 1024 + u16::from(b),
        dst_port: PORT,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(i32::from(a)),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: Some(1000),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: board,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress([2, 0, 0, 0, 1, a]),
        dst_addr: HARDWARE,
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + tcp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &ChecksumCapabilities::default());
    let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
    tcp.emit(&mut segment, &source.into(), &BOARD, &ChecksumCapabilities::default());
    bytes
}

/// A flood of handshakes that are never completed occupies the sockets for the time of a handshake only.
#[test]
fn a_flood_of_half_open_connections_passes() {
    fn flood(wire: &mut Wire, now: Instant) {
        if now.total_millis() < 5_000 && wire.sent < 2_000 {
            let frame = syn(wire.sent);
            wire.inject(End::Board, now, frame);
        }
    }
    let script =
        Script { begins: 300, sends: b"20\n".to_vec(), expects: b"6765\n".to_vec(), ends: Ends::Close };
    let run = serve_amid(Fib::default(), Settings::default(), 5, Faults::default(), vec![script], flood);
    check(&run);
    assert!(run.took < core::time::Duration::from_secs(60), "{:?}", run.took);
}

/// A storm of junk does not keep the loop from its tasks and their deadlines.
#[test]
fn a_storm_of_frames_passes() {
    fn storm(wire: &mut Wire, now: Instant) {
        if now.total_millis() >= 120 {
            return;
        }
        // As many as the loop receives in one poll, each time.
        let mut random = Random(wire.sent);
        for _ in 0..64 {
            let mut junk: Vec<_> =
                (0..60 + random.below(100)).map(|_| random.below(256).to_le_bytes()[0]).collect();
            junk[..6].copy_from_slice(&HARDWARE.0);
            junk[12..14].copy_from_slice(&[8, if random.is(50) { 0 } else { 6 }]);
            junk[14] = 0x45;
            wire.inject(End::Board, now, junk);
        }
    }
    let script =
        Script { begins: 10, sends: b"20\n".to_vec(), expects: b"6765\n".to_vec(), ends: Ends::Close };
    let idle = Script { begins: 10, sends: Vec::new(), expects: Vec::new(), ends: Ends::HalfClose };
    let service = Fib { idle_timeout: Some(core::time::Duration::from_millis(50)), ..Fib::default() };
    let run = serve_amid(service, Settings::default(), 6, Faults::default(), vec![script, idle], storm);
    check(&run);
}
