//! The comparison of sinbin with its peers: `cargo bench -p sinbin-tests --bench compare`.
//!
//! The servers are interleaved: every round measures each server once, in a rotating order. Ratios are computed within
//! a round, because machines are noisy. Progress is printed to stderr, the tables (markdown) to stdout.
//!
//! The binary also starts itself in other roles: as one of the peers, as one of the programs whose task switches are
//! counted, and as the launcher of all programs that it starts (see [`machine::launch`]).

#[cfg(target_os = "linux")]
mod callgrind;
#[cfg(target_os = "linux")]
mod figure;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod nginx;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod peers;
#[cfg(target_os = "linux")]
mod plots;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod switchers;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    use options::{Options, Role};

    let Some(options) = Options::from_args() else {
        println!("the comparison runs under `cargo bench`");
        return ExitCode::SUCCESS;
    };
    let result = match options.role {
        Some(Role::ServePeer { name }) => peers::serve(name).map(|()| true),
        Some(Role::SwitchPeer { name, tasks, switches }) => {
            switchers::run(name, tasks, switches);
            Ok(true)
        }
        Some(Role::SpawnPeer { name, tasks }) => {
            switchers::spawn(name, tasks);
            Ok(true)
        }
        Some(Role::Launch { core, program, args }) => Err(machine::launch(core, &program, &args)),
        None => measure::all(options.plan),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the comparison needs Linux: it uses epoll and /proc");
}
