//! Accepting connections, which `sinbin` does for its users.

use std::fmt::Display;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::{select, signal, time};

/// The time that connections have to end after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(5);

/// The pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of connections.
const MAX_CONNECTIONS: usize = 10_000;

/// Binds a listener, and prints its address.
pub(super) async fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// Serves each connection in a task of its own until Ctrl-C, and then lets the tasks end.
pub(super) async fn serve<F, E>(
    listener: TcpListener,
    mut serve: impl FnMut(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = Result<(), E>> + 'static,
    E: Display + 'static,
{
    let mut connections = JoinSet::new();
    let mut stop = pin!(signal::ctrl_c());
    loop {
        select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    stream.set_nodelay(true)?;
                    let served = serve(stream);
                    connections.spawn_local(async move {
                        if let Err(error) = served.await {
                            eprintln!("{peer}: {error}");
                        }
                    });
                }
                Err(error) => {
                    eprintln!("cannot accept: {error}");
                    time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            stopped = &mut stop => {
                stopped?;
                break;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    time::timeout(DRAIN, ended).await.ok();
    Ok(())
}
