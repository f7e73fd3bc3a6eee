//! 32, 39: much at once for simulated agents: thousands that reconnect, hundreds of tasks lost, a thousand that crash, and
//! definitions as large as they may be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair, NetworkMode};
use trireme_testkit::try_wait;

use super::agent::count;
use super::meter::{Meter, sessions};
use super::{Installed, Stage, Step};
use crate::lab::host::ZONES;
use crate::lab::members::FLEET;
use crate::load::pour::{Calls, pour, signed};

/// A simulated agent's size: room for what is asked here, and for a zone's share of another.
const CPU: u32 = 200_000;
const MEMORY: u32 = 200_000;
/// Agents of each zone where a few will do.
const FEW: u32 = 4;
const STABLE: Duration = Duration::from_secs(90);

async fn fleet(stage: &mut Stage, agents: u32) -> Result<()> {
    for zone in ZONES {
        stage.lab.start_fleet(zone, agents, CPU, MEMORY)?;
    }
    // Those of the zones' own agents are there too.
    await_sessions(ZONES.len() as u32 * (agents + 1), Duration::from_secs(120)).await.map(drop)
}

async fn await_sessions(wanted: u32, limit: Duration) -> Result<f64> {
    let began = Instant::now();
    let waited = try_wait("every agent to have a session", limit, || async {
        let there = sessions().map_err(|error| format!("{error:#}"))?;
        if there >= f64::from(wanted) { Ok(()) } else { Err(format!("{there} of {wanted}")) }
    });
    waited.await.map_err(|text| anyhow::anyhow!(text))?;
    Ok(began.elapsed().as_secs_f64())
}

fn end_fleet(stage: &mut Stage) {
    ZONES.into_iter().for_each(|zone| stage.lab.kill_fleet(zone));
}

fn container(name: &str, environment: Vec<KeyValuePair>) -> ContainerDefinition {
    let container = ContainerDefinition::builder().name(name).image("trireme/web:1").memory(16).cpu(16);
    container.set_environment(Some(environment)).build()
}

fn pair(name: impl Into<String>, value: impl Into<String>) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}

async fn register(client: &Client, family: &str, containers: Vec<ContainerDefinition>) -> Result<()> {
    let call = client.register_task_definition().family(family).network_mode(NetworkMode::None);
    call.set_container_definitions(Some(containers)).send().await?;
    Ok(())
}

async fn create(client: &Client, name: &str, tasks: i32) -> Result<()> {
    let call = client.create_service().cluster(FLEET).service_name(name).task_definition(name);
    call.desired_count(tasks).send().await?;
    Ok(())
}

async fn delete(client: &Client, name: &str) -> Result<()> {
    client.delete_service().cluster(FLEET).service(name).force(true).send().await?;
    Ok(())
}

/// Waits until a service has so many tasks RUNNING; gives how long it took.
async fn running(client: &Client, name: &str, tasks: i32, limit: Duration) -> Result<f64> {
    let began = Instant::now();
    let waited = try_wait("the tasks to be RUNNING", limit, || async {
        let described = client.describe_services().cluster(FLEET).services(name).send().await;
        let described = described.map_err(|error| error.to_string())?;
        let service = described.services().first().ok_or("it is not there")?;
        let (running, pending) = (service.running_count(), service.pending_count());
        if running == tasks && pending == 0 {
            Ok(())
        } else {
            Err(format!("{running} of {tasks}, {pending} pending"))
        }
    });
    waited.await.map_err(|text| anyhow::anyhow!(text))?;
    Ok(began.elapsed().as_secs_f64())
}

