//! Programs of the gallery, as they ship, under faults: the store that speaks RESP, and the chat.

extern crate alloc;
// The programs name the library as their users do.
extern crate sinbin_core as sinbin;

#[path = "gallery_services/chat.rs"]
mod chat;
#[path = "gallery_services/resp.rs"]
mod resp;
