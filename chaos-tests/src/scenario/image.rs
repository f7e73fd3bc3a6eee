//! Faults of the registry that images come from.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    ContainerDefinition, DeploymentRolloutState, DesiredStatus, NetworkMode, ServiceDeploymentStatus,
    StopServiceDeploymentStopType, Task, TaskStopCode,
};
use rand::Rng;
use trireme_testkit::registry::{Mode, Registry, Way};
use trireme_testkit::{hold, try_wait};

use super::agent::count;
use super::{Installed, Stage, Step};
use crate::containers::{self, Container};
use crate::ecs;
use crate::history::Event;
use crate::invariant::service_bounds::{RUNNING, service_of, status_of, text};
use crate::lab::Host;
use crate::lab::engine::{IMAGE, docker};
use crate::lab::host::ZONES;
use crate::lab::net;

/// The service whose image comes from the registry.
const NAME: &str = "pulled";
/// How many tasks it has. By ECS's defaults all of them run all the time, and there may be as many again.
const TASKS: u8 = 3;
/// The tags of its image.
const TAGS: [&str; 2] = ["1", "2"];
/// What a container of it serves.
const PAGE: &str = "http://127.0.0.1:8080/";
/// Bytes in an image that cannot be compressed.
const NOISE: usize = 1 << 20;

/// For the service to become steady.
const STEADY: Duration = Duration::from_secs(120);
/// Seconds that it may take: a new task counts as healthy after 40 s, and so long the old ones stay; the rest is I7's.
const CHANGED: f64 = 40.0 + 30.0;
/// Seconds for which a fault is looked at, at least.
const WATCHED: f64 = 15.0;
/// For a task to say what is wrong: five tries of a pull, each given up after three seconds, and the pauses between them.
const TOLD: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// Tasks that a deployment may start while it is looked at, in rounds of three at most: at once, at once again, and 1, 2, 4, 8 s later.
/// Two more rounds are for a slow machine.
const MOST_TRIED: f64 = 24.0;
/// Answers of the registry that were spoilt meanwhile: three agents, three rounds, five tries in each, two blobs in a try.
const MOST_ASKED: f64 = 90.0;

/// What the registry does.
struct Fault {
    mode: Mode,
    label: &'static str,
    /// What a task says of it.
    says: &'static str,
}

const FAULTS: [Fault; 3] = [
    Fault { mode: Mode::Missing, label: "404 for each manifest", says: "manifest unknown" },
    Fault { mode: Mode::Stall, label: "a stall in each layer", says: "no progress within" },
    Fault { mode: Mode::Corrupt, label: "a byte of each blob changed", says: "verification failed" },
];

/// What there is while it is played.
struct Scene {
    way: Way,
    _registry: Registry,
    /// The task definitions, by revision.
    definitions: [String; 2],
}

/// 34: a deployment whose image cannot be pulled, because the registry does not have it, stalls, or gives other bytes: the tasks of
/// the revision before serve all the while, those of the new one say why they do not, and it can be rolled back meanwhile. Once the
/// registry is well, the same deployment succeeds.
pub fn unpullable(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        // Docker wants no TLS of a registry on an address of 127/8.
        let address: IpAddr = Host::Client.address().parse()?;
        let at = |port: u16| SocketAddr::new(address, port);
        let command = net::on(Host::Client, "docker-registry");
        let registry = Registry::start(command, &stage.lab.folder().join("registry"), at(5000)).await;
        let registry = match registry {
            Ok(registry) => registry,
            Err(error) => return Ok(Installed::No(format!("no registry: {error:#}"))),
        };
        let way = Way::start(at(5001), &registry).await?;
        push(stage, &way)?;
        let definitions = [register(stage, &way, 0).await?, register(stage, &way, 1).await?];
        let scene = Scene { way, _registry: registry, definitions };
        // All of its tasks are to be seen.
        let before = stage.history.count();
        let create = stage.client.create_service().service_name(NAME).desired_count(i32::from(TASKS));
        create.task_definition(&scene.definitions[0]).send().await?;
        let played = play(stage, &scene, before).await;
        stage.client.delete_service().service(NAME).force(true).send().await?;
        played
    })
}

