//! The trace of a run: every event, log line and byte on the wire, hashed as it comes. Two runs of one seed have equal
//! hashes or are not the same run. The last lines are kept for the report of a failure; all of them go to a file on request.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::shim;

/// Lines that are kept for a report.
const TAIL: usize = 400;

struct Trace {
    hash: Sha256,
    lines: u64,
    wire: u64,
    tail: VecDeque<String>,
    file: Option<BufWriter<File>>,
}

thread_local! {
    static TRACE: RefCell<Option<Trace>> = const { RefCell::new(None) };
    static DEFECT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What is left of a trace.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// SHA-256 over everything, in hex.
    pub hash: String,
    /// Lines.
    pub lines: u64,
    /// Bytes on the wire.
    pub wire: u64,
    /// The last lines.
    pub tail: Vec<String>,
}

/// Begins this thread's trace; written to `file` too, if one is given.
///
/// # Errors
/// The file cannot be made.
pub fn begin(file: Option<&Path>) -> std::io::Result<()> {
    let file = file.map(File::create).transpose()?.map(BufWriter::new);
    let trace = Trace { hash: Sha256::new(), lines: 0, wire: 0, tail: VecDeque::new(), file };
    TRACE.set(Some(trace));
    Ok(())
}

/// Ends it.
pub fn end() -> Summary {
    let Some(mut trace) = TRACE.take() else { return Summary::default() };
    if let Some(file) = &mut trace.file {
        // A trace that cannot be written is missed by whoever asked for it.
        let _best_effort = file.flush();
    }
    let digest = trace.hash.finalize();
    let hash = digest.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    });
    Summary { hash, lines: trace.lines, wire: trace.wire, tail: trace.tail.into() }
}

fn add(line: String, keep: bool) {
    TRACE.with_borrow_mut(|trace| {
        let Some(trace) = trace else { return };
        trace.hash.update(line.as_bytes());
        trace.hash.update(b"\n");
        trace.lines += 1;
        if let Some(file) = &mut trace.file {
            let _best_effort = writeln!(file, "{line}");
        }
        if keep {
            if trace.tail.len() == TAIL {
                trace.tail.pop_front();
            }
            trace.tail.push_back(line);
        }
    });
}

fn stamp() -> String {
    let now = shim::now();
    format!("{:4}.{:03}", now.as_secs(), now.subsec_millis())
}

/// A line that tells of a defect, since this was asked last.
pub fn take_defect() -> Option<String> {
    DEFECT.take()
}

/// Something that the simulation did or saw.
pub fn line(text: impl std::fmt::Display) {
    add(format!("{} {text}", stamp()), true);
}

/// What the decider says when a command would have done harm: its last defence, which is there for defects alone.
const DEFECTS: [&str; 2] = ["a command would break an invariant", "deciding a command panicked"];

/// A line of the product's own log.
pub fn log(text: &str) {
    if DEFECTS.iter().any(|defect| text.contains(defect)) {
        DEFECT.set(Some(text.trim_end().to_owned()));
    }
    add(format!("{} {}", stamp(), text.trim_end()), true);
}

/// Bytes that one host sends to another.
pub fn wire(from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
    TRACE.with_borrow_mut(|trace| {
        let Some(trace) = trace else { return };
        trace.hash.update(bytes);
        trace.wire += bytes.len() as u64;
    });
    add(format!("{} {from} > {to} {}", stamp(), bytes.len()), false);
}

/// Where the product's log goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        log(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
