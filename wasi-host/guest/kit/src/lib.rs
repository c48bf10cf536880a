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
#[cfg(feature = "std")]
extern crate std;

mod area;
mod cell;
mod convert;
#[cfg(not(feature = "std"))]
mod heap;
mod notes;
mod panics;
mod program;
#[cfg(target_arch = "wasm32")]
mod realloc;
mod run;
mod sole;
mod surroundings;
mod tables;
mod wakers;

pub use cell::Loop;
pub use log;
#[doc(hidden)]
pub use notes::name_function;
#[doc(hidden)]
pub use program::{exit_code, take_output};
pub use program::{print, program};
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

/// The exports of a program: the bindings that wit-bindgen generates.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
pub mod program_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "program-exports",
        pub_export_macro: true,
        default_bindings_module: "sinbin_guest::program_bindings",
    });
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
/// A job ([`Handle::job`](sinbin_core::task::Handle::job)) is computed in slices between the turns of the tasks, unless its type can
/// be sent ([`WireJob`](sinbin_core::job::WireJob)), and the macro gets that type: other instances of the guest then compute
/// such jobs on threads of the host. A service with jobs of several types sends an enum of them.
///
/// ```ignore
/// sinbin_guest::tasks!(serve, jobs: FibJob);
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
    (arguments: $state:expr, serve: $serve:expr $(, jobs: $job:ty)?) => {
        $crate::component!(
            |settings, max_jobs| {
                $crate::name_function(concat!(module_path!(), "::", stringify!($serve)));
                $crate::tasks_of_arguments::<$crate::job!($($job)?), _, _>(
                    $state,
                    async |state, conn| $serve(state, conn).await,
                    settings,
                    max_jobs,
                )
            },
            $crate::job!($($job)?)
        );
    };
    ($serve:expr $(, jobs: $job:ty)?) => {
        $crate::component!(
            |settings, max_jobs| {
                $crate::name_function(concat!(module_path!(), "::", stringify!($serve)));
                $crate::tasks::<$crate::job!($($job)?), _, _>($serve, settings, max_jobs)
            },
            $crate::job!($($job)?)
        );
    };
    ($state:expr, $serve:expr $(, jobs: $job:ty)?) => {
        $crate::component!(
            |settings, max_jobs| {
                $crate::name_function(concat!(module_path!(), "::", stringify!($serve)));
                $crate::tasks_with::<$crate::job!($($job)?), _, _>(
                    $state,
                    async |state, conn| $serve(state, conn).await,
                    settings,
                    max_jobs,
                )
            },
            $crate::job!($($job)?)
        );
    };
}

/// The type of the jobs that other instances compute.
#[doc(hidden)]
#[macro_export]
macro_rules! job {
    () => {
        $crate::NoJob
    };
    ($job:ty) => {
        $job
    };
}

/// Turns a main task into a component that is a program: it works by itself, and ends. The arguments of the macro are a
/// function that creates the program from its arguments, or returns an error message, and an `async fn` that runs it, and
/// returns its exit code.
///
/// The program can do all that a service of [`tasks!`] can, spawn tasks, and [`print`] to the standard output of the host.
/// [`Handle::stopping`](sinbin_core::task::Handle::stopping) completes when the user wants the program to end.
///
/// ```ignore
/// sinbin_guest::program!(arguments: Hello::new, run: Hello::run);
///
/// struct Hello {
///     name: String,
/// }
///
/// impl Hello {
///     fn new(arguments: &[String]) -> Result<Self, String> {
///         let [name] = arguments else { return Err("expected a name".into()) };
///         Ok(Self { name: name.clone() })
///     }
///
///     async fn run(self, handle: Handle<'static>) -> u8 {
///         handle.sleep(Duration::from_secs(1)).await;
///         sinbin_guest::print(format!("hello {}\n", self.name));
///         0
///     }
/// }
/// ```
#[macro_export]
macro_rules! program {
    (arguments: $new:expr, run: $run:expr $(, jobs: $job:ty)?) => {
        $crate::component!(
            |settings, max_jobs| {
                $crate::name_function(concat!(module_path!(), "::", stringify!($run)));
                $crate::program::<$crate::job!($($job)?), _>(
                    $new,
                    async |program, handle| $run(program, handle).await,
                    settings,
                    max_jobs,
                )
            },
            $crate::job!($($job)?)
        );
        const _: () = {
            struct Program;

            impl $crate::program_bindings::exports::sinbin::service::program::Guest for Program {
                fn output() -> $crate::Vec<u8> {
                    $crate::take_output()
                }

                fn exit_code() -> u8 {
                    $crate::exit_code()
                }
            }

    $crate::program_bindings::export!(Program with_types_in $crate::program_bindings);
        };
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
pub use sinbin_core::{Service, job::NoJob};
