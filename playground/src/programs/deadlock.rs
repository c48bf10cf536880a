use std::error::Error;
use std::rc::Rc;

use sinbin_core::sync::Lock;
use sinbin_core::task::{Handle, WaitError};

use crate::world::World;

type Shared<'d> = Rc<Lock<'d, ()>>;

async fn left(handle: Handle<'_>, world: &World, x: Shared<'_>, y: Shared<'_>) -> Result<(), WaitError> {
    for round in 1..=5 {
        handle.sleep(world.moment()).await; //@ left.time
        let _x = x.lock().await?; //@ left.task:x
        for _ in 0..2 {
            handle.yield_now().await; //@ left.yield
        }
        let _y = y.lock().await?; //@ left.task:y
        world.print(format_args!("left has both, round {round}"));
    }
    Ok(())
}

async fn right(handle: Handle<'_>, world: &World, x: Shared<'_>, y: Shared<'_>) -> Result<(), WaitError> {
    for round in 1..=5 {
        handle.sleep(world.moment()).await; //@ right.time
        let _y = y.lock().await?; //@ right.task:y
        for _ in 0..2 {
            handle.yield_now().await; //@ right.yield
        }
        let _x = x.lock().await?; //@ right.task:x
        world.print(format_args!("right has both, round {round}"));
    }
    Ok(())
}

pub async fn main<'d>(handle: Handle<'d>, world: &'d World) -> Result<(), Box<dyn Error>> {
    let x = Rc::new(Lock::named(handle, "x", ()));
    let y = Rc::new(Lock::named(handle, "y", ()));
    let mut one = handle.spawn(left(handle, world, Rc::clone(&x), Rc::clone(&y)))?;
    let mut two = handle.spawn(right(handle, world, x, y))?;
    one.join().await??; //@ main.task
    two.join().await??;
    Ok(())
}
