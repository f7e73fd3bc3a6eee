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

/// 32: a service whose tasks end at once: it backs off, and the others do not notice.
pub fn crash_loop(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let container = ContainerDefinition::builder().name("crash").image(IMAGE).memory(16).cpu(16);
        let container = container.set_command(Some(["sh", "-c", "exit 7"].map(str::to_owned).to_vec()));
        let register = stage.client.register_task_definition().family("crash");
        register.network_mode(NetworkMode::None).container_definitions(container.build()).send().await?;
        let before = stage.history.count();
        stage.fault("a service of 2 tasks that end at once with code 7");
        let create =
            stage.client.create_service().service_name("crash").task_definition("crash").desired_count(2);
        create.send().await?;
        stage.hold(30.0).await;
        let made = count(&stage.history.since(before), "TaskCreated");
        stage.figure("tasks started in 30 s", made as f64, "", Some(30.0));
        let backed_off = count(&stage.history.since(before), "DeploymentBackedOff");
        stage.expect(
            "back-off",
            backed_off > 0,
            format!("{backed_off} times the deployment backed off further"),
        );
        stage.client.delete_service().service("crash").force(true).send().await?;
        Ok(Installed::Yes)
    })
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
