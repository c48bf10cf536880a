use std::time::Duration;

use sinbin_core::task::{Handle, SpawnError};

use crate::world::World;

async fn countdown(handle: Handle<'_>, world: &World, mut n: u32, span: Duration) {
    while n > 0 {
        world.print(n);
        handle.sleep(span).await; //@ countdown.time
        n -= 1;
    }
    world.print("Task");
}

pub async fn main<'d>(handle: Handle<'d>, world: &'d World) -> Result<(), SpawnError> {
    let mut tasks = Vec::new();
    for n in [5, 8, 3] {
        let span = 100 * world.delay();
        tasks.push(handle.spawn(countdown(handle, world, n, span))?);
    }
    for task in &mut tasks {
        task.join().await.ok(); //@ main.task
    }
    Ok(())
}
