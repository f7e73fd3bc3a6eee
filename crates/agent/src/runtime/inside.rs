//! What is done inside a container, or read of it, beside running it: commands, and what it wrote.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWrite;
use trireme_types::TaskId;

use super::{BoxFuture, Owner};

/// A stream that a trait object can return.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Why it cannot be done, for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// In words.
    pub reason: String,
}

impl Denied {
    /// For this reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub owner: Arc<Owner>,
    /// The task.
    pub task: TaskId,
    /// Its name in the task definition.
    pub container: String,
}

/// How large a terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A command that is to run in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    /// It and its arguments.
    pub command: Vec<String>,
    /// Its terminal, if it has one.
    pub terminal: Option<TerminalSize>,
    /// It has a standard input.
    pub stdin: bool,
}

/// What a command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To its standard output, or its terminal.
    Stdout(Bytes),
    /// To its standard error.
    Stderr(Bytes),
}

/// A command that runs in a container. It is read only as fast as `output` is taken.
pub struct Running {
    /// What it writes. It ends when the command and all that hold its output are over.
    pub output: BoxStream<Result<Output, Denied>>,
    /// Its standard input. Shutting it down is its end.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// The process.
    pub process: Arc<dyn Process>,
}

/// The process of a command.
pub trait Process: Send + Sync {
    /// Its terminal has another size.
    fn resize(&self, size: TerminalSize) -> BoxFuture<'_, ()>;

    /// `None` while it runs; then its exit code, if that is known.
    fn ended(&self) -> BoxFuture<'_, Option<Option<i32>>>;

    /// Ends it, as far as that can be had: whoever wanted it is gone.
    fn hang_up(&self) -> BoxFuture<'_, ()>;
}

/// Which lines of a log are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// Go on with new ones until the container is over.
    pub follow: bool,
    /// From this moment on, in nanoseconds since 1970; 0: all that are kept.
    pub since_nanos: u64,
    /// Only so many of the last ones.
    pub tail: Option<u32>,
}

/// A line of a log, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written, in nanoseconds since 1970.
    pub at_nanos: u64,
    /// To standard error.
    pub stderr: bool,
    /// With its newline, unless it goes on in the next one.
    pub text: Bytes,
}
