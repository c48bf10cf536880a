//! The selection of hosts and dialogues by the command line.

use sinbin_tests::dialogue::{Dialogue, Host, Need, Service, Simulated, read_all};
use sinbin_tests::host::{Encrypted, Given, Known};

use crate::cli::{Cli, NeedArg};

/// Returns the selected dialogues, at least one.
pub(crate) fn dialogues(cli: &Cli) -> Result<Vec<Dialogue>, String> {
    let mut dialogues = read_all(&cli.dialogues).map_err(|error| error.to_string())?;
    let Cli { only, .. } = cli;
    dialogues.retain(|dialogue| dialogue.name.contains(only));
    let called = dialogues.len();
    let Some(service) = cli.service.map(Service::from) else {
        return if called > 0 { Ok(dialogues) } else { Err(nobody(only)) };
    };
    dialogues.retain(|dialogue| dialogue.service == service);
    match dialogues.len() {
        0 if called > 0 => Err(format!(
            "--only {only}: {called} dialogues have such names, and --service {service} excludes all of them"
        )),
        0 => Err(nobody(only)),
        _ => Ok(dialogues),
    }
}

fn nobody(only: &str) -> String {
    format!("--only {only}: no dialogue has such a name; see --list")
}

/// Returns the selected hosts without duplicates.
pub(crate) fn hosts(cli: &Cli) -> Result<Vec<Box<dyn Host>>, String> {
    let given = cli.address.is_some() || !cli.command.is_empty();
    let mut hosts: Vec<Box<dyn Host>> = Vec::new();
    for name in &cli.host {
        let host = by_name(name).ok_or_else(|| format!("--host {name}: unknown host; see --list"))?;
        if hosts.iter().all(|other| other.name() != host.name()) {
            hosts.push(host);
        }
    }
    if cli.host.is_empty() && !given {
        hosts.extend(Simulated::all().iter().map(|host| -> Box<dyn Host> { Box::new(*host) }));
        hosts.extend(Known::all().iter().map(|host| -> Box<dyn Host> { Box::new(host) }));
        hosts.extend(Encrypted::all().iter().map(|host| -> Box<dyn Host> { Box::new(host) }));
    }
    if let (true, Some(service)) = (given, cli.service) {
        let lacks = cli.lacks.iter().map(|NeedArg::Linger| Need::Linger).collect();
        let (command, address) = (cli.command.clone(), cli.address);
        hosts.push(Box::new(Given { service: service.into(), command, address, lacks }));
    }
    Ok(hosts)
}

fn by_name(name: &str) -> Option<Box<dyn Host>> {
    let simulated = Simulated::by_name(name).map(|host| -> Box<dyn Host> { Box::new(*host) });
    let known = Known::by_name(name).map(|host| -> Box<dyn Host> { Box::new(host) });
    let encrypted = Encrypted::by_name(name).map(|host| -> Box<dyn Host> { Box::new(host) });
    simulated.or(known).or(encrypted)
}
