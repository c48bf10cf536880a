//! `wasi:sockets/ip-name-lookup`.

use std::future::poll_fn;
use std::task::Poll;

use wasmtime::Result;
use wasmtime::component::Accessor;
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{ErrorCode, Host, HostWithStore};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

use super::super::Guest;
use super::super::io::Io;
use super::super::lookup::LookupId;
use super::super::tasks::{Held, Hold};
use super::P3;
use super::errors::lookup_error;

impl Io {
    /// Begins a lookup, which ends with its handle.
    fn begin_lookup(&mut self, name: String) -> Result<(LookupId, Hold), SocketError> {
        self.settle();
        self.count(1).map_err(SocketError::trap)?;
        let id = self.look_up(name).inspect_err(|_| self.uncount())?;
        Ok((id, self.tasks.hold(Held::Lookup(id.index))))
    }
}

impl HostWithStore<Guest> for P3 {
    async fn resolve_addresses(
        store: &Accessor<Guest, Self>,
        name: String,
    ) -> Result<Result<Vec<IpAddress>, ErrorCode>> {
        let (id, _hold) = match store.with(|mut store| store.get().io.begin_lookup(name)) {
            Ok(begun) => begun,
            Err(error) => return lookup_error(error).map(Err),
        };
        let answer = poll_fn(|context| {
            store.with(|mut store| {
                let io = &mut store.get().io;
                match io.lookups.take_answer(id) {
                    Some(answer) => Poll::Ready(answer),
                    None => {
                        io.tasks.park_for_rare(context.waker());
                        Poll::Pending
                    }
                }
            })
        });
        match answer.await {
            Ok(addresses) => Ok(Ok(addresses.into_iter().map(Into::into).collect())),
            Err(code) => lookup_error(code.into()).map(Err),
        }
    }
}

impl Host for Guest {}
