use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
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
    assert_eq!(service.request_timeout, Some(Duration::from_secs(30)));
    assert_eq!(service.reply_timeout, Some(Duration::from_secs(60)));
    assert_eq!(echo([].into_iter()).unwrap().reply_timeout, Some(Duration::from_secs(60)));
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
fn each_timeout_is_its_own() {
    let service =
        fib(["--request-timeout=1s", "--reply-timeout", "2s", "--idle-timeout=3s"].into_iter()).unwrap();
    let seconds = |count| Some(Duration::from_secs(count));
    assert_eq!(service.request_timeout, seconds(1));
    assert_eq!((service.reply_timeout, service.idle_timeout), (seconds(2), seconds(3)));
    let service = upper(["--reply-timeout=off", "--idle-timeout=3s"].into_iter()).unwrap();
    assert_eq!((service.reply_timeout, service.idle_timeout), (None, seconds(3)));
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
fn spans_are_those_of_the_commands() {
    assert_eq!(timeout("500us"), Some(Duration::from_micros(500)));
    assert_eq!(timeout("1.5s"), Some(Duration::from_millis(1500)));
    assert_eq!(timeout("5 m"), Some(Duration::from_secs(300)));
    assert_eq!(timeout("2h 30min"), Some(Duration::from_secs(9000)));
    assert_eq!(timeout("1000years"), Some(Duration::from_secs(1000 * 31_557_600)));
}

/// Tests all texts of up to six of these letters, and all units after some numbers.
#[test]
fn spans_are_read_as_humantime_reads_them() {
    const LETTERS: [char; 9] = ['0', '7', '.', ' ', 's', 'm', 'h', 'u', '-'];
    const UNITS: &str = "nanos nsec ns usec us µs millis msec ms seconds second secs sec s minutes minute min mins m hours \
                         hour hr hrs h days day d weeks week wk wks w months month M years year yr yrs y S Ms year' µ";
    const NUMBERS: [&str; 9] = [
        "0",
        "1",
        "1.25",
        "0.001",
        "1.0000000001",
        "18446744073709",
        "18446744073709551615",
        "1. 5",
        "3 h 4",
    ];
    let mut texts: Vec<String> = vec![String::new()];
    let mut last = texts.clone();
    for _ in 0..6 {
        last = last.iter().flat_map(|text| LETTERS.map(|letter| format!("{text}{letter}"))).collect();
        texts.extend_from_slice(&last);
    }
    for unit in UNITS.split_whitespace() {
        texts.extend(NUMBERS.map(|number| format!("{number}{unit}")));
        texts.extend(NUMBERS.map(|number| format!(" {number} {unit} 1{unit}2ms ")));
    }
    for text in texts {
        let humans = humantime::parse_duration(&text).ok().filter(|span| !span.is_zero());
        let ours = super::span("", &text).ok().flatten();
        assert_eq!(ours, humans, "{text:?}");
    }
}

#[test]
fn a_span_of_nothing_or_of_nonsense() {
    for text in ["0s", "0ms", "0", "5", "", "s", "ms", "-1s", "1.5", "5 mm", "5m,", "99999999999999999999h"] {
        let error = upper(["--idle-timeout", text].into_iter()).unwrap_err();
        assert!(error.starts_with("--idle-timeout "), "{error}");
        assert!(error.ends_with(": expected a span such as 250ms, 30s, 5m or 1h, or off"), "{error}");
    }
    assert!(timeout_overflows("9999999999999999h"));
}

fn timeout_overflows(text: &str) -> bool {
    echo(["--idle-timeout", text].into_iter()).is_err()
}

#[test]
fn errors_name_the_option_the_value_and_what_is_allowed() {
    assert_eq!(refused(&["--max-n", "94"]), "--max-n 94: expected 0 to 93");
    assert_eq!(refused(&["--max-n=-1"]), "--max-n -1: expected 0 to 93");
    assert_eq!(refused(&["--loop-n", "26"]), "--loop-n 26: expected 0 to 25");
    assert_eq!(refused(&["--max-line", "0"]), "--max-line 0: expected 1 to 65535");
    assert_eq!(refused(&["--max-line", "65536"]), "--max-line 65536: expected 1 to 65535");
    assert_eq!(refused(&["--framing", "Lines"]), "--framing Lines: expected auto, lines or bare");
    assert_eq!(refused(&["--framing"]), "--framing: missing value");
}

#[test]
fn what_is_not_known_is_told_what_is() {
    let known = "the options are: --max-n, --loop-n, --max-line, --framing, --job-timeout, --request-timeout, \
                 --idle-timeout, --reply-timeout";
    assert_eq!(refused(&["--listen", "x"]), String::from("--listen is not a known option; ") + known);
    assert_eq!(refused(&["30"]), String::from("30 is not a known option; ") + known);
    assert_eq!(refused(&["--max-n", "3", ""]), String::from(" is not a known option; ") + known);
}