async fn play(stage: &mut Stage, scene: &Scene, before: usize) -> Result<Installed> {
    wait_steady(stage, scene, 0).await?;
    for fault in stage.shuffled(FAULTS.into()) {
        if !refused(stage, scene, &fault).await? {
            return Ok(Installed::No(format!("nobody ran into {}", fault.label)));
        }
    }
    let began = Instant::now();
    deploy(stage, scene, 1).await?;
    let done = wait_steady(stage, scene, 1).await;
    let text = done.as_ref().err().map_or("all tasks serve it".to_owned(), |error| format!("{error:#}"));
    stage.expect("deploys", done.is_ok(), format!("revision 2 once the registry is well: {text}"));
    stage.figure("revision 2 serves", began.elapsed().as_secs_f64(), "s", Some(CHANGED));
    let service = ecs::service(&stage.client, NAME).await?;
    let messages = service.events().iter().filter_map(|event| event.message());
    let told = messages.filter(|message| message.contains("is unable to consistently start tasks")).count();
    stage.expect("event", told > 0, format!("{told} events of the service say that its tasks do not start"));
    let fewest = fewest(&stage.history.since(before));
    stage.expect(
        "I7",
        fewest.is_some_and(|fewest| fewest >= usize::from(TASKS)),
        format!("of {TASKS} tasks that are to run all the time, {fewest:?} RUNNING at the least"),
    );
    Ok(Installed::Yes)
}

/// Makes the images of both revisions and pushes them, by the engine of one zone. Nothing of them stays there.
fn push(stage: &mut Stage, way: &Way) -> Result<()> {
    let zone = stage.shuffled(ZONES.to_vec())[0];
    let engine = stage.lab.engine_folder(zone);
    let context = stage.lab.folder().join("image");
    std::fs::create_dir_all(&context)?;
    for tag in TAGS {
        let mut noise = vec![0_u8; NOISE];
        stage.rng.fill(noise.as_mut_slice());
        std::fs::write(context.join("noise"), noise)?;
        std::fs::write(context.join("index.html"), page_of(tag))?;
        std::fs::write(context.join("Dockerfile"), format!("FROM {IMAGE}\nCOPY noise index.html /www/\n"))?;
        let (name, context) = (way.name(&format!("app:{tag}")), context.display().to_string());
        docker(&engine, &["build", "--quiet", "--force-rm", "--tag", &name, &context])?;
        docker(&engine, &["push", &name])?;
        docker(&engine, &["rmi", &name])?;
    }
    Ok(())
}

/// What a revision serves.
fn page_of(tag: &str) -> String {
    format!("revision {tag}\n")
}

async fn register(stage: &Stage, way: &Way, revision: usize) -> Result<String> {
    let image = way.name(&format!("app:{}", TAGS[revision]));
    let container = ContainerDefinition::builder().name("app").image(image).memory(32).cpu(32).build();
    let register = stage.client.register_task_definition().family(NAME).network_mode(NetworkMode::Bridge);
    let registered = register.container_definitions(container).send().await?;
    let definition = registered.task_definition().and_then(|one| one.task_definition_arn());
    definition.map(str::to_owned).context("a definition without an ARN")
}

async fn deploy(stage: &Stage, scene: &Scene, revision: usize) -> Result<()> {
    let update = stage.client.update_service().service(NAME);
    update.task_definition(&scene.definitions[revision]).send().await?;
    Ok(())
}

/// Waits until all tasks are of that revision, and serve it. Gives their containers.
async fn wait_steady(stage: &Stage, scene: &Scene, revision: usize) -> Result<Vec<Container>> {
    let what = format!("revision {} to serve", TAGS[revision]);
    let steady = try_wait(&what, STEADY, || async {
        ecs::stable(&stage.client, NAME).await?;
        let service = ecs::service(&stage.client, NAME).await.map_err(|error| format!("{error:#}"))?;
        let deployment = service.deployments().first().ok_or("no deployment")?;
        if deployment.task_definition() != Some(scene.definitions[revision].as_str()) {
            return Err(format!("it runs {:?}", deployment.task_definition()));
        }
        if deployment.rollout_state() != Some(&DeploymentRolloutState::Completed) {
            return Err(format!("its deployment is {:?}", deployment.rollout_state()));
        }
        let found = own_containers(stage).await.map_err(|error| format!("{error:#}"))?;
        let serve = found.iter().filter(|container| serves(stage, container, revision)).count();
        if found.len() == usize::from(TASKS) && serve == found.len() {
            Ok(found)
        } else {
            Err(format!("{serve} of {} containers serve it", found.len()))
        }
    });
    steady.await.map_err(|text| anyhow!(text))
}

