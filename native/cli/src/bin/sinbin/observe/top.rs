//! `sinbin top`: the loops and their tasks, live in a terminal.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant as Moment};

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use sinbin::observe::{Counter, ObserveError, Observed, Snapshot, TaskInfo, all_loops};
use sinbin_cli::output;

use super::args::{Sort, TopArgs};
use super::json::SnapshotJson;
use super::rates::{Look, Rates, resident};
use super::{Nothing, command, describe, loops, tasks};

/// The number of tasks that are sorted and shown at most; the counts are of all.
const SHOWN: usize = 1000;

/// A loop as it was at the last look, and what it did since the look before.
pub(crate) struct Seen {
    pub(crate) snapshot: Snapshot,
    pub(crate) rates: Rates,
    pub(crate) resident: Option<u64>,
}

/// The loops that are looked at, again and again.
#[derive(Default)]
pub(crate) struct Eyes {
    looks: HashMap<(u32, u32), Look>,
}

impl Eyes {
    /// Looks at the loops of the processes, or at all loops if there is none.
    pub(crate) fn look(&mut self, pids: &[u32]) -> Result<Vec<Seen>, ObserveError> {
        let loops = if pids.is_empty() { all_loops()?.0 } else { loops(pids)? };
        let mut all = Vec::new();
        let mut looks = HashMap::new();
        for snapshot in loops.iter().map(Observed::snapshot) {
            let snapshot = snapshot?;
            let key = (snapshot.state.pid, snapshot.state.number);
            let look = Look::new(&snapshot.state);
            let rates = self.looks.get(&key).map_or_else(Rates::default, |earlier| look.since(earlier));
            looks.insert(key, look);
            let resident = resident(snapshot.state.pid);
            all.push(Seen { snapshot, rates, resident });
        }
        self.looks = looks;
        Ok(all)
    }
}

pub(crate) fn run(args: &TopArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut eyes = Eyes::default();
    let first = eyes.look(&args.pids)?;
    if first.is_empty() {
        return Err(Nothing.into());
    }
    let every = args.every.0.unwrap_or(Duration::from_millis(500)).max(Duration::from_millis(50));
    if args.json {
        return documents(args, &mut eyes, first, every);
    }
    if !io::stdout().is_terminal() {
        return Err("top needs a terminal; use --json, or `sinbin ps PID`".into());
    }
    let mut terminal = ratatui::try_init()?;
    let ended = show(&mut terminal, args, &mut eyes, first, every);
    ratatui::restore();
    ended
}

fn documents(
    args: &TopArgs,
    eyes: &mut Eyes,
    mut seen: Vec<Seen>,
    every: Duration,
) -> Result<ExitCode, Box<dyn Error>> {
    for look in 1.. {
        let all: Vec<_> = seen.iter().map(|seen| SnapshotJson::new(&seen.snapshot)).collect();
        output::line_or_end(serde_json::to_string(&all)?);
        if args.looks.is_some_and(|looks| look >= looks) {
            break;
        }
        thread::sleep(every);
        seen = match eyes.look(&args.pids) {
            Ok(seen) => seen,
            Err(ObserveError::NoProcess(_) | ObserveError::NothingPublished(_)) => break,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    terminal: &mut DefaultTerminal,
    args: &TopArgs,
    eyes: &mut Eyes,
    mut seen: Vec<Seen>,
    every: Duration,
) -> Result<ExitCode, Box<dyn Error>> {
    let (mut sort, mut selected) = (args.sort, 0);
    for look in 1.. {
        terminal.draw(|frame| draw(frame, &seen, selected, sort))?;
        if args.looks.is_some_and(|looks| look >= looks) {
            break;
        }
        let until = Moment::now() + every;
        while event::poll(until.saturating_duration_since(Moment::now()))? {
            let Event::Key(key) = event::read()? else { continue };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(ExitCode::SUCCESS),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(ExitCode::SUCCESS);
                }
                KeyCode::Char('s') => sort = Sort::Since,
                KeyCode::Char('w') => sort = Sort::Waits,
                KeyCode::Char('n') => sort = Sort::Name,
                KeyCode::Char('t') => sort = Sort::Task,
                KeyCode::Down | KeyCode::Tab => selected += 1,
                KeyCode::Up => selected = selected.saturating_sub(1),
                _ => continue,
            }
            selected = selected.min(seen.len().saturating_sub(1));
            terminal.draw(|frame| draw(frame, &seen, selected, sort))?;
        }
        seen = match eyes.look(&args.pids) {
            Ok(seen) if !seen.is_empty() => seen,
            Ok(_) | Err(ObserveError::NoProcess(_) | ObserveError::NothingPublished(_)) => break,
            Err(error) => return Err(error.into()),
        };
        selected = selected.min(seen.len() - 1);
    }
    Ok(ExitCode::SUCCESS)
}

