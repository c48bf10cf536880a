use sinbin_core::task::{Handle, SpawnError};

use crate::world::World;

async fn countdown(handle: Handle<'_>, world: &World, mut n: u32) {
    while n > 0 {
        world.print(n);
        handle.yield_now().await; //@ countdown.yield
        n -= 1;
    }
    world.print("Task");
}

pub async fn main<'d>(handle: Handle<'d>, world: &'d World) -> Result<(), SpawnError> {
    let mut tasks = Vec::new();
    for n in [5, 8, 3] {
        tasks.push(handle.spawn(countdown(handle, world, n))?);
    }
    for task in &mut tasks {
        task.join().await.ok(); //@ main.task
    }
    Ok(())
}