/// The running containers of the service's tasks that are RUNNING.
async fn own_containers(stage: &Stage) -> Result<Vec<Container>> {
    let arns = ecs::running_arns(&ecs::tasks(&stage.client, NAME).await?);
    let all = containers::running(&stage.lab.engine_folders())?;
    Ok(all.into_iter().filter(|container| arns.contains(&container.task)).collect())
}

/// Whether a container's web server answers with that revision's page.
fn serves(stage: &Stage, container: &Container, revision: usize) -> bool {
    let engine = stage.lab.engine_folder(container.zone);
    let ask = ["exec", &container.id, "wget", "-q", "-O", "-", PAGE];
    docker(&engine, &ask).is_ok_and(|page| page == page_of(TAGS[revision]))
}

/// A deployment of the second revision while its image cannot be had, and the way back. Gives whether anybody ran into the fault.
async fn refused(stage: &mut Stage, scene: &Scene, fault: &Fault) -> Result<bool> {
    let old = wait_steady(stage, scene, 0).await?;
    let (from, disturbed) = (stage.history.count(), scene.way.disturbed());
    let label = fault.label;
    stage.fault(format!("the registry: {label}"));
    scene.way.set(fault.mode);
    deploy(stage, scene, 1).await?;
    let looked = look(stage, scene, fault, &old, from).await?;
    let events = stage.history.since(from);
    let asked = scene.way.disturbed() - disturbed;
    stage.expect("reason", looked.reason.is_some(), format!("{label}: {}", looked.said()));
    stage.expect(
        "serves",
        looked.unserved == 0,
        format!("{label}: {} pages of revision 1 asked for, {} not given", looked.pages, looked.unserved),
    );
    let here = own_containers(stage).await?;
    let left = old.iter().filter(|container| here.contains(container)).count();
    stage.expect(
        "I8",
        left == old.len(),
        format!("{label}: {left} of {} old containers untouched", old.len()),
    );
    let back_offs = count(&events, "DeploymentBackedOff");
    stage.expect("back-off", back_offs > 0, format!("{label}: backed off {back_offs} times"));
    stage.figure(&format!("{label}: tasks tried"), tried(&events) as f64, "", Some(MOST_TRIED));
    stage.figure(&format!("{label}: answers spoilt"), asked as f64, "", Some(MOST_ASKED));
    roll_back(stage, scene, label).await?;
    scene.way.set(Mode::Pass);
    stage.over();
    Ok(asked > 0)
}

/// What was seen while the image could not be had.
#[derive(Default)]
struct Looked {
    /// Why a task of the new revision did not start, if one said what it should.
    reason: Option<String>,
    /// What they said, each with how often.
    reasons: BTreeMap<String, usize>,
    pages: usize,
    unserved: usize,
}

impl Looked {
    fn said(&self) -> String {
        match &self.reason {
            Some(reason) => reason.clone(),
            None => format!("no task said so, but {:?}", self.reasons),
        }
    }
}

/// Looks for a while, and until a task has said what is wrong and the deployment has backed off.
async fn look(stage: &Stage, scene: &Scene, fault: &Fault, old: &[Container], from: usize) -> Result<Looked> {
    let began = Instant::now();
    let mut looked = Looked::default();
    loop {
        let unserved = old.iter().filter(|container| !serves(stage, container, 0)).count();
        looked.pages += old.len();
        looked.unserved += unserved;
        looked.reasons = reasons(&stage.client, &scene.definitions[1]).await?;
        let prefix = "CannotPullContainerError: ";
        let right = |reason: &&String| reason.starts_with(prefix) && reason.contains(fault.says);
        looked.reason = looked.reasons.keys().find(right).cloned();
        let backed_off = count(&stage.history.since(from), "DeploymentBackedOff") > 0;
        let long_enough = began.elapsed() >= Duration::from_secs_f64(WATCHED * stage.pace);
        if (long_enough && backed_off && looked.reason.is_some()) || began.elapsed() > TOLD {
            return Ok(looked);
        }
        hold(PAUSE).await;
    }
}

