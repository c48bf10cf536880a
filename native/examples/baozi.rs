//! A producer makes five baozi for each of two consumers, which eat them as they arrive. In Python, the consumers are
//! generators to which values are sent; here, they are tasks that receive from channels.

use std::rc::Rc;

use sinbin::sync::{Channel, RecvError, SendError};
use sinbin::task::{Handle, WaitError};

/// A plate, with capacity for one baozi.
type Plate<'d> = Rc<Channel<'d, u32, 1>>;

async fn consumer(name: &str, plate: Plate<'_>) -> Result<(), RecvError> {
    println!("--->starting eating baozi...");
    loop {
        match plate.recv().await {
            Ok(baozi) => println!("[{name}] is eating baozi {baozi}"),
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

async fn producer(handle: Handle<'_>, plates: [Plate<'_>; 2]) -> Result<(), SendError<u32>> {
    for n in 1..=5 {
        for plate in &plates {
            plate.send(n).await?;
        }
        handle.yield_now().await; // the consumers eat
        println!("[producer] is making baozi {n}");
    }
    for plate in &plates {
        plate.close().ok();
    }
    Ok(())
}

fn main() -> Result<(), sinbin::MainError> {
    sinbin::run(async |handle| {
        let plates = [Plate::new(Channel::new(handle)), Plate::new(Channel::new(handle))];
        let mut consumers = Vec::new();
        for (name, plate) in ["c1", "c2"].into_iter().zip(&plates) {
            consumers.push(handle.spawn(consumer(name, Rc::clone(plate)))?);
        }
        let mut producer = handle.spawn(producer(handle, plates))?;
        producer.join().await.expect("it is not cancelled").expect("the plates are not closed");
        for consumer in &mut consumers {
            consumer.join().await.expect("it is not cancelled").expect("the consumer does not fail");
        }
        Ok::<_, WaitError>(())
    })??;
    Ok(())
}
