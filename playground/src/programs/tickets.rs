use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use sinbin_core::task::Handle;

use crate::world::World;

async fn buy(handle: Handle<'_>, world: &World, tickets: Rc<Cell<u32>>) -> bool {
    let left = tickets.get();
    handle.sleep(world.delay()).await; // the network is slow //@ buy.time
    if left > 0 {
        tickets.set(left - 1);
        world.print(format_args!("bought ticket {left}"));
    }
    left > 0
}

pub async fn main<'d>(handle: Handle<'d>, world: &'d World) -> Result<(), Box<dyn Error>> {
    let tickets = Rc::new(Cell::new(3));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(handle.spawn(buy(handle, world, Rc::clone(&tickets)))?);
    }
    let mut sold = 0;
    for client in &mut clients {
        sold += u32::from(client.join().await.unwrap_or(false)); //@ main.task
    }
    world.print(format_args!("{sold} sold, {} left", tickets.get()));
    Ok(())
}
