//! `wasi:io/poll`, with a look at the system now and then.
//!
//! Tokio learns what is ready when a task gives way. A guest that always finds something ready does so only when the clock
//! interrupts it: those that it has heard of would keep it busy, and others wait for a tenth of a second. So every few calls
//! it gives way first.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime::{Result, format_err};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll::{self, Host, HostPollable};

use super::Guest;

/// Calls that find something at once, without a look at the system between them.
const STEPS_PER_POLL: u32 = 16;

/// How often a guest has found something at once.
#[derive(Default)]
pub(super) struct Polls {
    in_turn: u32,
}

/// The part of the guest's state that a call needs.
struct View<'g> {
    table: &'g mut ResourceTable,
    polls: &'g mut Polls,
}

struct Poll;

impl HasData for Poll {
    type Data<'g> = View<'g>;
}

/// Puts this `poll` in the place of wasmtime-wasi's.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<Guest, Poll>(linker, |guest| {
        let Guest { wasi: _, table, polls, .. } = guest;
        View { table, polls }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Polls {
    /// Gives way if it is time to.
    async fn look(&mut self) {
        self.in_turn += 1;
        if self.in_turn >= STEPS_PER_POLL {
            self.in_turn = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        self.polls.look().await;
        // A list may name one of them many times.
        let (count, most) = (pollables.len(), self.table.max_capacity());
        if count > most {
            return Err(format_err!("the guest polls {count} resources at once, of {most} at the most"));
        }
        self.table.poll(pollables).await
    }
}

impl HostPollable for View<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        self.polls.look().await;
        self.table.ready(pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.polls.look().await;
        self.table.block(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.table.drop(pollable)
    }
}
