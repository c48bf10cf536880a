//! Timed callbacks between I/O: timers write to one end of a connection, and the program prints the lines that it reads
//! at the other end, in the order of the deadlines.

use std::rc::Rc;
use std::time::Duration;

use sinbin::task::{Conn, Error, Handle, JoinHandle};

/// Runs `callback` after `delay`, unless the returned handle is cancelled before.
fn call_later<'d, F: Future + 'd>(
    handle: Handle<'d>,
    delay: Duration,
    callback: F,
) -> Result<JoinHandle<'d, F::Output>, Error> {
    let delay = handle.sleep(delay);
    let timer = handle.spawn(async move {
        delay.await;
        callback.await
    });
    Ok(timer?)
}

async fn say(to: Rc<Conn<'_>>, line: &str) -> Result<(), Error> {
    to.send_all(line.as_bytes()).await
}

async fn timers(handle: Handle<'_>) -> Result<(), Error> {
    let listener = handle.listen("127.0.0.1:0")?;
    let far = Rc::new(handle.connect(listener.address()).await?);
    let (near, _) = listener.accept().await?;

    let milliseconds = Duration::from_millis;
    call_later(handle, milliseconds(60), say(Rc::clone(&far), "third\n"))?;
    call_later(handle, milliseconds(20), say(Rc::clone(&far), "first\n"))?;
    let cancelled = call_later(handle, milliseconds(30), say(Rc::clone(&far), "never\n"))?;
    call_later(handle, milliseconds(40), say(far, "second\n"))?;
    cancelled.cancel();

    let mut line = [0; 64];
    loop {
        match near.recv(&mut line).await? {
            0 => return Ok(()),
            n => print!("{}", String::from_utf8_lossy(&line[..n])),
        }
    }
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(timers)??;
    Ok(())
}
