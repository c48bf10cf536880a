use std::mem::forget;
use std::time::Duration;

use sinbin_core::group::JoinSet;
use sinbin_core::task::{Conn, Error, Handle, copy, copy_bidirectional};
use sinbin_simulator::{Ended, Flaw, Names, Rng, shrink};

use crate::forward::PATIENCE;
use crate::{UPSTREAM, forwarder, relay};

/// The number of seeds within which each flaw must be found.
const SEEDS: u64 = 200;

/// Runs seeds of a relay until one fails, and checks that it fails as `what` says.
#[track_caller]
fn is_found(serve: impl AsyncFn(Conn<'_>, Handle<'_>) -> Result<(), Error>, flaw: Option<Flaw>, what: &str) {
    is_found_with(Names::ByHost, serve, flaw, what);
}

#[track_caller]
fn is_found_with(
    names: Names,
    serve: impl AsyncFn(Conn<'_>, Handle<'_>) -> Result<(), Error>,
    flaw: Option<Flaw>,
    what: &str,
) {
    let run = |rng| {
        relay(&serve, rng, |_, network| {
            (network.names, network.flaw) = (names, flaw);
        })
    };
    let found = (0..SEEDS).find_map(|seed| run(Rng::seeded(seed)).outcome.err());
    let failure = found.unwrap_or_else(|| panic!("not found within {SEEDS} seeds: {what}"));
    assert!(failure.what.contains(what), "{failure}");
}

#[test]
fn a_host_that_forgets_to_tell_of_a_failure_is_found() {
    is_found(forwarder, Some(Flaw::ForgetsFailures), "is woken by its deadline");
}

#[test]
fn a_host_that_loses_the_last_bytes_of_a_direction_is_found() {
    for names in [Names::ByHost, Names::ByService] {
        for flaw in [Flaw::LosesLastBytes, Flaw::LosesLastReplies] {
            is_found_with(names, forwarder, Some(flaw), "bytes to the end, which are not the");
        }
    }
}

#[test]
fn what_is_found_can_be_made_shorter() {
    let run = |rng| relay(forwarder, rng, |_, network| network.flaw = Some(Flaw::LosesLastBytes));
    let is_long = |ended: &Ended| ended.outcome.as_ref().is_err_and(|failure| failure.step > 100);
    let found = (0..SEEDS).map(|seed| run(Rng::seeded(seed).recorded())).find(is_long).expect("a long run");
    let short = shrink(&found.tape, |tape| run(Rng::replayed(tape)).outcome.is_err());
    assert!(short.len() < found.tape.len() / 2, "{} of {}", short.len(), found.tape.len());
    assert!(run(Rng::replayed(&short)).outcome.is_err());
}

async fn connect<'d>(client: &Conn<'d>) -> Result<Conn<'d>, Error> {
    let handle = client.handle();
    handle.timeout(PATIENCE, handle.connect(UPSTREAM)).await?
}

#[test]
fn a_relay_that_waits_too_long_or_gives_up_too_early_is_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = client.handle().connect(UPSTREAM).await?;
        copy_bidirectional(&client, &server).await.map(drop)
    };
    is_found(serve, None, "and not until its limit");
    is_found_with(Names::ByService, serve, None, ", longer than");
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let handle = client.handle();
        let server = handle.timeout(PATIENCE / 2, handle.connect(UPSTREAM)).await??;
        copy_bidirectional(&client, &server).await.map(drop)
    };
    is_found(serve, None, "and not until its limit");
    // The time limit is right, and is not kept.
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client);
        let server = client.handle().timeout(Duration::from_nanos(1), server).await;
        copy_bidirectional(&client, &server??).await.map(drop)
    };
    is_found(serve, None, "and not until its limit");
}

#[test]
fn a_relay_that_changes_bytes_is_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client).await?;
        let mut bytes = [0; 64];
        while let count @ 1.. = client.recv(&mut bytes).await? {
            bytes[..count].reverse();
            server.send_all(&bytes[..count]).await?;
        }
        Ok(())
    };
    is_found(serve, None, "and is not owed");
}

#[test]
fn a_relay_that_ends_before_both_directions_have_is_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client).await?;
        copy(&client, &server).await.map(drop)
    };
    is_found(serve, None, "is closed before everything was passed on");
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client).await?;
        server.shutdown()?;
        copy(&server, &client).await.map(drop)
    };
    is_found(serve, None, "is ended before all of it was passed on");
}

#[test]
fn a_relay_that_does_not_pass_on_an_end_is_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client).await?;
        copy(&client, &server).await?;
        copy(&server, &client).await?;
        client.shutdown()
    };
    is_found(serve, None, "an end of a direction is not passed on");
}

#[test]
fn a_connection_that_outlives_its_client_is_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client).await?;
        copy_bidirectional(&client, &server).await?;
        forget(server);
        Ok(())
    };
    for names in [Names::ByHost, Names::ByService] {
        is_found_with(names, serve, None, "is closed, and its upstream is not");
    }
}

#[test]
fn a_second_connection_for_a_client_is_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let server = connect(&client).await?;
        let other = connect(&client).await?;
        copy_bidirectional(&client, &server).await?;
        drop(other);
        Ok(())
    };
    is_found(serve, None, "a second connection is requested");
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let (there, back) = (connect(&client).await?, connect(&client).await?);
        copy(&client, &there).await?;
        there.shutdown()?;
        back.shutdown()?;
        copy(&back, &client).await.map(drop)
    };
    is_found_with(Names::ByService, serve, None, "has a second connection");
}

#[test]
fn attempts_that_go_on_after_another_one_has_succeeded_are_found() {
    let serve = async |client: Conn<'_>, _: Handle<'_>| {
        let handle = client.handle();
        let attempts = JoinSet::new(handle);
        let fastest = handle.timeout(PATIENCE, async {
            for address in handle.resolve(UPSTREAM).await? {
                attempts.spawn(handle.connect(address))?;
            }
            while let Some((_, attempt)) = attempts.join_next().await? {
                if let Ok(Ok(server)) = attempt {
                    return Ok(Some(server));
                }
            }
            Ok::<_, Error>(None)
        });
        let Some(server) = fastest.await?? else { return Ok(()) };
        copy_bidirectional(&client, &server).await.map(drop)
    };
    is_found_with(Names::ByService, serve, None, "goes on, and is not needed");
}
