//! Commands and logs of containers in memory. `cat` says what it is told until its input ends; `exit N` ends so; every other
//! command says its own words. A container's log is its environment's `FAKE_LOG`, a line.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::FakeRuntime;
use crate::runtime::inside::{
    BoxStream, Denied, Line, Lines, Member, NewCommand, Output, Process, Running, TerminalSize,
};
use crate::runtime::{BoxFuture, FoundState};

const BUFFER: usize = 1 << 10;

/// A process that is over as soon as it has said what it says.
struct FakeProcess {
    code: i32,
}

impl Process for FakeProcess {
    fn resize(&self, _: TerminalSize) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn ended(&self) -> BoxFuture<'_, Option<Option<i32>>> {
        Box::pin(std::future::ready(Some(Some(self.code))))
    }

    fn hang_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

pub(super) fn execute(runtime: &FakeRuntime, member: &Member, new: &NewCommand) -> Result<Running, Denied> {
    runtime.variable(member, true, "")?;
    let words: Vec<&str> = new.command.iter().map(String::as_str).collect();
    let (input, read) = tokio::io::duplex(BUFFER);
    let (output, code): (BoxStream<_>, i32) = match words.as_slice() {
        ["cat"] => (echo(read), 0),
        ["exit", code] => (Box::pin(stream::empty()), code.parse().unwrap_or(2)),
        words => {
            let said = Output::Stdout(Bytes::from(format!("{}\n", words.join(" "))));
            (Box::pin(stream::iter([Ok(said)])), 0)
        }
    };
    Ok(Running { output, input: Box::pin(input), process: Arc::new(FakeProcess { code }) })
}

fn echo(read: impl AsyncRead + Send + Unpin + 'static) -> BoxStream<Result<Output, Denied>> {
    Box::pin(stream::unfold(read, |mut read| async {
        let mut bytes = vec![0; BUFFER];
        match read.read(&mut bytes).await {
            Ok(0) | Err(_) => None,
            Ok(length) => {
                bytes.truncate(length);
                Some((Ok(Output::Stdout(bytes.into())), read))
            }
        }
    }))
}

pub(super) fn lines(
    runtime: &FakeRuntime,
    member: &Member,
    wanted: Lines,
) -> Result<BoxStream<Result<Line, Denied>>, Denied> {
    let text = runtime.variable(member, false, "FAKE_LOG")?;
    let line = text.map(|text| Line { at_nanos: 1, stderr: false, text: Bytes::from(format!("{text}\n")) });
    let line = line.filter(|line| line.at_nanos >= wanted.since_nanos && wanted.tail != Some(0));
    Ok(Box::pin(stream::iter(line.map(Ok))))
}

impl FakeRuntime {
    /// A variable of a container's environment.
    fn variable(&self, member: &Member, running: bool, name: &str) -> Result<Option<String>, Denied> {
        let machine = self.lock();
        let found = machine
            .containers
            .values()
            .find(|one| one.task == Some(member.task) && one.new.definition().name == member.container);
        let none = || Denied::because(format!("there is no container {} any more", member.container));
        let found = found.ok_or_else(none)?;
        if running && !matches!(found.state, FoundState::Running(_)) {
            return Err(Denied::because(format!("container {} does not run", member.container)));
        }
        let variables = &found.new.definition().environment;
        let variable = variables.iter().find(|variable| variable.name == name);
        Ok(variable.map(|variable| variable.value.clone()))
    }
}
