//! Sends back the bytes that it receives: the service of the same name, as firmware.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use sinbin_firmware::options::Options;
use sinbin_firmware::serving::serve;

#[cfg(not(feature = "async"))]
#[entry]
fn main() -> ! {
    let options = Options::of_emulator();
    serve(options.echo(), &options)
}

#[cfg(feature = "async")]
#[entry]
fn main() -> ! {
    use core::pin::pin;

    use sinbin_core::NoJob;
    use sinbin_core::task::{Handle, NoWakers, Pool, RunContext};
    use sinbin_firmware::services::answer_reads;
    use sinbin_firmware::serving::SOCKETS;
    use sinbin_metal::Pooled;

    let options = Options::of_emulator();
    let service = options.echo();
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::<_, _>::fixed::<SOCKETS>());
    let handle = Handle::new(&run_context);
    serve(Pooled::<_, _, _, NoJob>::new(handle, pool.as_ref(), |conn| answer_reads(conn, &service)), &options)
}