/// 5,000 agents: a third of them lose their control node, then all of them at once. None is taken for lost.
pub fn reconnect(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        // A cluster takes 5,000 container instances.
        let agents = (1_666.0 * stage.pace) as u32;
        let all = ZONES.len() as u32 * (agents + 1);
        let began = Instant::now();
        fleet(stage, agents).await?;
        stage.figure("agents", f64::from(all), "", None);
        stage.figure("all registered within", began.elapsed().as_secs_f64(), "s", None);
        let client = stage.client.clone();
        register(&client, "herd", vec![container("one", Vec::new())]).await?;
        create(&client, "herd", 300).await?;
        running(&client, "herd", 300, STABLE).await?;
        let from = stage.history.count();

        let follower = stage.follower().await?;
        stage.fault(format!("kill -9 of zone {follower}'s control node: a third of the agents go elsewhere"));
        stage.lab.kill_server(follower);
        stage.hold(0.2).await;
        stage.lab.start_server(follower)?;
        stage.lab.wait_answers(follower).await?;
        let took = await_sessions(all, Duration::from_secs(60)).await?;
        stage.figure("a third has sessions again within", took, "s", Some(30.0));
        stage.over();
        let meter = Meter::start(stage).await;
        meter.finish(stage, 0).await?;

        stage.fault("kill -9 of all control nodes: all agents reconnect at once");
        ZONES.into_iter().for_each(|zone| stage.lab.kill_server(zone));
        for zone in ZONES {
            stage.lab.start_server(zone)?;
        }
        stage.over();
        for zone in ZONES {
            stage.lab.wait_answers(zone).await?;
        }
        let took = await_sessions(all, Duration::from_secs(60)).await?;
        stage.figure("all have sessions again within", took, "s", Some(30.0));
        let meter = Meter::start(stage).await;
        stage.hold(6.0).await;
        meter.finish(stage, 0).await?;
        let events = stage.history.since(from);
        let (lost, tasks) = (count(&events, "InstanceLost"), count(&events, "TaskLost"));
        stage.expect(
            "I8",
            lost == 0 && tasks == 0,
            format!("{lost} agents and {tasks} tasks taken for lost in all"),
        );
        running(&client, "herd", 300, Duration::from_secs(5)).await?;
        delete(&client, "herd").await?;
        end_fleet(stage);
        Ok(Installed::Yes)
    })
}

/// 600 tasks, and a zone's 200 are lost at once.
pub fn mass_loss(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        fleet(stage, FEW).await?;
        let client = stage.client.clone();
        register(&client, "herd", vec![container("one", Vec::new())]).await?;
        create(&client, "herd", 600).await?;
        let took = running(&client, "herd", 600, STABLE).await?;
        stage.figure("600 tasks RUNNING after CreateService", took, "s", None);
        let (from, zone) = (stage.history.count(), stage.shuffled(ZONES.to_vec())[0]);
        let meter = Meter::start(stage).await;
        stage.fault(format!("kill -9 of zone {zone}'s simulated agents: their 200 tasks are lost at once"));
        let killed = Instant::now();
        stage.lab.kill_fleet(zone);
        let lost = try_wait("the agents to be lost", Duration::from_secs(20), || async {
            let lost = count(&stage.history.since(from), "InstanceLost");
            if lost >= FEW as usize { Ok(()) } else { Err(format!("{lost}")) }
        });
        lost.await.map_err(|text| anyhow::anyhow!(text))?;
        stage.figure("the last agent was seen as lost", killed.elapsed().as_secs_f64(), "s", None);
        running(&client, "herd", 600, STABLE).await?;
        stage.figure("all 600 RUNNING again", killed.elapsed().as_secs_f64(), "s", Some(30.0));
        let tasks = count(&stage.history.since(from), "TaskLost");
        stage.figure(
            "tasks lost, with replacements on machines not yet seen as lost",
            tasks as f64,
            "",
            None,
        );
        stage.expect("loss", tasks >= 200, format!("{tasks} tasks lost"));
        meter.finish(stage, FEW as usize).await?;
        stage.over();
        delete(&client, "herd").await?;
        end_fleet(stage);
        Ok(Installed::Yes)
    })
}

