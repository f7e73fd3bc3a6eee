//! Standalone tasks: RunTask places them within the call, StartTask puts them where the caller says. Both answer what found no
//! place in `failures[]`, beside what did.

use trireme_ecs_model::shapes::{
    Failure, LaunchType, NetworkConfiguration, PlacementConstraint, PlacementStrategy, PropagateTags,
    RunTaskRequest, RunTaskResponse, StartTaskRequest, StartTaskResponse, Tag, TaskOverride,
};
use trireme_scheduler::{Nodes, Places, TaskRun, launch, place_launched};
use trireme_state::command::RunTasks;
use trireme_state::object::{ClusterKey, Launching, Tags, TaskDefinition, TaskDefinitionStatus};
use trireme_state::store::ProposeError;
use trireme_state::{Outcome, Placement, Rejection, State};
use trireme_types::{TaskId, Timestamp};

use crate::context::Context;
use crate::convert::{self, network, overrides, placement, tags};
use crate::error::{Error, Result, of_propose, of_rejection};
use crate::{length, resolve, unsupported};

use super::{capacity, launching};

/// ECS API: tasks in one call.
const TASKS: i32 = 10;
/// ECS API: RunTask.clientToken.
const TOKEN_LIMIT: usize = 64;
/// ECS API: startedBy.
const STARTED_BY_LIMIT: usize = 128;
/// How often a placement that met a newer state is made anew.
const STALE_RETRIES: usize = 3;

/// What RunTask and StartTask have in common.
struct Asked {
    cluster: Option<String>,
    definition: String,
    overrides: TaskOverride,
    group: Option<String>,
    started_by: Option<String>,
    tags: Vec<Tag>,
    propagate: Option<PropagateTags>,
    managed_tags: bool,
    commands: bool,
    network: Option<NetworkConfiguration>,
    constraints: Vec<PlacementConstraint>,
    strategy: Vec<PlacementStrategy>,
    launching: launching::Given,
}

/// What a call comes to, but for the places.
struct Prepared<'a> {
    tasks: TaskRun<'a>,
    launching: Launching,
}

/// Where tasks go, and why others find no place.
type Placed = (Places, Vec<Failure>);

/// Tasks that were started, and why others were not.
struct Started {
    state: std::sync::Arc<State>,
    tasks: Vec<TaskId>,
    failures: Vec<Failure>,
}

pub(crate) async fn run(cx: Context, request: RunTaskRequest) -> Result<RunTaskResponse> {
    unsupported::run_task(&request)?;
    let count = request.count.unwrap_or(1);
    if !(1..=TASKS).contains(&count) {
        return Err(Error::invalid(format!("count must be between 1 and {TASKS}.")));
    }
    length::characters("clientToken", cx.client_token.as_deref(), TOKEN_LIMIT)?;
    let count = usize::try_from(count).unwrap_or(1);
    let wanted = Asked {
        cluster: request.cluster,
        definition: request.task_definition.unwrap_or_default(),
        overrides: request.overrides.unwrap_or_default(),
        group: request.group,
        started_by: request.started_by,
        tags: request.tags.unwrap_or_default(),
        propagate: request.propagate_tags,
        managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        commands: request.enable_execute_command.unwrap_or(false),
        network: request.network_configuration,
        constraints: placement::constraints(&request.placement_constraints.unwrap_or_default())?,
        strategy: placement::strategy(&request.placement_strategy.unwrap_or_default())?,
        launching: launching::Given {
            launch_type: request.launch_type,
            strategy: request.capacity_provider_strategy,
            platform_version: request.platform_version,
        },
    };
    let started = start_anywhere(&cx, &wanted, count).await?;
    let tasks = describe(&started);
    Ok(RunTaskResponse { tasks: Some(tasks), failures: Some(started.failures) })
}

async fn start_anywhere(cx: &Context, wanted: &Asked, count: usize) -> Result<Started> {
    let now = cx.api.clock.now();
    let place = |state: &State, prepared: &Prepared<'_>| {
        let (cluster, launching) = (&prepared.tasks.run.cluster, &prepared.launching);
        let request = prepared.tasks.request(state, now, count);
        let instances = state.index().instances_of_cluster(cluster);
        if *launching == Launching::Instances && !instances.iter().any(|id| capacity::is_active(state, *id)) {
            return Err(Error::invalid("No Container Instances were found in your cluster."));
        }
        let mut nodes = Nodes::of_cluster(state, &launching.machines(cluster));
        let places = place_launched(state, &mut nodes, (cluster, launching), &request);
        let failures = capacity::failures(state, cluster, &places)?;
        Ok((places, failures))
    };
    start_with(cx, wanted, count, place).await
}