/// Why tasks of a definition did not start, as their containers say it.
async fn reasons(client: &Client, definition: &str) -> Result<BTreeMap<String, usize>> {
    let stopped = ecs::tasks_to(client, NAME, DesiredStatus::Stopped).await?;
    let mut reasons = BTreeMap::new();
    let of_it = |task: &&Task| {
        task.task_definition_arn() == Some(definition)
            && task.stop_code() == Some(&TaskStopCode::TaskFailedToStart)
    };
    for container in stopped.iter().filter(of_it).flat_map(|task| task.containers()) {
        let reason = container.reason().unwrap_or("no reason").to_owned();
        *reasons.entry(reason).or_default() += 1;
    }
    Ok(reasons)
}

/// Takes the deployment back while the registry is as it is.
async fn roll_back(stage: &mut Stage, scene: &Scene, label: &str) -> Result<()> {
    let list = stage.client.list_service_deployments().service(NAME).send().await?;
    let newest = list.service_deployments().first().and_then(|one| one.service_deployment_arn());
    let newest = newest.context("the service has no deployment")?.to_owned();
    let asked = Instant::now();
    let stop = stage.client.stop_service_deployment().service_deployment_arn(&newest);
    stop.stop_type(StopServiceDeploymentStopType::Rollback).send().await?;
    let back = wait_steady(stage, scene, 0).await.map(drop);
    stage.figure(&format!("{label}: back at revision 1"), asked.elapsed().as_secs_f64(), "s", Some(CHANGED));
    let described =
        stage.client.describe_service_deployments().service_deployment_arns(&newest).send().await?;
    let status = described.service_deployments().first().and_then(|one| one.status().cloned());
    let done = status == Some(ServiceDeploymentStatus::RollbackSuccessful);
    let text = back.as_ref().err().map_or("revision 1 serves".to_owned(), |error| format!("{error:#}"));
    stage.expect("rollback", back.is_ok() && done, format!("{label}: {status:?}, {text}"));
    Ok(())
}

/// The service's tasks that were made.
fn tried(events: &[Event]) -> usize {
    let made = events.iter().filter(|event| event.kind == "TaskCreated");
    made.filter(|event| service_of(&event.body["task"]).as_deref() == Some(NAME)).count()
}

/// The fewest of the service's tasks that were RUNNING and to run at any time, once all were.
fn fewest(events: &[Event]) -> Option<usize> {
    // The tasks that are to run, and whether they are RUNNING.
    let mut tasks: BTreeMap<String, bool> = BTreeMap::new();
    let mut fewest = None;
    for event in events {
        let body = &event.body;
        match event.kind.as_str() {
            "TaskCreated" if service_of(&body["task"]).as_deref() == Some(NAME) => {
                tasks.insert(text(&body["task"]["id"]), false);
            }
            "TaskProgressed" => {
                let status = status_of(&body["report"]);
                tasks.entry(text(&body["report"]["task"])).and_modify(|runs| *runs = status == Some(RUNNING));
            }
            "TaskStopRequested" | "TaskLost" => drop(tasks.remove(&text(&body["task"]))),
            _ => {}
        }
        let running = tasks.values().filter(|runs| **runs).count();
        if fewest.is_some() || running >= usize::from(TASKS) {
            fewest = Some(fewest.unwrap_or(running).min(running));
        }
    }
    fewest
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(kind: &str, body: Value) -> Event {
        Event { sequence: 1, at: 0.0, kind: kind.to_owned(), body, heard: Instant::now() }
    }

    fn made(id: &str) -> Event {
        event("TaskCreated", json!({"task": {"id": id, "group": format!("service:{NAME}")}}))
    }

    fn progressed(id: &str, status: &str) -> Event {
        event("TaskProgressed", json!({"report": {"task": id, "status": status}}))
    }

    #[test]
    fn a_task_that_is_to_stop_or_has_left_running_counts_no_more() {
        let three = ["a", "b", "c"];
        let mut events: Vec<Event> = three.into_iter().map(made).collect();
        assert_eq!(fewest(&events), None);
        events.extend(three.map(|id| progressed(id, "Running")));
        events.extend([made("d"), progressed("d", "Stopped"), progressed("x", "Running")]);
        assert_eq!(fewest(&events), Some(3));
        let mut stopped = events.clone();
        stopped.push(event("TaskStopRequested", json!({"task": "a"})));
        stopped.push(progressed("a", "Running"));
        assert_eq!(fewest(&stopped), Some(2));
        events.push(progressed("b", "Deactivating"));
        assert_eq!(fewest(&events), Some(2));
    }
}
