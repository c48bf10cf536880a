//! Values of an instance, which has one thread.

use core::cell::RefCell;

/// A value of an instance.
pub(crate) struct Sole<T>(pub(crate) RefCell<T>);

// SAFETY: wasm without the threads proposal has one thread, and this crate does not build with the proposal (see `cell`).
// On other targets this implementation does not exist.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
unsafe impl<T> Sync for Sole<T> {}
