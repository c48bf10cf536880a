//! A chat as a component that a host drives. The service is the one of the native example.
#![no_std]

extern crate alloc;
extern crate sinbin_core as sinbin;

#[path = "../../../../native/examples/chat/service.rs"]
mod service;

use service::Chat;

sinbin_guest::tasks!(Chat::new, Chat::serve);
