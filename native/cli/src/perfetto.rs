//! Traces in the JSON format of Chrome, which <https://ui.perfetto.dev> shows: slices on tracks, and arrows between them.
//!
//! A trace is written as it arises, so that its length is limited by the disk alone.

mod replay;

use std::io::{self, Write};

use serde::Serialize;

pub use replay::{MAX_TRACKS, ReplayTrace};

/// A track, and the group of tracks that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Track {
    /// The number of the group.
    pub group: u32,
    /// The number of the track in its group.
    pub number: u32,
}

/// A moment on a track, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The track.
    pub track: Track,
    /// The time.
    pub at: u64,
}

/// A span of time with a name.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a, A> {
    /// The track. The slices of a track do not overlap.
    pub track: Track,
    /// The name.
    pub name: &'a str,
    /// The kind of the slice, by which a viewer can filter.
    pub kind: &'a str,
    /// The beginning, in nanoseconds.
    pub from: u64,
    /// The end, in nanoseconds.
    pub to: u64,
    /// The details, which are an object.
    pub args: A,
}

/// An event in the format of Chrome.
#[derive(Serialize)]
struct Line<'a, A> {
    ph: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    pid: u32,
    tid: u32,
    /// The time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// The slice that the end of an arrow belongs to: "e" for the one that encloses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<A>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

/// No details.
#[derive(Clone, Copy, Default, Serialize, Debug)]
pub struct NoArgs {}

/// A writer of a trace.
#[derive(Debug)]
pub struct Trace<W> {
    out: W,
    has_lines: bool,
    arrows: u64,
}

impl<W: Write> Trace<W> {
    /// Begins a trace.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        Ok(Self { out, has_lines: false, arrows: 0 })
    }

    /// Names a group of tracks.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn name_group(&mut self, group: u32, name: &str) -> io::Result<()> {
        self.name("process_name", Track { group, number: 0 }, name)
    }

    /// Names a track.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn name_track(&mut self, track: Track, name: &str) -> io::Result<()> {
        self.name("thread_name", track, name)
    }

    fn name(&mut self, what: &'static str, track: Track, name: &str) -> io::Result<()> {
        let args = Some(Name { name });
        let Track { group: pid, number: tid } = track;
        let (cat, ts, dur, id, bp) = (None, None, None, None, None);
        self.line(&Line { ph: "M", name: what, cat, pid, tid, ts, dur, id, bp, args })
    }

    /// Writes a slice.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn slice<A: Serialize>(&mut self, slice: Slice<'_, A>) -> io::Result<()> {
        let Slice { track, name, kind, from, to, args } = slice;
        let Track { group: pid, number: tid } = track;
        let (ts, dur) = (Some(micros(from)), Some(micros(to.saturating_sub(from))));
        let (cat, args) = (Some(kind), Some(args));
        self.line(&Line { ph: "X", name, cat, pid, tid, ts, dur, id: None, bp: None, args })
    }

    /// Writes an arrow through the slices at these moments, of which there are at least two.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn arrow(&mut self, name: &str, moments: &[Moment]) -> io::Result<()> {
        let Some(last) = moments.len().checked_sub(1).filter(|last| *last > 0) else { return Ok(()) };
        self.arrows += 1;
        for (index, Moment { track: Track { group: pid, number: tid }, at }) in moments.iter().enumerate() {
            let (ph, bp) = match index {
                0 => ("s", None),
                index if index == last => ("f", Some("e")),
                _ => ("t", None),
            };
            let (cat, ts, id) = (Some("wake"), Some(micros(*at)), Some(self.arrows));
            let args: Option<NoArgs> = None;
            self.line(&Line { ph, name, cat, pid: *pid, tid: *tid, ts, dur: None, id, bp, args })?;
        }
        Ok(())
    }

    fn line<A: Serialize>(&mut self, line: &Line<'_, A>) -> io::Result<()> {
        self.out.write_all(if self.has_lines { b",\n" } else { b"\n" })?;
        self.has_lines = true;
        serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)
    }

    /// Flushes the writer.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the trace. Returns the writer, which the caller flushes.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(b"\n]}\n")?;
        Ok(self.out)
    }
}

/// Returns nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "exact for a hundred days")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Track = Track { group: 1, number: 2 };
    const B: Track = Track { group: 3, number: 4 };

    #[test]
    fn a_trace_is_the_json_of_chrome() {
        let mut trace = Trace::new(Vec::new()).unwrap();
        trace.name_group(1, "loop").unwrap();
        trace.name_track(A, "turns \"here\"").unwrap();
        let args = NoArgs::default();
        trace.slice(Slice { track: A, name: "turn", kind: "step", from: 1500, to: 2001, args }).unwrap();
        trace.arrow("wake", &[Moment { track: A, at: 1500 }, Moment { track: B, at: 1600 }]).unwrap();
        trace.arrow("to nowhere", &[Moment { track: A, at: 1500 }]).unwrap();
        let text = String::from_utf8(trace.finish().unwrap()).unwrap();
        let expected = r#"{"displayTimeUnit":"ns","traceEvents":[
{"ph":"M","name":"process_name","pid":1,"tid":0,"args":{"name":"loop"}},
{"ph":"M","name":"thread_name","pid":1,"tid":2,"args":{"name":"turns \"here\""}},
{"ph":"X","name":"turn","cat":"step","pid":1,"tid":2,"ts":1.5,"dur":0.501,"args":{}},
{"ph":"s","name":"wake","cat":"wake","pid":1,"tid":2,"ts":1.5,"id":1},
{"ph":"f","name":"wake","cat":"wake","pid":3,"tid":4,"ts":1.6,"id":1,"bp":"e"}
]}
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_trace_is_json_too() {
        let text = Trace::new(Vec::new()).unwrap().finish().unwrap();
        let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(all["traceEvents"].as_array().map(Vec::len), Some(0));
    }
}
