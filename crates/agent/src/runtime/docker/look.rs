//! One container as Docker describes it, for those who ask about it.

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, HealthcheckResult, MountPoint};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;

use super::call::{Outcome, call, failed};
use super::found::NEVER;
use super::{QUICK, STATS};
use crate::runtime::{Attached, Checked, Failure, FailureKind, Inspection, Mounted};

/// What an inspection says.
pub(super) fn inspection(known: ContainerInspectResponse) -> Inspection {
    let state = known.state.unwrap_or_default();
    let at = |time: Option<String>| time.filter(|time| !time.is_empty() && time != NEVER);
    let log = known.host_config.and_then(|config| config.log_config).unwrap_or_default();
    let networks = known.network_settings.and_then(|network| network.networks).unwrap_or_default();
    let attached = networks.into_iter().map(|(name, endpoint)| Attached {
        name,
        address: endpoint.ip_address.and_then(|address| address.parse().ok()),
    });
    let checks = state.health.and_then(|health| health.log).unwrap_or_default();
    Inspection {
        engine_name: known.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image_id: known.image.unwrap_or_default(),
        labels: known.config.and_then(|config| config.labels).unwrap_or_default(),
        created_at: at(known.created),
        started_at: at(state.started_at),
        finished_at: at(state.finished_at),
        log_driver: log.typ.unwrap_or_default(),
        log_options: log.config.unwrap_or_default(),
        networks: attached.collect(),
        mounts: known.mounts.unwrap_or_default().into_iter().map(mounted).collect(),
        check: checks.into_iter().next_back().map(checked),
    }
}

fn mounted(mount: MountPoint) -> Mounted {
    Mounted {
        name: mount.name.filter(|name| !name.is_empty()),
        source: mount.source.unwrap_or_default(),
        destination: mount.destination.unwrap_or_default(),
    }
}

fn checked(result: HealthcheckResult) -> Checked {
    Checked {
        at: result.end.unwrap_or_default(),
        output: result.output.unwrap_or_default(),
        exit_code: result.exit_code.unwrap_or_default(),
    }
}

/// Docker's statistics of a container, with those of a moment before: that takes Docker a second or two.
pub(super) async fn stats(docker: &Docker, id: &str) -> Result<serde_json::Value, Failure> {
    let options = StatsOptionsBuilder::default().stream(false).one_shot(false).build();
    let first = async {
        let mut answers = Box::pin(docker.stats(id, Some(options)));
        answers.next().await.transpose()
    };
    let cannot = |outcome| failed(FailureKind::CannotInspect, outcome);
    let answer = call("stats", STATS, first).await.map_err(cannot)?;
    let missing = || cannot(Outcome::Broken { message: "Docker sent no statistics".to_owned() });
    let answer = answer.ok_or_else(missing)?;
    let unreadable = |error: serde_json::Error| Failure::new(FailureKind::CannotInspect, error.to_string());
    serde_json::to_value(answer).map_err(unreadable)
}

/// What Docker says of a container now.
pub(super) async fn look(docker: &Docker, id: &str) -> Result<Inspection, Failure> {
    let known = call("inspect", QUICK, docker.inspect_container(id, None)).await;
    known.map(inspection).map_err(|outcome| failed(FailureKind::CannotInspect, outcome))
}
