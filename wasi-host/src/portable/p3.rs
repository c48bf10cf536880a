//! WASI 0.3: commands whose calls are asynchronous, on the same sockets, limits and loop as those of WASI 0.2.
//!
//! Wasmtime runs the tasks of such a guest, and polls the futures of this host. No runtime takes part: a future that has
//! to wait leaves its waker with the socket, timer or lookup that it waits for, and when nothing is left to do, the
//! [`run`](run::run) loop waits for all of them in the one wait of the reactor. The guest may use WASI 0.2 as well, as
//! the standard libraries of today do. A call of WASI 0.2 that blocks then blocks all tasks.
//!
//! Files are those of wasmtime-wasi, which works on some of them in threads of tokio.

mod accept;
mod addresses;
mod clock;
mod errors;
mod link;
mod lookup;
mod ready;
mod receive;
mod run;
mod send;
mod stdin;
mod stdio;
mod stream_end;
mod tcp;
mod udp;

pub(super) use link::linker;
pub(super) use run::{check, run};

use wasmtime::component::HasData;

use super::Guest;

/// The host of the interfaces of WASI 0.3 that this crate implements.
struct P3;

impl HasData for P3 {
    type Data<'g> = &'g mut Guest;
}
