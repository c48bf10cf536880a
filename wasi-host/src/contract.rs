//! The contract of `wit/service.wit`: the bindings that wasmtime generates.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]

wasmtime::component::bindgen!({ path: "wit", world: "service" });

pub use self::exports::sinbin::service::guest::{Answer, Event, Limits, Progress, Settings, Tally};
pub use self::sinbin::service::types::{
    Arrival, Command, ConnectError, Connection, Entry, Failure, Interest, Level, Parcel, Piece, Rest, Target,
    Wants, Watch,
};
