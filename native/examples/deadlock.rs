//! Two tasks take two locks in opposite orders. Where the locks are in an order, the one that goes against it is
//! refused, and the other goes on. Where they are not, the tasks wait for each other, and the loop says who for whom.

use std::rc::Rc;

use sinbin::sync::Lock;
use sinbin::sync::order::{Order, OrderError, Ordered, acquire};
use sinbin::task::{Loop, Refused};

type Shared<'d> = Rc<Ordered<'d, 'd, ()>>;

async fn in_order(on: Loop<'_>, first: Shared<'_>, then: Shared<'_>) -> Result<(), OrderError> {
    let _first = acquire(&*first).await?;
    on.yield_now().await; // the other takes its first
    let _then = acquire(&*then).await?;
    Ok(())
}

async fn at_will(on: Loop<'_>, first: Rc<Lock<'_, ()>>, then: Rc<Lock<'_, ()>>) -> Result<(), Refused> {
    let _first = first.lock().await?;
    on.yield_now().await; // the other takes its first
    let _then = then.lock().await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sinbin::run(async |on| {
        // A task can't borrow from another, so the order stays for good.
        let order = &*Box::leak(Box::new(Order::<4>::new(on)));
        let (x, y) = (Rc::new(order.lock("x", ())), Rc::new(order.lock("y", ())));
        let mut one = on.spawn(in_order(on, Rc::clone(&x), Rc::clone(&y)))?;
        let mut two = on.spawn(in_order(on, y, x))?;
        let refused = two.join().await.expect("nobody cancels it").expect_err("it has the last one");
        println!("{refused}");
        one.join().await.expect("nobody cancels it").expect("it keeps the order");
        println!("task {} had both locks", one.task());
        Ok::<_, Refused>(())
    })??;

    let stalled = sinbin::run(async |on| {
        let (x, y) = (Rc::new(Lock::new(on, ())), Rc::new(Lock::new(on, ())));
        let mut one = on.spawn(at_will(on, Rc::clone(&x), Rc::clone(&y)))?;
        on.spawn(at_will(on, y, x))?;
        one.join().await.expect("nobody cancels it")
    });
    match stalled {
        Err(error) => println!("{error}"),
        Ok(_) => println!("they had luck"),
    }
    Ok(())
}
