use sinbin_core::task::{Conn, Error, Handle, NoWakers, RunContext};
use sinbin_core::{Instant, Rest};
use sinbin_testkit::memory_host::World;

#[test]
fn two_tasks_own_a_half_each() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let (receiver, sender) = conn.into_split();
    assert!(format!("{receiver:?} {sender:?}").starts_with("RecvHalf { source: "));
    let mut receives = world.spawn(async move {
        let mut buffer = [0; 4];
        let first = receiver.recv(&mut buffer).await?;
        let second = std::future::poll_fn(|context| receiver.poll_recv(context, &mut buffer)).await?;
        Ok::<_, Error>((first, second, receiver.recv_with(<[u8]>::len).await?))
    });
    world.spawn(async move {
        assert_eq!(sender.send(b"one ").await, Ok(4));
        assert_eq!(std::future::poll_fn(|context| sender.poll_send(context, b"two ")).await, Ok(4));
        sender.send_all(b"three").await
    });
    world.turn();
    assert_eq!(world.peer(source).outbox, b"one two three");
    assert!(world.peer(source).is_shut, "the dropped half ends its direction");
    for bytes in ["a", "bc", "def"] {
        world.peer(source).inbox.extend(bytes.as_bytes());
        world.turn();
        world.run();
    }
    assert_eq!(receives.take(), Some(Ok((1, 2, 3))));
    assert_eq!(world.run(), Rest::Empty);
    assert!(world.host.peers.is_empty(), "the last half closes the connection");
}

/// The half that sends ends its direction once at most, and not if the connection is closed anyway.
#[test]
fn the_sending_direction_ends_with_its_half() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns = [(); 3].map(|()| world.connect());
    let sources = conns.each_ref().map(Conn::source);
    let mut task = world.spawn(async move {
        let [shut, within, united] = conns.map(Conn::into_split);
        let (receiver, mut sender) = shut;
        sender.shutdown()?;
        drop(sender);
        // In a callback, which borrows the host, the operation is deferred.
        let (other, half) = within;
        receiver.recv_with(|_| drop(half)).await?;
        let conn = united.0.reunite(united.1).expect("halves of one connection");
        handle.wait_named().await?;
        drop((receiver, other, conn));
        Ok::<_, Error>(())
    });
    world.peer(sources[0]).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(sources.map(|source| world.peer(source).is_shut), [true, true, false]);
    world.executor.kernel.wake(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok(())));
}

#[test]
fn halves_of_different_connections_are_not_joined() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (one, other) = (world.connect(), world.connect());
    let sources = [one.source(), other.source()];
    let mut task = world.spawn(async move {
        let ((one_recv, one_send), (other_recv, other_send)) = (one.into_split(), other.into_split());
        let error = one_recv.reunite(other_send).expect_err("two connections");
        assert_eq!(error.to_string(), "the halves are not of the same connection");
        let one = error.0.reunite(one_send).expect("halves of one connection");
        let other = other_recv.reunite(error.1).expect("halves of one connection");
        one.readable().await.ok();
        drop(other);
    });
    world.turn();
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert!(sources.iter().all(|source| !world.peer(*source).is_shut));
    world.peer(sources[0]).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(()));
}

#[test]
fn both_halves_lead_to_their_connection() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let (receiver, sender) = conn.into_split();
        let by_reference: [&Conn<'_>; 2] = [receiver.as_ref(), sender.as_ref()];
        by_reference.map(Conn::source) == [source; 2] && sender.conn().source() == receiver.conn().source()
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(true));
}