pub(crate) async fn start(cx: Context, request: StartTaskRequest) -> Result<StartTaskResponse> {
    unsupported::start_task(&request)?;
    let instances = request.container_instances.unwrap_or_default();
    length::not_empty("Container instances", &instances)?;
    length::items("containerInstances", &instances, usize::try_from(TASKS).unwrap_or(1))?;
    let wanted = Asked {
        cluster: request.cluster,
        definition: request.task_definition.unwrap_or_default(),
        overrides: request.overrides.unwrap_or_default(),
        group: request.group,
        started_by: request.started_by,
        tags: request.tags.unwrap_or_default(),
        propagate: request.propagate_tags,
        managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        commands: request.enable_execute_command.unwrap_or(false),
        network: request.network_configuration,
        constraints: Vec::new(),
        strategy: Vec::new(),
        launching: launching::Given { launch_type: Some(LaunchType::Ec2), ..Default::default() },
    };
    let now = cx.api.clock.now();
    let place = |state: &State, prepared: &Prepared<'_>| place_on_named(state, prepared, &instances, now);
    let started = start_with(&cx, &wanted, instances.len(), place).await?;
    let tasks = describe(&started);
    Ok(StartTaskResponse { tasks: Some(tasks), failures: Some(started.failures) })
}

fn place_on_named(
    state: &State,
    prepared: &Prepared<'_>,
    named: &[String],
    now: Timestamp,
) -> Result<Placed> {
    let run = &prepared.tasks.run;
    let mut asked = prepared.tasks.wanted(state, now);
    let (mut placements, mut failures): (Vec<Placement>, Vec<Failure>) = (Vec::new(), Vec::new());
    for text in named {
        let Some(instance) = resolve::instance(state, &run.cluster, text)? else {
            let kind = format!("container-instance/{}", run.cluster.name);
            failures.push(convert::missing(convert::arn_of(&run.cluster.scope, &kind, text)));
            continue;
        };
        if placements.iter().any(|placement| placement.instance == instance.id) {
            return Err(Error::invalid(format!("containerInstances names {text} twice.")));
        }
        match trireme_scheduler::check(state, instance.id, &asked) {
            Some(Ok(placement)) => {
                if let Some(left) = &mut asked.addresses {
                    left.take(&instance.registration.zone);
                }
                placements.push(placement);
            }
            Some(Err(refusal)) => failures.push(Failure {
                arn: Some(convert::container_instance::arn(&run.cluster, instance.id)),
                reason: Some(refusal.ecs_reason().to_owned()),
                detail: Some(refusal.to_string()),
            }),
            None => {}
        }
    }
    Ok((Places { placements, ..Places::default() }, failures))
}

