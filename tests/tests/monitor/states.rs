//! Loops whose tasks are in known states.

use sinbin_tests::{Client, Running, Server, eventually, example, lacks_chromium};

use super::shown::{agree, tasks};
use super::{has, json, monitor, next_look, open, pid, ps};

/// A server with clients that wait to send, and one whose answer takes a day.
pub(crate) fn busy_server(idle: usize) -> (Server, Vec<Client>) {
    let server = Server::fib(&["--workers", "1", "--max-n", "90", "--job-timeout", "off"]);
    let mut clients: Vec<_> = (0..=idle).map(|_| server.client()).collect();
    for client in &mut clients[1..] {
        client.ask(5);
    }
    clients[0].send("90\n");
    let pid = pid(&server);
    has(&pid, "job", 1);
    has(&pid, "recv", idle);
    (server, clients)
}

#[test]
fn the_page_shows_the_tasks_that_ps_prints() {
    if lacks_chromium() {
        return;
    }
    let (server, mut clients) = busy_server(3);
    let pid = pid(&server);
    let monitor = monitor(&[&pid], &["--every", "100ms"]);
    let mut browser = open(&monitor, 1280, "");
    let (page, _) = agree(&mut browser, &pid);
    assert_eq!(page["counts"]["recv"], "3");
    assert_eq!(page["counts"]["job"], "1");
    assert_eq!(page["counts"]["accept"], "1");

    // A client leaves, and another one comes.
    clients.pop();
    has(&pid, "recv", 2);
    let mut client = server.client();
    client.ask(7);
    has(&pid, "recv", 3);
    agree(&mut browser, &pid);
    assert_eq!(browser.errors(), [""; 0]);

    // A phone.
    browser.resize(360, 740);
    agree(&mut browser, &pid);
    let clicked = browser.evaluate("document.querySelector('.zoom[data-bin=job]').click(); true");
    assert_eq!(clicked, true);
    next_look(&mut browser);
    assert_eq!(browser.evaluate("document.querySelectorAll('#tasks tbody tr').length"), 1);
    assert_eq!(
        browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"),
        true
    );

    // The end of the loop.
    drop(server);
    let message = browser.wait("the page says so", "document.getElementById('message').textContent || null");
    assert!(
        message.as_str().is_some_and(|said| said.contains(&pid) && said.contains("has ended")),
        "{message}"
    );
    drop(monitor);
    browser.wait(
        "the page says that the connection is lost",
        "document.getElementById('status').textContent.startsWith('Connection lost')",
    );
}

#[test]
fn a_deadlock_is_shown_and_loops_are_chosen() {
    if lacks_chromium() {
        return;
    }
    let tangle = {
        let mut command = example("tangle");
        command.args(["20", "3600000"]);
        Running::start(command)
    };
    tangle.says("both wait");
    let (server, _clients) = busy_server(1);
    let (tangle_pid, server_pid) = (pid(&tangle), pid(&server));
    eventually("the tasks wait for each other", || {
        json(&["tree", &tangle_pid, "--json"])[0]["deadlocks"]
            .as_array()
            .is_some_and(|found| found.len() == 1)
    });
    let monitor = monitor(&[&tangle_pid, &server_pid], &["--every", "100ms"]);
    let mut browser = open(&monitor, 1280, "");
    let (page, state) = agree(&mut browser, &tangle_pid);
    assert_eq!(page["deadlocks"].as_array().map(Vec::len), Some(1));
    assert!(page["deadlocks"][0].as_str().is_some_and(|line| line.contains("tangle.rs:")), "{page}");
    assert_eq!(tasks(&state).len(), 23);

    let key = |pid: &str| format!("{pid}.{}", ps(pid)["loop"]);
    let choose = |key: &str| {
        format!(
            "(() => {{ const loops = document.getElementById('loops'); loops.value = '{key}'; \
             loops.dispatchEvent(new Event('change')); return loops.value; }})()"
        )
    };
    let key = key(&server_pid);
    assert_eq!(browser.evaluate(&choose(&key)), key.as_str());
    browser.wait(
        "the other loop",
        &format!("document.querySelector('#facts dd').textContent === '{server_pid}'"),
    );
    let (page, _) = agree(&mut browser, &server_pid);
    assert_eq!(page["deadlocks"].as_array().map(Vec::len), Some(0));
    // The address names the loop.
    assert_eq!(browser.evaluate("location.hash"), format!("#loop={key}"));
    browser.open(&format!("http://{}/#loop={key}", monitor.address()));
    browser.wait("a look", "document.body.dataset.look ?? null");
    agree(&mut browser, &server_pid);
    assert_eq!(browser.errors(), [""; 0]);
}
