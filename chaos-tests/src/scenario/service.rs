//! Faults of what people run: a service that crashes, a port that is taken.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aws_sdk_ecs::types::{ContainerDefinition, NetworkMode, PortMapping};
use trireme_testkit::try_wait;

use super::agent::count;
use super::{Installed, Stage, Step};
use crate::ecs;
use crate::lab::Host;
use crate::lab::engine::IMAGE;
use crate::lab::host::ZONES;
use crate::lab::net;

/// 32: services whose tasks end at once, one by an error, one because it takes more memory than it may: both back off, and the
/// others do not notice.
pub fn crash_loop(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let before = stage.history.count();
        stage.fault("a service of 2 tasks that end at once with code 7, and one of 2 that run out of memory");
        for (name, script) in [("crash", "exit 7"), ("oom", "tail /dev/zero")] {
            let container = ContainerDefinition::builder().name(name).image(IMAGE).memory(16).cpu(16);
            let container = container.set_command(Some(["sh", "-c", script].map(str::to_owned).to_vec()));
            let register = stage.client.register_task_definition().family(name);
            register.network_mode(NetworkMode::None).container_definitions(container.build()).send().await?;
            stage
                .client
                .create_service()
                .service_name(name)
                .task_definition(name)
                .desired_count(2)
                .send()
                .await?;
        }
        stage.hold(30.0).await;
        let events = stage.history.since(before);
        stage.figure("tasks started in 30 s", count(&events, "TaskCreated") as f64, "", Some(60.0));
        for name in ["crash", "oom"] {
            let of_it = events.iter().filter(|event| event.kind == "DeploymentBackedOff");
            let times = of_it.filter(|event| event.body.to_string().contains(&format!("\"{name}\""))).count();
            stage.expect(
                "back-off",
                times > 0,
                format!("{name}: {times} times its deployment backed off further"),
            );
        }
        out_of_memory(stage).await?;
        for name in ["crash", "oom"] {
            stage.client.delete_service().service(name).force(true).send().await?;
        }
        Ok(Installed::Yes)
    })
}

/// What DescribeTasks says of a task that took too much.
async fn out_of_memory(stage: &mut Stage) -> Result<()> {
    let list = stage.client.list_tasks().service_name("oom").desired_status("STOPPED".into()).send().await?;
    let mut reasons = Vec::new();
    if !list.task_arns().is_empty() {
        let arns = list.task_arns().iter().take(100).cloned().collect();
        let described = stage.client.describe_tasks().set_tasks(Some(arns)).send().await?;
        let containers = described.tasks().iter().flat_map(|task| task.containers());
        reasons.extend(
            containers.map(|it| format!("code {:?}, {}", it.exit_code(), it.reason().unwrap_or("no reason"))),
        );
    }
    let told = reasons.iter().any(|reason| reason.contains("OutOfMemoryError"));
    stage.expect("reason", told, format!("{} tasks ended: {:?}", reasons.len(), reasons.first()));
    Ok(())
}

/// 36: a host port that a task needs is taken by somebody else on one machine: the reason is shown, and another machine has it.
pub fn port_taken(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.shuffled(ZONES.to_vec())[0];
        let mut taken = Vec::new();
        for each in ZONES {
            taken.push((each, take_port(each, 18_080)?));
        }
        stage.fault("port 18080 of each machine is taken; a service of 2 tasks needs it");
        let port = PortMapping::builder().container_port(8080).host_port(18_080).build();
        let container =
            ContainerDefinition::builder().name("port").image(IMAGE).memory(16).cpu(16).port_mappings(port);
        let register =
            stage.client.register_task_definition().family("port").network_mode(NetworkMode::Bridge);
        register.container_definitions(container.build()).send().await?;
        let create =
            stage.client.create_service().service_name("port").task_definition("port").desired_count(2);
        create.send().await?;
        // Wherever they are placed first, they fail: then two machines have the port again, and one does not.
        let client = &stage.client;
        let failing = try_wait("two tasks to fail", Duration::from_secs(30), || async {
            let list = client.list_tasks().service_name("port").desired_status("STOPPED".into()).send().await;
            let count = list.map_err(|error| error.to_string())?.task_arns().len();
            if count >= 2 { Ok(()) } else { Err(format!("{count} have")) }
        });
        if let Err(text) = failing.await {
            stage.client.delete_service().service("port").force(true).send().await?;
            return Ok(Installed::No(text));
        }
        taken.retain(|(each, _)| *each == zone);
        stage.over();
        stage.fault(format!("port 18080 of zone {zone}'s machine alone is taken"));
        let freed = Instant::now();
        let client = &stage.client;
        let stable =
            try_wait("both tasks elsewhere", Duration::from_secs(60), || ecs::stable(client, "port")).await;
        stage.expect("I7", stable.is_ok(), stable.err().unwrap_or("both tasks RUNNING".to_owned()));
        stage.figure(
            "both tasks RUNNING where the port is free",
            freed.elapsed().as_secs_f64(),
            "s",
            Some(60.0),
        );
        let stopped =
            stage.client.list_tasks().service_name("port").desired_status("STOPPED".into()).send().await?;
        let mut reasons = Vec::new();
        if !stopped.task_arns().is_empty() {
            let arns = stopped.task_arns().iter().take(100).cloned().collect();
            let described = stage.client.describe_tasks().set_tasks(Some(arns)).send().await?;
            let containers = described.tasks().iter().flat_map(|task| task.containers());
            let said = containers.filter_map(|container| container.reason().map(str::to_owned));
            reasons.extend(
                said.chain(described.tasks().iter().filter_map(|it| it.stopped_reason().map(str::to_owned))),
            );
        }
        let failed = stopped.task_arns().len();
        let shown =
            failed == 0 || reasons.iter().any(|reason| reason.contains("18080") || reason.contains("port"));
        stage.expect("reason", shown, format!("{failed} tasks failed first; reasons: {:?}", reasons.first()));
        stage.client.delete_service().service("port").force(true).send().await?;
        drop(taken);
        Ok(Installed::Yes)
    })
}

/// Listens in the namespace of a zone's agent.
fn take_port(zone: u8, port: u16) -> Result<TcpListener> {
    let thread = std::thread::spawn(move || {
        net::enter(Host::Agent(zone))?;
        Ok(TcpListener::bind(("0.0.0.0", port))?)
    });
    thread.join().ok().context("the thread panicked")?
}
