//! Holds the dialogues of `tests/dialogues` with every host, and prints the table of both.

#[cfg(not(unix))]
fn main() {
    eprintln!("dialogues: this needs unix");
    std::process::exit(2);
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::net::SocketAddr;
    use std::panic;
    use std::path::PathBuf;
    use std::process::ExitCode;

    use clap::{Parser, ValueEnum};
    use indicatif::{ProgressBar, ProgressStyle};
    use sinbin_tests::dialogue::{Dialogue, Host, Need, Service, Simulated, Table, hold_all, read_all};
    use sinbin_tests::host::{Given, Known};

    /// Hold scripted conversations with every host, and see that all say the same, to the byte.
    ///
    /// Hosts that are needed and not there are built first. A host of your own is a command that prints `listening on
    /// ADDR`, or an address: dialogues --service fib -- my-server --listen 127.0.0.1:0
    #[derive(Parser)]
    #[command(name = "dialogues", after_help = EXIT_CODES)]
    struct Cli {
        /// A host, by its name; may be given more than once. Otherwise all, or yours alone if you name one.
        #[arg(long, value_name = "NAME")]
        host: Vec<String>,
        /// Only dialogues whose name contains this, such as fib/ or fib/pipelined.
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
        /// Only dialogues with this service; it is what your own host serves.
        #[arg(long, value_enum)]
        service: Option<ServiceArg>,
        /// Where your own host listens. Without a command it runs already.
        #[arg(long, value_name = "ADDR:PORT", requires = "service")]
        address: Option<SocketAddr>,
        /// What your own host cannot do; may be given more than once.
        #[arg(long, value_enum, value_name = "NEED")]
        lacks: Vec<NeedArg>,
        /// Say what hosts and dialogues there are, and do nothing.
        #[arg(long)]
        list: bool,
        /// Where the dialogues are.
        #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/dialogues"))]
        dialogues: PathBuf,
        /// Your own host. The options of a dialogue are put behind as --name value, or in the place of an argument
        /// {options}.
        #[arg(last = true, requires = "service", value_name = "COMMAND")]
        command: Vec<OsString>,
    }

    const EXIT_CODES: &str = "Exit codes: 0 all that can be held was, and alike; 1 something differs or failed, see the \
table; 2 wrong arguments, or a dialogue that makes no sense.";

    #[derive(Clone, Copy, ValueEnum)]
    enum ServiceArg {
        /// The talk's service.
        Fib,
        /// What is sent comes back.
        Echo,
        /// It does so in upper case.
        Upper,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum NeedArg {
        /// To close a connection without a reset while the client still sends.
        Linger,
    }

    impl From<ServiceArg> for Service {
        fn from(service: ServiceArg) -> Self {
            match service {
                ServiceArg::Fib => Self::Fib,
                ServiceArg::Echo => Self::Echo,
                ServiceArg::Upper => Self::Upper,
            }
        }
    }

    pub(super) fn main() -> ExitCode {
        let cli = Cli::parse();
        match go(&cli) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(message) => {
                eprintln!("dialogues: {message}");
                ExitCode::from(2)
            }
        }
    }

    /// Returns whether all went well; an error is the user's.
    fn go(cli: &Cli) -> Result<bool, String> {
        let mut dialogues = read_all(&cli.dialogues).map_err(|error| error.to_string())?;
        let service = cli.service.map(Service::from);
        dialogues.retain(|dialogue| {
            dialogue.name.contains(&cli.only) && service.is_none_or(|service| dialogue.service == service)
        });
        let hosts = hosts(cli)?;
        if cli.list {
            list(&hosts, &dialogues);
            return Ok(true);
        }
        if dialogues.is_empty() {
            return Err(format!("--only {}: no dialogue is called so; see --list", cli.only));
        }
        let bar = ProgressBar::new((hosts.len() * dialogues.len()) as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
        bar.set_style(style.map_err(|error| error.to_string())?);
        // What panics while a host is opened is told in the table.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let mut current = String::new();
        let results = hold_all(&hosts, &dialogues, |host, dialogue| {
            bar.inc(1);
            bar.set_message(format!("{host}: {dialogue}"));
            // A log has a line for each host instead.
            if bar.is_hidden() && host != current {
                host.clone_into(&mut current);
                eprintln!("{host} ({:.0?})", bar.elapsed());
            }
        });
        panic::set_hook(hook);
        bar.finish_and_clear();
        print!("{}", Table(&results));
        Ok(results.is_good())
    }

    fn hosts(cli: &Cli) -> Result<Vec<Box<dyn Host>>, String> {
        let given = cli.address.is_some() || !cli.command.is_empty();
        let mut hosts: Vec<Box<dyn Host>> = Vec::new();
        for name in &cli.host {
            hosts.push(by_name(name).ok_or_else(|| format!("--host {name}: there is none; see --list"))?);
        }
        if cli.host.is_empty() && !given {
            hosts.extend(Simulated::all().iter().map(|host| -> Box<dyn Host> { Box::new(*host) }));
            hosts.extend(Known::all().iter().map(|host| -> Box<dyn Host> { Box::new(host) }));
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
        simulated.or_else(|| Known::by_name(name).map(|host| -> Box<dyn Host> { Box::new(host) }))
    }

    fn list(hosts: &[Box<dyn Host>], dialogues: &[Dialogue]) {
        println!("Hosts:");
        for host in hosts {
            println!("  {:20} {}", host.name(), host.about());
        }
        println!("Dialogues:");
        for dialogue in dialogues {
            println!("  {:40} {}", dialogue.name, dialogue.shows);
        }
    }
}
