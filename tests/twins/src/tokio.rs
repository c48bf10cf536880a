//! The programs with tokio, on its current-thread runtime.

mod accept;
mod chat;
mod crawler;
mod fetcher;
mod forwarder;
mod hello;
mod publish;
mod resp;
mod reverse_proxy;
mod static_files;
mod tls_echo;
mod tls_terminator;

use tokio::runtime;
use tokio::task::LocalSet;

use crate::MainError;

/// Runs a program, a server until Ctrl-C.
pub(crate) fn run(program: &str, arguments: &[String]) -> Result<(), MainError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match program {
            "chat" => chat::main(arguments).await,
            "crawler" => crawler::main(arguments).await,
            "fetcher" => fetcher::main(arguments).await,
            "forwarder" => forwarder::main(arguments).await,
            "hello" => hello::main(arguments).await,
            "publish" => publish::main(arguments).await,
            "resp" => resp::main(arguments).await,
            "reverse-proxy" => reverse_proxy::main(arguments).await,
            "static-files" => static_files::main(arguments).await,
            "tls-echo" => tls_echo::main(arguments).await,
            "tls-terminator" => tls_terminator::main(arguments).await,
            _ => Err(format!("no program `{program}` with tokio").into()),
        }
    })
}
