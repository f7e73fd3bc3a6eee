//! Lines that a container wrote, for people.

use bollard::models::ContainerInspectResponse;
use futures_util::StreamExt;

use super::exec::denied;
use super::frames::{self, Frame};
use super::{DockerRuntime, labels};
use crate::runtime::inside::{BoxStream, Denied, Line, Lines, Member};

/// The drivers whose logs Docker can read.
const READABLE: [&str; 3] = ["json-file", "journald", "local"];

/// A container of ours, by its task and name.
pub(super) async fn inspect(
    runtime: &DockerRuntime,
    member: &Member,
) -> Result<ContainerInspectResponse, Denied> {
    let name = format!("trireme-{}-{}", member.task, member.container);
    let gone = || Denied::because(format!("there is no container {} any more", member.container));
    match runtime.inspect(&name).await {
        Ok(known) => {
            let labels = known.config.as_ref().and_then(|config| config.labels.as_ref());
            if labels.is_some_and(|labels| labels::is_of(labels, member)) { Ok(known) } else { Err(gone()) }
        }
        Err(outcome) if outcome.is_not_found() => Err(gone()),
        Err(outcome) => Err(denied(member, outcome)),
    }
}

/// Reads lines, as fast as they are taken.
pub(super) async fn lines(
    runtime: &DockerRuntime,
    member: &Member,
    wanted: Lines,
) -> Result<BoxStream<Result<Line, Denied>>, Denied> {
    let known = inspect(runtime, member).await?;
    let driver = known.host_config.and_then(|host| host.log_config).and_then(|config| config.typ);
    let driver = driver.unwrap_or_default();
    if !READABLE.contains(&driver.as_str()) {
        return Err(Denied::because(format!(
            "container {} logs to {driver}, from which nothing can be read here",
            member.container
        )));
    }
    let id = known.id.unwrap_or_default();
    let lines = frames::read(&runtime.docker, &id, wanted.since_nanos, wanted.follow, wanted.tail);
    Ok(Box::pin(lines.filter_map(move |frame| {
        let line = match frame {
            Ok(Frame { at_nanos, stderr, text }) => {
                (at_nanos >= wanted.since_nanos).then_some(Ok(Line { at_nanos, stderr, text }))
            }
            Err(error) => Some(Err(Denied::because(format!("Docker's log broke off: {error}")))),
        };
        std::future::ready(line)
    })))
}
