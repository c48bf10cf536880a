//! Turns a service into a component that exports the interface `sinbin:service/guest` and imports no functions.
//!
//! For a service that is a state machine, call one macro in a crate of type `cdylib` for `wasm32-wasip2`:
//!
//! ```ignore
//! #![no_std]
//! sinbin_guest::service!(sinbin_core::echo::Echo, sinbin_arguments::echo);
//! ```
//!
//! For a service that is an `async fn`, call another macro:
//!
//! ```ignore
//! sinbin_guest::tasks!(echo);
//! ```
#![no_std]

extern crate alloc;

mod cell;
mod convert;
mod heap;
mod run;
mod surroundings;
mod tables;

pub use cell::Loop;
pub use log;
pub use run::{compute, machine, tasks, tasks_of_arguments, tasks_with};
pub use surroundings::{Unavailable, random, unix_time};
pub use tables::Published;

/// The contract: the bindings that wit-bindgen generates. The functions of `inspect` are in
/// `tables`.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "inspectable-service",
        skip: ["publish", "tables"],
        pub_export_macro: true,
        default_bindings_module: "sinbin_guest::bindings",
    });
}

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The host reports the location by the stack.
    core::arch::wasm32::unreachable()
}

/// Turns a service that is a state machine into a component. The arguments are the type of the service, and a function
/// that creates the service from an iterator of `&str` arguments, or returns an error message.
#[macro_export]
macro_rules! service {
    ($service:ty, $start:expr) => {
        $crate::component!(
            |settings, max_jobs| Ok($crate::machine::<$service>(
                $start(settings.arguments.iter().map(|argument| argument.as_str()))?,
                settings,
                max_jobs
            )),
            <$service as $crate::Service>::Job
        );
    };
}

/// Turns an `async fn` that serves a connection into a component. The service takes no arguments.
///
/// The service can connect to other servers as a native one does, by [`Handle::connect`](sinbin_core::task::Handle::connect),
/// if the host permits it (`sinbin-wasi run --allow-connect HOST:PORT`).
///
/// The service can log by the macros of the crate [`log`], draw [random numbers](random), and read the
/// [wall clock](unix_time). All three are part of a recording, so that a replay is equal.
///
/// Connections share state if the macro gets two functions: one that creates the state from the
/// [`Handle`](sinbin_core::task::Handle) on the loop, and an `async fn` that serves a connection with a reference to the
/// state.
///
/// ```ignore
/// sinbin_guest::tasks!(Chat::new, Chat::serve);
/// ```
///
/// The service takes arguments if the first function gets them too, and returns an error message if they are wrong:
///
/// ```ignore
/// sinbin_guest::tasks!(arguments: Forward::new, serve: Forward::serve);
///
/// struct Forward {
///     to: String,
/// }
///
/// impl Forward {
///     fn new(_: Handle<'static>, arguments: &[String]) -> Result<Self, String> {
///         let [to] = arguments else { return Err("expected one argument, such as example.org:80".into()) };
///         Ok(Self { to: to.clone() })
///     }
///
///     async fn serve(&self, client: Conn<'_>) -> Result<(), Error> {
///         let server = client.handle().connect(&*self.to).await?;
///         copy_bidirectional(&client, &server).await.map(drop)
///     }
/// }
/// ```
#[macro_export]
macro_rules! tasks {
    (arguments: $state:expr, serve: $serve:expr) => {
        $crate::component!(
            |settings, max_jobs| $crate::tasks_of_arguments(
                $state,
                async |state, conn| $serve(state, conn).await,
                settings,
                max_jobs
            ),
            $crate::BoxedJob
        );
    };
    ($state:expr, $serve:expr) => {
        $crate::component!(
            |settings, max_jobs| $crate::tasks_with(
                $state,
                async |state, conn| $serve(state, conn).await,
                settings,
                max_jobs
            ),
            $crate::BoxedJob
        );
    };
    ($serve:expr) => {
        $crate::component!(|settings, max_jobs| $crate::tasks($serve, settings, max_jobs), $crate::BoxedJob);
    };
}

/// Defines the component of a loop that `$start` creates.
#[doc(hidden)]
#[macro_export]
macro_rules! component {
    ($start:expr, $job:ty) => {
        const _: () = {
            use $crate::bindings::exports::sinbin::service::guest as contract;

            static LOOP: $crate::Loop = $crate::Loop::new();

            struct Component;

            impl $crate::bindings::exports::sinbin::service::bounds::Guest for Component {
                fn max_jobs(jobs: u32) {
                    LOOP.bound_jobs(jobs);
                }
            }

            impl contract::Guest for Component {
                fn start(settings: contract::Settings) -> Result<contract::Limits, $crate::String> {
                    LOOP.start($start, &settings)
                }

                fn turn(
                    now: u64,
                    window: u32,
                    events: $crate::Vec<contract::Event>,
                    input: $crate::Vec<u8>,
                ) -> contract::Answer {
                    LOOP.turn(now, window, events, input)
                }

                fn compute(job: $crate::Vec<u8>, budget: u32) -> contract::Progress {
                    $crate::compute::<$job>(&job, budget)
                }

                fn counts() -> contract::Tally {
                    LOOP.counts()
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

#[doc(hidden)]
pub use alloc::{string::String, vec::Vec};
#[doc(hidden)]
pub use sinbin_core::{Service, task::BoxedJob};
