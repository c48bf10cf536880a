use std::error::Error;
use std::rc::Rc;

use sinbin_core::sync::order::{Order, OrderError, Ordered, acquire};
use sinbin_core::task::Handle;

use crate::world::World;

type Shared<'d> = Rc<Ordered<'d, 'd, ()>>;

async fn left(handle: Handle<'_>, world: &World, x: Shared<'_>, y: Shared<'_>) -> Result<(), OrderError> {
    for round in 1..=5 {
        handle.sleep(world.moment()).await; //@ left.time
        let _x = acquire(&*x).await?; //@ left.task:x
        for _ in 0..2 {
            handle.yield_now().await; //@ left.yield
        }
        let _y = acquire(&*y).await?; //@ left.task:y
        world.print(format_args!("left has both, round {round}"));
    }
    Ok(())
}

async fn right(handle: Handle<'_>, world: &World, x: Shared<'_>, y: Shared<'_>) -> Result<(), OrderError> {
    for round in 1..=5 {
        handle.sleep(world.moment()).await; //@ right.time
        let _y = acquire(&*y).await?; //@ right.task:y
        for _ in 0..2 {
            handle.yield_now().await; //@ right.yield
        }
        let _x = acquire(&*x).await?; // out of order: an error at once //@ right.task:x
        world.print(format_args!("right has both, round {round}"));
    }
    Ok(())
}

pub async fn main<'d>(
    handle: Handle<'d>,
    world: &'d World,
    order: &'d Order<'d, 4>,
) -> Result<(), Box<dyn Error>> {
    let (x, y) = (Rc::new(order.lock("x", ())), Rc::new(order.lock("y", ())));
    let mut one = handle.spawn(left(handle, world, Rc::clone(&x), Rc::clone(&y)))?;
    let mut two = handle.spawn(right(handle, world, x, y))?;
    one.join().await??; //@ main.task
    if let Err(refused) = two.join().await? {
        world.print(refused);
    }
    Ok(())
}
