//! The shipped services and their arguments. The guests of the same names have the same arguments, so that a recording
//! of either can be replayed with the other.

use clap::{Parser, ValueEnum};
use sinbin::echo::{Echo, Upper};
use sinbin::fib_protocol::{Framing, Rules};
use sinbin::fib_service::Fib;
use sinbin_cli::span::{Span, span};

use crate::cli::{FramingArg, LifeArgs, RulesArgs, ServeArgs};

/// The arguments of the service `fib`, without those of the loop.
#[derive(Parser)]
#[command(no_binary_name = true, args_override_self = true, disable_help_flag = true)]
struct FibLine {
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    life: LifeArgs,
    /// An option of the loop that the service uses as well.
    #[arg(long, default_value = "1m", value_parser = span)]
    reply_timeout: Span,
}

/// The arguments of the services `echo` and `upper`, without those of the loop.
#[derive(Parser)]
#[command(no_binary_name = true, args_override_self = true, disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    life: LifeArgs,
    #[arg(long, default_value = "1m", value_parser = span)]
    reply_timeout: Span,
}

fn parse<L: Parser>(arguments: &[String]) -> Result<L, String> {
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    L::try_parse_from(arguments).map_err(|error| first(error.to_string()))
}

/// Creates the Fibonacci service from these arguments.
pub(crate) fn fib(arguments: &[String]) -> Result<Fib, String> {
    parse(arguments).map(|FibLine { rules, life, reply_timeout }| fib_of(&rules, &life, reply_timeout))
}

/// Creates the echo service from these arguments.
pub(crate) fn echo(arguments: &[String]) -> Result<Echo, String> {
    parse(arguments).map(|Line { life, reply_timeout }| echo_of(&life, reply_timeout))
}

/// Creates the upper-case service from these arguments.
pub(crate) fn upper(arguments: &[String]) -> Result<Upper, String> {
    parse(arguments).map(|Line { life, reply_timeout }| upper_of(&life, reply_timeout))
}

pub(crate) fn echo_of(life: &LifeArgs, reply_timeout: Span) -> Echo {
    Echo { idle_timeout: life.idle_timeout.0, reply_timeout: reply_timeout.0 }
}

pub(crate) fn upper_of(life: &LifeArgs, reply_timeout: Span) -> Upper {
    Upper { idle_timeout: life.idle_timeout.0, reply_timeout: reply_timeout.0 }
}

pub(crate) fn fib_of(rules: &RulesArgs, life: &LifeArgs, reply_timeout: Span) -> Fib {
    Fib {
        rules: Rules {
            max_n: rules.max_n,
            max_line: rules.max_line,
            framing: match rules.framing {
                FramingArg::Auto => Framing::Auto,
                FramingArg::Lines => Framing::Lines,
                FramingArg::Bare => Framing::Bare,
            },
        },
        loop_n: rules.loop_n,
        idle_timeout: life.idle_timeout.0,
        job_timeout: rules.job_timeout.0,
        request_timeout: rules.request_timeout.0,
        reply_timeout: reply_timeout.0,
    }
}

/// Returns the arguments of the Fibonacci service.
pub(crate) fn fib_arguments(rules: &RulesArgs, args: &ServeArgs) -> Vec<String> {
    let framing = rules.framing.to_possible_value().map(|value| value.get_name().to_owned());
    let mut all = vec![
        format!("--max-n={}", rules.max_n),
        format!("--loop-n={}", rules.loop_n),
        format!("--max-line={}", rules.max_line),
        format!("--framing={}", framing.unwrap_or_default()),
        format!("--job-timeout={}", rules.job_timeout),
        format!("--request-timeout={}", rules.request_timeout),
    ];
    all.extend(arguments(args));
    all
}

/// Returns the arguments of the services `echo` and `upper`.
pub(crate) fn arguments(args: &ServeArgs) -> Vec<String> {
    vec![
        format!("--idle-timeout={}", args.life.idle_timeout),
        format!("--reply-timeout={}", args.serving.reply_timeout),
    ]
}
