//! Two tasks hand control to each other by name: greenlet's `switch`. The first one's last switch is never answered,
//! so it ends with the program.

use std::cell::OnceCell;
use std::rc::Rc;

use sinbin::TaskId;
use sinbin::task::{Loop, Refused};

/// Hands control to `other`, until somebody hands it back.
async fn switch(on: Loop<'_>, other: TaskId) -> Result<(), Refused> {
    on.wake(other);
    on.wait_named().await
}

async fn first(on: Loop<'_>, second: Rc<OnceCell<TaskId>>) -> Result<(), Refused> {
    let second = *second.get().expect("it has its name before this one runs");
    println!("12");
    switch(on, second).await?;
    println!("34");
    switch(on, second).await
}

async fn second(on: Loop<'_>, first: TaskId) -> Result<(), Refused> {
    on.wait_named().await?;
    println!("56");
    switch(on, first).await?;
    println!("78");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sinbin::run(async |on| {
        let name = Rc::new(OnceCell::new());
        let first = on.spawn(first(on, Rc::clone(&name)))?;
        let mut second = on.spawn(second(on, first.task()))?;
        name.set(second.task()).expect("it is set once");
        second.join().await.expect("nobody cancels it")
    })??;
    Ok(())
}
