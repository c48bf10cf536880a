//! Two tasks switch to each other by name, like greenlet's `switch`. The last switch of the first task never returns,
//! so the task ends with the program.

use std::cell::OnceCell;
use std::rc::Rc;

use sinbin::TaskId;
use sinbin::task::{Handle, WaitError};

/// Wakes `other`, and waits to be woken by name.
async fn switch(handle: Handle<'_>, other: TaskId) -> Result<(), WaitError> {
    handle.wake(other);
    handle.wait_named().await
}

async fn first(handle: Handle<'_>, second: Rc<OnceCell<TaskId>>) -> Result<(), WaitError> {
    let second = *second.get().expect("it has its name before this one runs");
    println!("12");
    switch(handle, second).await?;
    println!("34");
    switch(handle, second).await
}

async fn second(handle: Handle<'_>, first: TaskId) -> Result<(), WaitError> {
    handle.wait_named().await?;
    println!("56");
    switch(handle, first).await?;
    println!("78");
    Ok(())
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(async |handle| {
        let name = Rc::new(OnceCell::new());
        let first = handle.spawn(first(handle, Rc::clone(&name)))?;
        let mut second = handle.spawn(second(handle, first.task()))?;
        name.set(second.task()).expect("it is set once");
        second.join().await.expect("it is not cancelled")
    })??;
    Ok(())
}
