//! A hundred clients buy from a file of three tickets. Each client reads the file, waits for the network, and writes
//! the file. Without a lock, all clients buy the same ticket; with a lock, three clients get one each.

use std::fs;
use std::io::{self, Error, ErrorKind};
use std::path::Path;
use std::rc::Rc;

use sinbin::sync::Lock;
use sinbin::task::{Handle, JoinHandle};

fn read(file: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(file)?;
    let count = text.trim().strip_prefix("{\"count\": ").and_then(|rest| rest.strip_suffix('}'));
    count.and_then(|count| count.parse().ok()).ok_or_else(|| Error::new(ErrorKind::InvalidData, text))
}

fn write(file: &Path, count: u32) -> io::Result<()> {
    fs::write(file, format!("{{\"count\": {count}}}\n"))
}

/// Buys a ticket. Returns true if one was left.
async fn buy(handle: Handle<'_>, file: Rc<Path>) -> io::Result<bool> {
    let left = read(&file)?;
    handle.yield_now().await; // the network is slow
    if left > 0 {
        write(&file, left - 1)?;
    }
    Ok(left > 0)
}

/// Buys a ticket while no other client does.
async fn buy_alone(handle: Handle<'_>, file: Rc<Path>, office: Rc<Lock<'_, ()>>) -> io::Result<bool> {
    let _turn = office.lock().await.map_err(Error::other)?;
    buy(handle, file).await
}

/// Returns the number of clients that bought a ticket.
async fn sold(clients: Vec<JoinHandle<'_, io::Result<bool>>>) -> io::Result<u32> {
    let mut sold = 0;
    for mut client in clients {
        sold += u32::from(client.join().await.expect("it is not cancelled")?);
    }
    Ok(sold)
}

fn main() -> Result<(), sinbin::MainError> {
    let path = std::env::temp_dir().join(format!("tickets-{}.json", std::process::id()));
    let file: Rc<Path> = path.into();

    write(&file, 3)?;
    let count = sinbin::run(async |handle| {
        let client = |_| handle.spawn(buy(handle, Rc::clone(&file))).expect("there is room");
        sold((0..100).map(client).collect()).await
    })??;
    println!("without a lock: {count} sold, {} left", read(&file)?);

    write(&file, 3)?;
    let count = sinbin::run(async |handle| {
        let office = Rc::new(Lock::new(handle, ()));
        let client =
            |_| handle.spawn(buy_alone(handle, Rc::clone(&file), Rc::clone(&office))).expect("there is room");
        sold((0..100).map(client).collect()).await
    })??;
    println!("with a lock: {count} sold, {} left", read(&file)?);

    fs::remove_file(&file)?;
    Ok(())
}
