//! The line on a terminal that shows a measurement while it goes on.
//!
//! The loop of the measurement draws the line itself, a few times a second: a second thread would make each receive and
//! send more expensive. Drawing never blocks. What a stopped terminal does not accept is left out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use sinbin::Instant;
use sinbin_cli::stream::ERR;

use super::stats::{Stats, per_second, span};

/// The time between two updates of the line.
const EVERY: Duration = Duration::from_millis(200);

/// The number of updates whose requests are the rate that is shown.
const MARKS: usize = 5;

/// The width of a terminal that does not tell its own.
const WIDTH: u16 = 80;

/// A line on stderr that is updated.
pub(crate) struct Screen(ProgressBar);

impl Screen {
    /// Starts a line on stderr.
    pub(crate) fn stderr() -> Self {
        Self::on(Box::new(Terminal(Mutex::default())))
    }

    fn on(terminal: Box<dyn TermLike>) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(terminal, 20);
        let style = ProgressStyle::with_template("{spinner:.green} {bar:20.cyan} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::with_draw_target(Some(0), target).with_style(style))
    }

    /// Removes the line while `print` prints others.
    pub(crate) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }

    /// Removes the line for good.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

/// The view of one part of a measurement.
pub(crate) struct Live {
    screen: Rc<Screen>,
    label: String,
    stats: Rc<RefCell<Stats>>,
    time: Duration,
    next: Instant,
    /// The times and counts of the last updates.
    marks: VecDeque<(Instant, u64)>,
}

impl Live {
    /// Creates the view of a part that takes `time`, which shows one client of it.
    pub(crate) fn new(screen: &Rc<Screen>, label: &str, stats: &Rc<RefCell<Stats>>, time: Duration) -> Self {
        Self {
            screen: Rc::clone(screen),
            label: label.to_owned(),
            stats: Rc::clone(stats),
            time,
            next: Instant::ZERO,
            marks: VecDeque::from([(Instant::ZERO, 0)]),
        }
    }

    /// Draws the line, unless that was done just now. Returns the time of the next update.
    pub(crate) fn update(&mut self, now: Instant) -> Instant {
        if now >= self.next {
            self.next = now + EVERY;
            self.draw(now);
        }
        self.next
    }

    fn draw(&mut self, now: Instant) {
        let stats = self.stats.borrow();
        let (since, before) = self.marks.front().copied().unwrap_or((Instant::ZERO, 0));
        let rate = per_second(stats.count() - before, now.since(since).as_secs_f64());
        let line = line(&self.label, rate, &stats, self.time.saturating_sub(now.since(Instant::ZERO)));
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((now, stats.count()));
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let bar = &self.screen.0;
        bar.set_length(millis(self.time));
        bar.set_position(millis(now.since(Instant::ZERO).min(self.time)));
        bar.set_message(line);
        bar.tick();
    }
}

/// Returns the line: rate, times, errors, and the time that is left.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is shown as a whole number"
)]
fn line(label: &str, rate: f64, stats: &Stats, left: Duration) -> String {
    let times = stats.times();
    let times = match stats.count() {
        0 => "no reply yet".to_owned(),
        _ => {
            format!("p50 {}, p99 {}", span(times.value_at_quantile(0.5)), span(times.value_at_quantile(0.99)))
        }
    };
    let errors = match stats.errors {
        1 => "1 error".to_owned(),
        errors => format!("{errors} errors"),
    };
    let rate = HumanCount(rate.round() as u64);
    let left = left.as_secs_f64().ceil();
    format!("{label}{rate} requests/s, {times}, {errors}, {left:.0} s left")
}

/// A terminal behind stderr. Everything between two flushes is written at once, or left out.
#[derive(Debug)]
struct Terminal(Mutex<String>);

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// Adds the sequence of a movement by `count`.
    fn go(&self, count: usize, direction: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { self.add(&format!("\x1b[{count}{direction}")) }
    }
}

impl TermLike for Terminal {
    #[cfg(unix)]
    fn width(&self) -> u16 {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr());
        size.map_or(WIDTH, |size| if size.ws_col == 0 { WIDTH } else { size.ws_col })
    }

    #[cfg(not(unix))]
    fn width(&self) -> u16 {
        WIDTH
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.go(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.go(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.go(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.go(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !text.is_empty() && ERR.has_room()? {
            ERR.offer(text.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A terminal that keeps what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.write_str("\n")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.write_str("<clear>")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stats(micros: &[u64]) -> Stats {
        let mut stats = Stats::new(Duration::from_secs(10), false);
        for micros in micros {
            stats.record(Duration::from_micros(*micros), Duration::ZERO);
        }
        stats
    }

    #[test]
    fn the_line_has_rate_times_errors_and_the_time_left() {
        let mut stats = stats(&[20, 20, 20, 5000]);
        stats.errors = 1;
        assert_eq!(
            line("alone: ", 52_317.6, &stats, Duration::from_millis(6100)),
            "alone: 52,318 requests/s, p50 20.0 µs, p99 5001.2 µs, 1 error, 7 s left"
        );
        assert_eq!(
            line("", 0.0, &self::stats(&[]), Duration::ZERO),
            "0 requests/s, no reply yet, 0 errors, 0 s left"
        );
    }

    #[test]
    fn the_line_is_drawn_a_few_times_a_second_and_removed_at_the_end() {
        let paper = Paper::default();
        let screen = Rc::new(Screen::on(Box::new(paper.clone())));
        let stats = Rc::new(RefCell::new(stats(&[20; 100])));
        let mut live = Live::new(&screen, "", &stats, Duration::from_secs(10));
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let next = live.update(at(1000));
        assert_eq!(next, at(1200));
        // Another update would be too early.
        stats.borrow_mut().record(Duration::from_micros(20), Duration::ZERO);
        assert_eq!(live.update(at(1199)), next);
        let said = paper.0.lock().unwrap().clone();
        assert!(said.contains("100 requests/s, p50 20.0 µs, p99 20.0 µs, 0 errors, 9 s left"), "{said:?}");
        drop(live);
        drop(screen);
        assert!(paper.0.lock().unwrap().ends_with("<clear>"), "{:?}", paper.0.lock().unwrap());
    }

    /// The rate is that of the last second, not of the whole time.
    #[test]
    fn the_rate_is_of_the_last_updates() {
        let screen = Rc::new(Screen::on(Box::new(Paper::default())));
        let stats = Rc::new(RefCell::new(stats(&[20; 1000])));
        let mut live = Live::new(&screen, "", &stats, Duration::from_secs(10));
        for tenths in 0..20 {
            live.update(Instant::ZERO + Duration::from_millis(200 * tenths));
        }
        assert!(screen.0.message().starts_with("0 requests/s"), "{}", screen.0.message());
    }

    #[test]
    fn sequences_move_the_cursor() {
        let terminal = Terminal(Mutex::default());
        terminal.move_cursor_up(2).unwrap();
        terminal.move_cursor_left(0).unwrap();
        terminal.clear_line().unwrap();
        terminal.write_line("text").unwrap();
        assert_eq!(*terminal.0.lock().unwrap(), "\x1b[2A\r\x1b[2Ktext\n");
    }
}
