//! What Docker says of containers, in our words.

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, PortMap, PortSummaryTypeEnum,
};
use trireme_rpc::agent::NetworkBinding;

use super::{health, labels, restart};
use crate::runtime::{Exit, Found, FoundState, Run, Started};

/// ECS's words for a container that took more memory than it may have.
pub(super) const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// Docker's time for "never".
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";

/// A listed container, its state still open.
pub(super) fn container(summary: &ContainerSummary) -> Option<Found> {
    let label = |name| summary.labels.as_ref().and_then(|labels| labels.get(name));
    Some(Found {
        id: summary.id.clone()?,
        task: label(labels::TASK_ID).and_then(|id| id.parse().ok()),
        name: label(labels::CONTAINER_NAME).cloned().unwrap_or_default(),
        // The list knows the image's id only; the digest was reported when it was pulled.
        digest: String::new(),
        state: FoundState::Created,
        run: Run::default(),
    })
}

/// A listed container's state; `None` when only an inspection tells.
pub(super) fn state(summary: &ContainerSummary) -> Option<FoundState> {
    match summary.state? {
        ContainerSummaryStateEnum::CREATED => Some(FoundState::Created),
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED => {
            let ports = summary.ports.iter().flatten().filter_map(|port| {
                Some(NetworkBinding {
                    bind_ip: port.ip.clone()?,
                    container_port: port.private_port.into(),
                    host_port: port.public_port?.into(),
                    udp: port.typ == Some(PortSummaryTypeEnum::UDP),
                })
            });
            Some(FoundState::Running(Started {
                bindings: first_family(ports.collect()),
                health: health::listed(summary.status.as_deref().unwrap_or_default()),
            }))
        }
        _ => None,
    }
}

/// A listed container with the state that an inspection told.
pub(super) fn inspected(found: Found, known: &ContainerInspectResponse) -> Found {
    let Some(docker) = &known.state else { return found };
    let state = match docker.status {
        Some(ContainerStateStatusEnum::CREATED) => FoundState::Created,
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED) => {
            FoundState::Running(started(known))
        }
        _ => FoundState::Exited(exit(docker)),
    };
    let run = restart::run(&found.id, docker);
    Found { state, run, ..found }
}

/// Whether a container was ever started.
pub(super) fn was_started(known: &ContainerInspectResponse) -> bool {
    let started_at = known.state.as_ref().and_then(|state| state.started_at.as_deref());
    started_at.is_some_and(|at| !at.is_empty() && at != NEVER)
}

/// How a container ended; no exit code if it never started.
pub(super) fn exit(state: &ContainerState) -> Exit {
    let ran = state.started_at.as_deref().is_some_and(|at| !at.is_empty() && at != NEVER);
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).filter(|_| ran);
    let out_of_memory = state.oom_killed == Some(true);
    Exit { code, reason: out_of_memory.then(|| OUT_OF_MEMORY.to_owned()) }
}

/// A started container's published ports.
pub(super) fn started(known: &ContainerInspectResponse) -> Started {
    let ports = known.network_settings.as_ref().and_then(|network| network.ports.as_ref());
    Started {
        bindings: ports.map(bindings).unwrap_or_default(),
        health: known.state.as_ref().map(health::inspected).unwrap_or_default(),
    }
}

fn bindings(ports: &PortMap) -> Vec<NetworkBinding> {
    let mut all = Vec::new();
    for (port, bound) in ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let Ok(container_port) = number.parse() else { continue };
        for binding in bound.iter().flatten() {
            let Some(host_port) = binding.host_port.as_ref().and_then(|port| port.parse().ok()) else {
                continue;
            };
            let bind_ip = binding.host_ip.clone().unwrap_or_default();
            all.push(NetworkBinding { bind_ip, container_port, host_port, udp: protocol == "udp" });
        }
    }
    first_family(all)
}

/// Docker lists a port once for each address family; ECS's clients expect it once. The order is by container port.
fn first_family(mut bindings: Vec<NetworkBinding>) -> Vec<NetworkBinding> {
    bindings.sort_by_key(|one| (one.container_port, one.udp, one.bind_ip.contains(':')));
    bindings.dedup_by_key(|one| (one.container_port, one.udp));
    bindings
}
