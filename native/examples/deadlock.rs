//! Two tasks take two locks in opposite orders. Where the locks are in an order, the one that goes against it is
//! refused, and the other goes on. Where they are not, the tasks wait for each other, and the loop says who for whom.

use std::rc::Rc;

use sinbin::sync::Lock;
use sinbin::sync::order::{Order, OrderError, Ordered, acquire};
use sinbin::task::{Handle, WaitError};

type Shared<'d> = Rc<Ordered<'d, 'd, ()>>;

async fn in_order(handle: Handle<'_>, first: Shared<'_>, then: Shared<'_>) -> Result<(), OrderError> {
    let _first = acquire(&*first).await?;
    handle.yield_now().await; // the other takes its first
    let _then = acquire(&*then).await?;
    Ok(())
}

async fn at_will(
    handle: Handle<'_>,
    first: Rc<Lock<'_, ()>>,
    then: Rc<Lock<'_, ()>>,
) -> Result<(), WaitError> {
    let _first = first.lock().await?;
    handle.yield_now().await; // the other takes its first
    let _then = then.lock().await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sinbin::run(async |handle| {
        // A task can't borrow from another, so the order stays for good.
        let order = &*Box::leak(Box::new(Order::<4>::new(handle)));
        let (x, y) = (Rc::new(order.lock("x", ())), Rc::new(order.lock("y", ())));
        let mut one = handle.spawn(in_order(handle, Rc::clone(&x), Rc::clone(&y)))?;
        let mut two = handle.spawn(in_order(handle, y, x))?;
        let refused = two.join().await.expect("nobody cancels it").expect_err("it has the last one");
        println!("{refused}");
        one.join().await.expect("nobody cancels it").expect("it keeps the order");
        println!("task {} had both locks", one.task());
        Ok::<_, WaitError>(())
    })??;

    let stalled = sinbin::run(async |handle| {
        let (x, y) = (Rc::new(Lock::new(handle, ())), Rc::new(Lock::new(handle, ())));
        let mut one = handle.spawn(at_will(handle, Rc::clone(&x), Rc::clone(&y)))?;
        handle.spawn(at_will(handle, y, x))?;
        one.join().await.expect("nobody cancels it")
    });
    match stalled {
        Err(error) => println!("{error}"),
        Ok(_) => println!("they had luck"),
    }
    Ok(())
}
