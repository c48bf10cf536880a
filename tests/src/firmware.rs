use std::process::Command;

/// Builds the firmware and starts it in QEMU.
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../metal/firmware/run");

/// Returns the command that runs a program of `metal/firmware` in QEMU, built with these features and this number of
/// sockets. The command becomes the emulator, so that the emulator ends with it.
///
/// # Panics
///
/// Panics if the program cannot be built.
#[must_use]
pub fn firmware(program: &str, features: &str, sockets: usize) -> Command {
    firmware_on("mps2-an386", program, features, sockets)
}

/// Returns the command that [`firmware`] returns, for another board of QEMU.
///
/// # Panics
///
/// Panics if the program cannot be built.
#[must_use]
pub fn firmware_on(board: &str, program: &str, features: &str, sockets: usize) -> Command {
    let run = || {
        let mut command = Command::new(RUN);
        command.env("SINBIN_FEATURES", features).env("SINBIN_SOCKETS", sockets.to_string());
        command.env("SINBIN_BOARD", board);
        command
    };
    // A build takes longer than a test waits for a program to start.
    let built = run().args(["--build", program]).output();
    let built = built.unwrap_or_else(|error| panic!("cannot run {RUN}: {error}"));
    assert!(built.status.success(), "{program}: {}", String::from_utf8_lossy(&built.stderr));
    let mut command = run();
    command.arg(program);
    command
}
