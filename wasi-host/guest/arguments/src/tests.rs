use alloc::string::String;
use core::time::Duration;

use sinbin_core::fib_protocol::Framing;

use super::{echo, fib, upper};

fn refused(arguments: &[&str]) -> String {
    fib(arguments.iter().copied()).expect_err("these arguments are wrong")
}

fn timeout(text: &str) -> Option<Duration> {
    echo(["--idle-timeout", text].into_iter()).expect("a span").idle_timeout
}

#[test]
fn nothing_said_is_what_sinbin_serve_does() {
    let service = fib([].into_iter()).unwrap();
    assert_eq!((service.rules.max_n, service.loop_n, service.rules.max_line), (45, 10, 64));
    assert_eq!(service.rules.framing, Framing::Auto);
    assert_eq!(service.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(upper([].into_iter()).unwrap().idle_timeout, Some(Duration::from_secs(300)));
}

#[test]
fn both_ways_to_write_an_option() {
    let arguments = ["--max-n", "93", "--loop-n=0", "--max-line=65535", "--framing", "bare"];
    let service = fib(arguments.into_iter()).unwrap();
    assert_eq!((service.rules.max_n, service.loop_n, service.rules.max_line), (93, 0, 65535));
    assert_eq!(service.rules.framing, Framing::Bare);
    assert_eq!(fib(["--framing=lines"].into_iter()).unwrap().rules.framing, Framing::Lines);
}

#[test]
fn the_last_of_two_counts() {
    assert_eq!(fib(["--max-n", "3", "--max-n=4"].into_iter()).unwrap().rules.max_n, 4);
}

#[test]
fn spans() {
    assert_eq!(timeout("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(timeout("30s"), Some(Duration::from_secs(30)));
    assert_eq!(timeout("5m"), Some(Duration::from_secs(300)));
    assert_eq!(timeout("1h"), Some(Duration::from_secs(3600)));
    assert_eq!(timeout("off"), None);
}

#[test]
fn a_span_of_nothing_or_of_nonsense() {
    for text in ["0s", "0ms", "5", "", "s", "ms", "-1s", "1.5s", "5 m", "5min", "99999999999999999999h"] {
        let error = upper(["--idle-timeout", text].into_iter()).unwrap_err();
        assert!(error.starts_with("--idle-timeout "), "{error}");
        assert!(error.ends_with(": it takes 250ms, 30s, 5m, 1h and the like, or off"), "{error}");
    }
    assert!(timeout_overflows("9999999999999999h"));
}

fn timeout_overflows(text: &str) -> bool {
    echo(["--idle-timeout", text].into_iter()).is_err()
}

#[test]
fn errors_name_the_option_the_value_and_what_is_allowed() {
    assert_eq!(refused(&["--max-n", "94"]), "--max-n 94: it takes 0 to 93");
    assert_eq!(refused(&["--max-n=-1"]), "--max-n -1: it takes 0 to 93");
    assert_eq!(refused(&["--loop-n", "26"]), "--loop-n 26: it takes 0 to 25");
    assert_eq!(refused(&["--max-line", "0"]), "--max-line 0: it takes 1 to 65535");
    assert_eq!(refused(&["--max-line", "65536"]), "--max-line 65536: it takes 1 to 65535");
    assert_eq!(refused(&["--framing", "Lines"]), "--framing Lines: it takes auto, lines or bare");
    assert_eq!(refused(&["--framing"]), "--framing: its value is missing");
}

#[test]
fn what_is_not_known_is_told_what_is() {
    let known = "what there is: --max-n, --loop-n, --max-line, --framing, --idle-timeout";
    assert_eq!(refused(&["--listen", "x"]), String::from("--listen is not known; ") + known);
    assert_eq!(refused(&["30"]), String::from("30 is not known; ") + known);
    assert_eq!(refused(&["--max-n", "3", ""]), String::from(" is not known; ") + known);
}
