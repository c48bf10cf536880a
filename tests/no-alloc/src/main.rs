//! Links the whole core for a target without an operating system, on which any use of the heap is an error: the linker
//! finds no allocator. `.ci/no-alloc` builds this; on other targets it is empty.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(all(target_os = "none", feature = "canary"))]
extern crate alloc;

#[cfg(target_os = "none")]
mod firmware;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("build this with --target thumbv6m-none-eabi; .ci/no-alloc does");
}