/// Places, proposes, and places anew when the state moved on in between.
async fn start_with(
    cx: &Context,
    wanted: &Asked,
    count: usize,
    place: impl Fn(&State, &Prepared<'_>) -> Result<Placed>,
) -> Result<Started> {
    let mut retries = STALE_RETRIES;
    loop {
        let state = cx.read().await?;
        if let Some(tasks) = started_before(cx, &state)? {
            let failures = not_started(cx, wanted, count, &tasks)?;
            return Ok(Started { state, tasks, failures });
        }
        let prepared = prepare(cx, wanted, &state)?;
        let (places, failures) = place(&state, &prepared)?;
        if places.placements.is_empty() && places.waiting.is_empty() {
            return Ok(Started { tasks: Vec::new(), failures, state });
        }
        let command = prepared.tasks.at(&state, places);
        match cx.propose("", command).await {
            Ok((Outcome::Tasks(tasks), state)) => return Ok(Started { state, tasks, failures }),
            Ok(_) => return Err(Error::server("The tasks have no ids.")),
            Err(ProposeError::Rejected(Rejection::Stale { .. })) if retries > 0 => retries -= 1,
            Err(error) => return Err(of_propose(cx.operation, error)),
        }
    }
}

/// What an earlier call with the same token started: a repeat must not be placed anew, for its place may be taken by its first.
fn started_before(cx: &Context, state: &State) -> Result<Option<Vec<TaskId>>> {
    let key = cx.idempotency_key("");
    let Some(recorded) = state.recorded_request(&key) else { return Ok(None) };
    let Outcome::Tasks(tasks) = &recorded.outcome else { return Ok(None) };
    if recorded.parameters == key.parameters {
        return Ok(Some(tasks.clone()));
    }
    let waiting = |id: &TaskId| state.waiting_run(*id).map(|run| &run.cluster);
    let cluster = |id: &TaskId| state.task(*id).map(|task| &task.cluster).or_else(|| waiting(id));
    let arns = tasks.iter().filter_map(|id| Some(convert::task::arn(cluster(id)?, *id)));
    let resources = arns.collect();
    Err(of_rejection(cx.operation, Rejection::IdempotencyConflict { resources }))
}

/// What a repeat says of tasks that its first call found no place for. Why, only the first call knew.
fn not_started(cx: &Context, wanted: &Asked, count: usize, tasks: &[TaskId]) -> Result<Vec<Failure>> {
    if tasks.len() >= count {
        return Ok(Vec::new());
    }
    Ok(vec![Failure {
        arn: Some(convert::cluster::arn(&cx.cluster(wanted.cluster.as_deref())?)),
        reason: Some("RESOURCE".to_owned()),
        detail: Some(format!(
            "The first call with this token found places for {} of {count} tasks.",
            tasks.len()
        )),
    }])
}

/// Everything but the places.
fn prepare<'a>(cx: &Context, wanted: &Asked, state: &'a State) -> Result<Prepared<'a>> {
    let cluster = cx.active_cluster(state, wanted.cluster.as_deref())?;
    let definition = resolve::definition(state, cx.scope(), &wanted.definition)?;
    if definition.status != TaskDefinitionStatus::Active {
        return Err(of_rejection(cx.operation, Rejection::TaskDefinitionInactive));
    }
    length::characters("startedBy", wanted.started_by.as_deref(), STARTED_BY_LIMIT)?;
    let group = wanted.group.clone().filter(|group| !group.is_empty());
    if group.as_ref().is_some_and(|group| group.starts_with("service:")) {
        return Err(Error::invalid("Invalid namespace for group: service."));
    }
    let launching = launching::resolve(cx.operation, state, &cluster, &wanted.launching)?;
    let overrides = overrides::parse(cx.operation, &wanted.overrides, definition)?;
    let rules = (wanted.constraints.len(), wanted.strategy.len());
    launch::check_tasks(&launching, (&definition.spec, &overrides), rules)?;
    let mode = definition.spec.network_mode;
    let network = network::parse(state, cx.scope(), wanted.network.as_ref(), mode, &launching)?;
    let run = RunTasks {
        definition: definition.key.clone(),
        overrides,
        group,
        started_by: wanted.started_by.clone().filter(|by| !by.is_empty()),
        tags: task_tags(wanted, &cluster, definition)?,
        cluster,
        placements: Vec::new(),
    };
    placement::together(wanted.constraints.len(), definition)?;
    let rules = placement::rules(&wanted.constraints, &wanted.strategy);
    let tasks = TaskRun { run, definition, network, rules, commands: wanted.commands };
    Ok(Prepared { tasks, launching })
}

/// The task definition's tags if they are to be propagated, the request's over them, and ECS's own.
fn task_tags(wanted: &Asked, cluster: &ClusterKey, definition: &TaskDefinition) -> Result<Tags> {
    let mut all = match wanted.propagate {
        Some(PropagateTags::TaskDefinition) => definition.tags.clone(),
        Some(PropagateTags::Service) => {
            return Err(Error::invalid("propagateTags SERVICE is for tasks of services only."));
        }
        _ => Tags::new(),
    };
    all.extend(tags::parse(Some(&wanted.tags))?);
    if wanted.managed_tags {
        all.insert("aws:ecs:clusterName".to_owned(), cluster.name.to_string());
    }
    Ok(all)
}

fn describe(started: &Started) -> Vec<trireme_ecs_model::shapes::Task> {
    let state = &*started.state;
    started.tasks.iter().filter_map(|id| convert::waiting_run::describe_any(state, *id, true)).collect()
}
