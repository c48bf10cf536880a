//! The table of the hosts that can serve the shipped services. `SINBIN_HOST` names the host for the tests of a run; the
//! dialogues use all of them.

mod encrypted;
mod given;
mod launch;
mod served;
mod table;

use std::env;
use std::process::Command;

pub use encrypted::Encrypted;
pub use given::Given;
use served::Served;
pub use table::Known;

use crate::dialogue::{Dialogue, Host, Need, Options, Service, Stage};
use crate::foreign::foreign_lacks;

/// Returns the command that serves `service` with the host that `SINBIN_HOST` names, given the arguments of
/// `sinbin serve`.
pub(crate) fn serve(service: &str, args: &[&str]) -> Command {
    let name = env::var("SINBIN_HOST").unwrap_or_else(|_| "native".to_owned());
    let host = Known::by_name(&name).unwrap_or_else(|| {
        let names: Vec<_> = Known::all().iter().map(|host| host.name).collect();
        panic!("SINBIN_HOST={name}: unknown; the hosts are {}", names.join(", "))
    });
    host.command(service, args)
}

impl Known {
    /// Returns the host with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|host| host.name == name)
    }

    /// Returns the command that serves `service`. `args` takes precedence over the host's own options.
    fn command(&self, service: &str, args: &[&str]) -> Command {
        let mut all = args.to_vec();
        if self.own.first().is_some_and(|option| !args.contains(option)) {
            all.extend(self.own);
        }
        (self.launch)(service, &all)
    }
}

impl Host for &'static Known {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn lacks(&self, dialogue: &Dialogue) -> Option<String> {
        let lack = self.lacks.iter().find(|(lack, _)| lack.concerns(dialogue));
        lack.map(|(_, reason)| (*reason).to_owned())
    }

    fn open(&self, service: Service, options: &Options) -> Result<Box<dyn Stage>, String> {
        let mut args = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        args.extend(arguments(options));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        Ok(Box::new(Served::start(self.command(service.name(), &args))?))
    }
}

/// A limitation of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lack {
    /// Serves only this service.
    Other(Service),
    /// Cannot pass options to the service.
    Options,
    /// Cannot pass this option to the service.
    Option(&'static str),
    /// Lacks this capability.
    Need(Need),
    /// Cannot run where the tools of this language are missing.
    Tools(&'static str),
}

impl Lack {
    fn concerns(self, dialogue: &Dialogue) -> bool {
        match self {
            Self::Other(service) => dialogue.service != service,
            Self::Options => !dialogue.options.is_empty(),
            Self::Option(option) => dialogue.options.contains_key(option),
            Self::Need(need) => dialogue.needs.contains(&need),
            Self::Tools(language) => foreign_lacks(language).is_some(),
        }
    }
}

/// Formats options as command-line arguments.
fn arguments(options: &Options) -> impl Iterator<Item = String> {
    options.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()])
}