/// A service of 1,000 tasks that end as soon as they run: it backs off, and another service starts beside it as ever.
pub fn crash_loop(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        fleet(stage, FEW).await?;
        let client = stage.client.clone();
        let crash = vec![pair("FAKE_EXIT_AFTER_MS", "200"), pair("FAKE_EXIT_CODE", "7")];
        register(&client, "crash", vec![container("one", crash)]).await?;
        register(&client, "calm", vec![container("one", Vec::new())]).await?;
        let from = stage.history.count();
        let meter = Meter::start(stage).await;
        stage.fault("a service of 1,000 tasks that end at once");
        create(&client, "crash", 1_000).await?;
        stage.hold(10.0).await;
        create(&client, "calm", 60).await?;
        let took = running(&client, "calm", 60, STABLE).await?;
        stage.figure("60 tasks of another service RUNNING within", took, "s", Some(30.0));
        stage.hold(20.0).await;
        let early = count(&stage.history.since(from), "TaskCreated");
        let late_from = stage.history.count();
        stage.hold(20.0).await;
        let late = count(&stage.history.since(late_from), "TaskCreated");
        stage.figure("tasks started at first", early as f64, "", None);
        stage.figure("tasks started in the last 20 s", late as f64, "", Some(1_000.0));
        let backed_off = count(&stage.history.since(from), "DeploymentBackedOff");
        stage.expect(
            "back-off",
            backed_off > 0,
            format!("{backed_off} times the deployment backed off further"),
        );
        meter.finish(stage, 0).await?;
        stage.over();
        delete(&client, "crash").await?;
        delete(&client, "calm").await?;
        end_fleet(stage);
        Ok(Installed::Yes)
    })
}

/// Bytes of environment that make a definition nearly as large as it may be.
const LARGE: usize = 60 << 10;
const CONTAINERS: usize = 10;
const VARIABLES: usize = 40;

/// Ten containers with hundreds of variables, so many bytes in all.
fn large(bytes: usize) -> Vec<ContainerDefinition> {
    let value = "x".repeat(bytes / (CONTAINERS * VARIABLES));
    let variables =
        || (0..VARIABLES).map(|number| pair(format!("VARIABLE_{number}"), value.clone())).collect();
    (0..CONTAINERS).map(|number| container(&format!("container-{number}"), variables())).collect()
}

/// Definitions as large as they may be, and larger; tasks of them.
pub fn huge_definitions(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        fleet(stage, FEW).await?;
        let client = stage.client.clone();
        let meter = Meter::start(stage).await;
        stage.fault("200 definitions of 10 containers, 400 variables and more than 45 KiB; larger ones; 100 tasks of them");
        let began = Instant::now();
        for number in 0..200 {
            register(&client, &format!("huge-{}", number % 20), large(LARGE * 3 / 4)).await?;
        }
        register(&client, "huge", large(LARGE * 3 / 4)).await?;
        stage.figure("registered", 201.0 / began.elapsed().as_secs_f64(), "/s", None);
        for (bytes, what) in [(80 << 10, "above 64 KiB"), (900 << 10, "nearly 1 MiB")] {
            let refused = register(&client, "too-huge", large(bytes)).await.err();
            let text = refused.as_ref().map_or("it was taken".to_owned(), |error| {
                let service = error.downcast_ref::<aws_sdk_ecs::error::SdkError<
                    aws_sdk_ecs::operation::register_task_definition::RegisterTaskDefinitionError,
                >>();
                let shown =
                    service.map(|error| format!("{}", aws_sdk_ecs::error::DisplayErrorContext(error)));
                shown.unwrap_or_else(|| format!("{error:#}")).chars().take(160).collect()
            });
            stage.expect("refusal", refused.is_some(), format!("{what}: {text}"));
        }
        too_large_bodies(stage).await?;
        create(&client, "huge", 100).await?;
        let took = running(&client, "huge", 100, STABLE).await?;
        stage.figure("100 tasks of it RUNNING within", took, "s", Some(60.0));
        meter.finish(stage, 0).await?;
        stage.over();
        let left = client.describe_task_definition().task_definition("too-huge").send().await.is_err();
        stage.expect("refusal", left, "what was refused is not there");
        delete(&client, "huge").await?;
        end_fleet(stage);
        Ok(Installed::Yes)
    })
}

/// Bodies beyond what is read at all, many at once.
async fn too_large_bodies(stage: &mut Stage) -> Result<()> {
    let zone = stage.follower().await?;
    let address = crate::lab::host::api(zone);
    let body = "x".repeat(3 << 20);
    let request = signed(&stage.lab.key, &address, "RegisterTaskDefinition", &body).context("a request")?;
    let calls = std::sync::Arc::new(Calls::new(address, vec![request]));
    let counts = pour(vec![calls], 16, Duration::from_secs(5)).await?;
    let [done, other] = [&counts.done, &counts.other].map(|it| it.load(std::sync::atomic::Ordering::Relaxed));
    stage.expect(
        "refusal",
        done == 0 && other > 0,
        format!("bodies of 3 MiB: {done} taken, {other} refused"),
    );
    Ok(())
}
