//! Two tasks acquire two locks in opposite orders. If the locks are ordered, the task that violates the order gets an
//! error, and the other task continues. Otherwise the tasks wait for each other, and the loop reports which task waits
//! for which.

use std::rc::Rc;

use sinbin::sync::Lock;
use sinbin::sync::order::{Order, OrderError, Ordered, acquire};
use sinbin::task::{Handle, WaitError};

type Shared<'d> = Rc<Ordered<'d, 'd, ()>>;

async fn in_order(handle: Handle<'_>, first: Shared<'_>, then: Shared<'_>) -> Result<(), OrderError> {
    let _first = acquire(&*first).await?;
    handle.yield_now().await; // the other task acquires its first lock
    let _then = acquire(&*then).await?;
    Ok(())
}

async fn at_will(
    handle: Handle<'_>,
    first: Rc<Lock<'_, ()>>,
    then: Rc<Lock<'_, ()>>,
) -> Result<(), WaitError> {
    let _first = first.lock().await?;
    handle.yield_now().await; // the other task acquires its first lock
    let _then = then.lock().await?;
    Ok(())
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(async |handle| {
        // A task cannot borrow from another task, so the order is leaked.
        let order = &*Box::leak(Box::new(Order::<4>::new(handle)));
        let (x, y) = (Rc::new(order.lock("x", ())), Rc::new(order.lock("y", ())));
        let mut one = handle.spawn(in_order(handle, Rc::clone(&x), Rc::clone(&y)))?;
        let mut two = handle.spawn(in_order(handle, y, x))?;
        let refused = two.join().await.expect("it is not cancelled").expect_err("it holds the last lock");
        println!("{refused}");
        one.join().await.expect("it is not cancelled").expect("it follows the order");
        println!("task {} had both locks", one.task());
        Ok::<_, WaitError>(())
    })??;

    let stalled = sinbin::run(async |handle| {
        let (x, y) = (Rc::new(Lock::new(handle, ())), Rc::new(Lock::new(handle, ())));
        let mut one = handle.spawn(at_will(handle, Rc::clone(&x), Rc::clone(&y)))?;
        handle.spawn(at_will(handle, y, x))?;
        one.join().await.expect("it is not cancelled")
    });
    match stalled {
        Err(error) => println!("{error}"),
        Ok(_) => println!("they had luck"),
    }
    Ok(())
}
