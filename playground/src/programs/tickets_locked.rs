use std::error::Error;
use std::rc::Rc;

use sinbin_core::sync::Lock;
use sinbin_core::task::Handle;

use crate::world::World;

type Tickets<'d> = Rc<Lock<'d, u32>>;

async fn buy(handle: Handle<'_>, world: &World, tickets: Tickets<'_>) -> bool {
    let Ok(mut left) = tickets.lock().await else { return false }; //@ buy.task:tickets
    handle.sleep(world.delay()).await; // the network is slow //@ buy.time
    if *left == 0 {
        return false;
    }
    world.print(format_args!("bought ticket {}", *left));
    *left -= 1;
    true
}

pub async fn main<'d>(handle: Handle<'d>, world: &'d World) -> Result<(), Box<dyn Error>> {
    let tickets = Rc::new(Lock::named(handle, "tickets", 3));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(handle.spawn(buy(handle, world, Rc::clone(&tickets)))?);
    }
    let mut sold = 0;
    for client in &mut clients {
        sold += u32::from(client.join().await.unwrap_or(false)); //@ main.task
    }
    world.print(format_args!("{sold} sold, {} left", *tickets.lock().await?));
    Ok(())
}