/// Draws the loops, and below them the tasks of the selected one.
pub(crate) fn draw(frame: &mut Frame<'_>, seen: &[Seen], selected: usize, sort: Sort) {
    let rows = u16::try_from(seen.len()).unwrap_or(u16::MAX).saturating_add(1).min(frame.area().height / 3);
    let [top, summary, bottom, help] = Layout::vertical([
        Constraint::Length(rows),
        Constraint::Length(2),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(loop_table(seen, selected), top);
    if let Some(seen) = seen.get(selected) {
        frame.render_widget(Paragraph::new(summary_lines(&seen.snapshot)), summary);
        frame.render_widget(task_table(&seen.snapshot, sort, usize::from(bottom.height)), bottom);
    }
    let keys = "q quit  up/down loop  sort: s since  w waits for  n name  t task";
    frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), help);
}

fn loop_table(seen: &[Seen], selected: usize) -> Table<'_> {
    let rows = seen.iter().enumerate().map(|(number, seen)| {
        let (state, rates) = (&seen.snapshot.state, &seen.rates);
        let busy = rates.busy.map_or_else(|| "-".to_owned(), |busy| format!("{:.0} %", busy * 100.0));
        let memory = seen.resident.map_or_else(|| "-".to_owned(), bytes);
        let row = Row::new([
            state.pid.to_string(),
            state.number.to_string(),
            state.phase.name().to_owned(),
            busy,
            format!("{}/{}", state.counter(Counter::Open), state.max_connections),
            seen.snapshot.tasks.len().to_string(),
            format!("{:.0}", rates.steps),
            format!("{}/s", bytes_of(rates.received)),
            format!("{}/s", bytes_of(rates.sent)),
            memory,
            state.service.as_deref().map_or("", describe::short).to_owned(),
        ]);
        if number == selected { row.style(Style::new().add_modifier(Modifier::REVERSED)) } else { row }
    });
    let widths = [7, 4, 9, 6, 13, 7, 9, 11, 11, 9, 24].map(Constraint::Length);
    let head =
        ["PID", "LOOP", "PHASE", "CPU", "CONNECTIONS", "TASKS", "STEPS/s", "IN", "OUT", "MEMORY", "SERVICE"];
    Table::new(rows, widths).header(Row::new(head).style(Style::new().add_modifier(Modifier::BOLD)))
}

fn summary_lines(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let first = match &snapshot.poll {
        Some(poll) => format!("the WASI command {}", command::does(&snapshot.state, poll)),
        None => tasks::summary(&snapshot.tasks),
    };
    let mut lines = vec![Line::from(first)];
    if let Some(circle) = snapshot.deadlocks().first() {
        let style = Style::new().add_modifier(Modifier::BOLD);
        lines.push(Line::from(tasks::deadlock(snapshot, circle)).style(style));
    }
    lines
}

fn task_table(snapshot: &Snapshot, sort: Sort, height: usize) -> Table<'static> {
    let state = &snapshot.state;
    let mut tasks: Vec<&TaskInfo> = snapshot.tasks.iter().collect();
    match sort {
        Sort::Since => tasks.sort_by_key(|task| (!task.is_running, task.view.since)),
        Sort::Waits => tasks.sort_by_key(|task| describe::bin(task)),
        Sort::Name => tasks.sort_by_key(|task| describe::name(task, state)),
        Sort::Task => {}
    }
    let rows: Vec<_> = tasks
        .into_iter()
        .take(height.min(SHOWN))
        .map(|task| {
            Row::new([
                task.view.id.to_string(),
                describe::state(task).to_owned(),
                describe::since(task, state),
                describe::waits(task, state),
                describe::short(describe::name(task, state)).to_owned(),
                describe::place(task).to_owned(),
            ])
        })
        .collect();
    let widths = [
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(11),
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ];
    let head = ["TASK", "STATE", "SINCE", "WAITS FOR", "NAME", "SPAWNED AT"];
    Table::new(rows, widths).header(Row::new(head).style(Style::new().add_modifier(Modifier::BOLD)))
}

#[expect(clippy::cast_precision_loss, reason = "a size is shown with two digits")]
fn bytes(count: u64) -> String {
    bytes_of(count as f64)
}

/// Returns a number of bytes in the unit that fits.
fn bytes_of(mut count: f64) -> String {
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if count < 1000.0 {
            return format!("{count:.0} {unit}");
        }
        count /= 1024.0;
    }
    format!("{count:.0} TiB")
}
