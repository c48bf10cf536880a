//! An implementation of `wasi:io/poll` that polls the system regularly.
//!
//! Tokio polls the system only when a task yields. A guest that always finds a ready source would yield only at a tick
//! of the timer: the sources whose readiness is known would keep it busy, and the others would wait for up to a tenth
//! of a second. Therefore each guest yields once every few calls.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime::{Result, format_err};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll::{self, Host, HostPollable};

use super::Guest;

/// The number of calls after which the guest yields.
const STEPS_PER_POLL: u32 = 16;

/// The count of a guest's calls.
#[derive(Default)]
pub(super) struct Polls {
    /// The number of calls since the guest last yielded here.
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

/// Replaces wasmtime-wasi's implementation of `poll` by this one.
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
    /// Counts a call, and yields if enough calls were made since the last time.
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
        // A list may contain the same resource many times, so its length must be limited as well.
        let (count, most) = (pollables.len(), self.table.max_capacity());
        if count > most {
            return Err(format_err!("the guest polls {count} resources at once; the limit is {most}"));
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
