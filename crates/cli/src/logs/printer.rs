//! Lines of several containers on one screen.

use std::collections::BTreeMap;
use std::io::Write;

use trireme_rpc::channel::LogLine;
use trireme_rpc::operator::LogSource;

use crate::Error;

/// A longer line of one of several containers is printed in parts, each with a newline.
const LINE_BYTES: usize = 64 << 10;
/// Characters of a task's id that tell it from others.
const ID_LENGTH: usize = 8;

/// Parts of a line by source and stream, with the moment of the first.
type Parts = BTreeMap<(LogSourceKey, bool), (u64, Vec<u8>)>;
type LogSourceKey = (String, String);

pub(super) struct Printer {
    timestamps: bool,
    /// What stands before the lines of each; nothing when there is only one.
    names: BTreeMap<LogSourceKey, String>,
    parts: Parts,
    lines: u64,
}

impl Printer {
    pub(super) fn new(timestamps: bool) -> Self {
        Self { timestamps, names: BTreeMap::new(), parts: Parts::new(), lines: 0 }
    }

    /// How many lines came.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Whose lines will come.
    pub(super) fn name(&mut self, sources: &[LogSource]) {
        let several = sources.iter().any(|source| source.task_id != sources[0].task_id);
        let named = sources.iter().map(|source| match several {
            true => {
                format!("{}/{}", &source.task_id[..source.task_id.len().min(ID_LENGTH)], source.container)
            }
            false => source.container.clone(),
        });
        let named: Vec<String> = if sources.len() > 1 { named.collect() } else { Vec::new() };
        let width = named.iter().map(String::len).max().unwrap_or(0);
        let padded = named.into_iter().map(|name| format!("{name:width$} | "));
        self.names = sources.iter().map(key).zip(padded).collect();
    }

    /// Prints a line, or keeps a part of one until the rest comes.
    pub(super) fn print(&mut self, source: &LogSource, line: &LogLine) -> Result<(), Error> {
        self.lines += 1;
        if self.names.is_empty() && !self.timestamps {
            return write(line.stderr, &[&line.text]);
        }
        let key = (key(source), line.stderr);
        let (at, mut text) = self.parts.remove(&key).unwrap_or((line.at_nanos, Vec::new()));
        text.extend_from_slice(&line.text);
        if !text.ends_with(b"\n") {
            if text.len() < LINE_BYTES {
                self.parts.insert(key, (at, text));
                return Ok(());
            }
            text.push(b'\n');
        }
        self.whole(&key, at, &text)
    }

    fn whole(&self, (source, stderr): &(LogSourceKey, bool), at: u64, text: &[u8]) -> Result<(), Error> {
        let name = self.names.get(source).map_or("", String::as_str);
        let moment = if self.timestamps { format!("{} ", moment(at)) } else { String::new() };
        write(*stderr, &[name.as_bytes(), moment.as_bytes(), text])
    }

    /// Prints what is left without an end.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        for (key, (at, mut text)) in std::mem::take(&mut self.parts) {
            text.push(b'\n');
            self.whole(&key, at, &text)?;
        }
        Ok(())
    }
}

fn key(source: &LogSource) -> LogSourceKey {
    (source.task_id.clone(), source.container.clone())
}

fn moment(at_nanos: u64) -> String {
    let at = jiff::Timestamp::from_nanosecond(at_nanos.into());
    at.map_or_else(|_| at_nanos.to_string(), |at| format!("{at:.9}"))
}

/// Each line in one write, so that others on the same screen do not cut it.
fn write(stderr: bool, parts: &[&[u8]]) -> Result<(), Error> {
    let whole = parts.concat();
    let written = if stderr {
        std::io::stderr().lock().write_all(&whole)
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(&whole).and_then(|()| out.flush())
    };
    written.map_err(Error::Output)
}
