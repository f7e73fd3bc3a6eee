//! In which order a task's containers come up and go down (ECS API: ContainerDefinition.dependsOn, links, volumesFrom,
//! startTimeout). Conditions hold for coming up only; going down, a container waits for those that need it.

use std::time::Duration;

use serde::Deserialize;
use trireme_rpc::agent::{AssignedTask, Container};

use super::{Member, Phase};
use crate::runtime::Health;
use crate::setting;

/// What must be so of one container before another is started (ECS API: ContainerCondition).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Condition {
    /// It is made. ECS has no word for it: volumesFrom asks for it.
    #[serde(skip)]
    Create,
    /// It was started.
    Start,
    /// It ended.
    Complete,
    /// It ended with exit code 0.
    Success,
    /// Its health check passed.
    Healthy,
}

impl Condition {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Success => "SUCCESS",
            Self::Healthy => "HEALTHY",
        }
    }

    fn is_met(self, by: &Member) -> bool {
        match self {
            Self::Create => by.phase >= Phase::Created,
            Self::Start => by.phase >= Phase::Running,
            Self::Complete => by.phase == Phase::Exited,
            Self::Success => by.phase == Phase::Exited && by.exit.code == Some(0),
            Self::Healthy => by.phase == Phase::Running && by.health.0 == Health::Healthy,
        }
    }

    /// Whether it is not met and never will be.
    fn is_lost(self, by: &Member) -> bool {
        by.phase == Phase::Exited && !self.is_met(by)
    }

    /// Whether it may take its time after the start.
    fn takes_time(self) -> bool {
        matches!(self, Self::Complete | Self::Success | Self::Healthy)
    }
}

#[derive(Debug, Clone, Copy)]
struct Need {
    on: usize,
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    container_name: String,
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumesFrom {
    source_container: String,
}

/// Who needs whom, by index.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependencies {
    needs: Vec<Vec<Need>>,
    start_timeouts: Vec<Option<Duration>>,
    /// A container of which this cannot be read, and why: it is not to start in the wrong order.
    unreadable: Option<(usize, String)>,
}

impl Dependencies {
    pub(super) fn of(task: &AssignedTask) -> Self {
        let index = |name: &str| task.containers.iter().position(|container| container.name == name);
        let mut dependencies = Self::default();
        for (at, container) in task.containers.iter().enumerate() {
            let needs = |all: Vec<(String, Condition)>| {
                let need = |(name, condition): (String, Condition)| {
                    let on = index(&name).ok_or_else(|| format!("there is no container {name}"))?;
                    Ok(Need { on, condition })
                };
                all.into_iter().map(need).collect::<Result<Vec<Need>, String>>()
            };
            let mut unreadable = |error| {
                let reason = format!("TaskDependencyError: container {}: {error}", container.name);
                dependencies.unreadable.get_or_insert((at, reason));
            };
            let needs = conditions(container).and_then(needs);
            let timeout = setting::read::<Option<u64>>(&container.settings, "startTimeout");
            dependencies.needs.push(needs.map_err(&mut unreadable).unwrap_or_default());
            let timeout = timeout.map_err(&mut unreadable).unwrap_or_default();
            dependencies.start_timeouts.push(timeout.map(Duration::from_secs));
        }
        dependencies
    }

    fn needs(&self, index: usize) -> &[Need] {
        self.needs.get(index).map_or(&[], Vec::as_slice)
    }

    /// Docker wants what a container refers to to be there.
    pub(super) fn may_be_made(&self, index: usize, members: &[Member]) -> bool {
        self.needs(index).iter().all(|need| Condition::Create.is_met(&members[need.on]))
    }

    pub(super) fn may_be_started(&self, index: usize, members: &[Member]) -> bool {
        self.needs(index).iter().all(|need| need.condition.is_met(&members[need.on]))
    }

    /// What needs it ends first.
    pub(super) fn may_be_stopped(&self, index: usize, members: &[Member]) -> bool {
        let mut others = members.iter().enumerate();
        !others
            .any(|(other, member)| member.living() && self.needs(other).iter().any(|need| need.on == index))
    }

    /// How long a container that was started may take until it is what others need; `None`: as long as it likes.
    pub(super) fn patience(&self, index: usize) -> Option<Duration> {
        let needed = self.needs.iter().flatten().any(|need| need.on == index && need.condition.takes_time());
        self.start_timeouts.get(index).copied().flatten().filter(|_| needed)
    }

    /// A container that waits for what will never be, and what that is.
    pub(super) fn lost(&self, task: &AssignedTask, members: &[Member]) -> Option<(usize, String)> {
        if let Some((index, reason)) = &self.unreadable {
            return Some((*index, reason.clone()));
        }
        self.waiting(members, |need, by| need.condition.is_lost(by)).map(|(index, need)| {
            let code = members[need.on].exit.code;
            let how = code.map_or_else(|| "ended".to_owned(), |code| format!("exited with {code}"));
            (index, reason(task, index, need, &how))
        })
    }

    /// A container that waits for one that had time enough.
    pub(super) fn late(&self, task: &AssignedTask, on: usize, members: &[Member]) -> Option<(usize, String)> {
        let patience = self.patience(on)?;
        let late = |need: &Need, by: &Member| need.on == on && !need.condition.is_met(by);
        let (index, need) = self.waiting(members, late)?;
        let how = format!("had {} s for it", patience.as_secs());
        Some((index, reason(task, index, need, &how)))
    }

    /// The first container that waits, and for what.
    fn waiting(&self, members: &[Member], is: impl Fn(&Need, &Member) -> bool) -> Option<(usize, Need)> {
        let found = |(index, need): (usize, &Need)| {
            let waits = members[index].phase < Phase::Running && members[index].busy.is_none();
            (waits && is(need, &members[need.on])).then_some((index, *need))
        };
        self.all().find_map(found)
    }

    /// Whether a container that is made waits for another.
    pub(super) fn hold_back(&self, members: &[Member]) -> bool {
        let waits = |(index, member): (usize, &Member)| {
            member.idle_in(Phase::Created) && !self.may_be_started(index, members)
        };
        members.iter().enumerate().any(waits)
    }

    fn all(&self) -> impl Iterator<Item = (usize, &Need)> {
        let each = self.needs.iter().enumerate();
        each.flat_map(|(index, needs)| needs.iter().map(move |need| (index, need)))
    }
}

fn reason(task: &AssignedTask, index: usize, need: Need, how: &str) -> String {
    let name = |index: usize| task.containers.get(index).map_or("", |container| container.name.as_str());
    format!(
        "TaskDependencyError: container {} needs {} to be {}, which {how}",
        name(index),
        name(need.on),
        need.condition.as_str()
    )
}

/// What a container needs of others. ECS lets links wait for the start, and volumesFrom for the container to be there.
fn conditions(container: &Container) -> Result<Vec<(String, Condition)>, String> {
    let depends: Vec<Dependency> = setting::read(&container.settings, "dependsOn")?;
    let links: Vec<String> = setting::read(&container.settings, "links")?;
    let volumes: Vec<VolumesFrom> = setting::read(&container.settings, "volumesFrom")?;
    let linked = links.iter().map(|link| link.split(':').next().unwrap_or(link).to_owned());
    let all = depends
        .into_iter()
        .map(|one| (one.container_name, one.condition))
        .chain(linked.map(|name| (name, Condition::Start)))
        .chain(volumes.into_iter().map(|one| (one.source_container, Condition::Create)));
    Ok(all.collect())
}
