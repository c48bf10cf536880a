//! Each backend keeps the contract: on the system as it is, and on a model of it that owns the time.

mod idle;
mod system;
