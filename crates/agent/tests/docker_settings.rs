//! Settings of a container that Docker sees to, on a real Docker Engine: each has its effect inside.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::LIMIT;
use common::node::{Node, docker, inspect, shell};
use trireme_agent::{AgentConfig, Allowed};
use trireme_state::object::{ContainerDefinition, NetworkMode, Task, TaskStatus};
use trireme_testkit::wait_for;
use trireme_types::Mebibytes;

/// A container that stays, with these settings.
fn with(settings: &[(&str, &str)]) -> ContainerDefinition {
    let mut app = shell("app", "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    app.memory = Some(Mebibytes::new(32));
    app.described = settings.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
    app
}

async fn running(node: &Node, settings: &[(&str, &str)]) -> Task {
    let task = node.run(vec![with(settings)]);
    (*node.world.wait_status(task, TaskStatus::Running).await).clone()
}

/// What a command prints in the task's container.
fn inside(task: &Task, script: &str) -> String {
    docker(&["exec", task.containers[0].runtime_id.as_ref().unwrap(), "sh", "-c", script])
}

#[tokio::test]
async fn limits_names_and_controls_hold_inside() {
    let node = Node::start().await;
    let task = running(
        &node,
        &[
            ("ulimits", r#"[{"name":"nofile","softLimit":111,"hardLimit":222}]"#),
            ("extraHosts", r#"[{"hostname":"db","ipAddress":"10.9.8.7"}]"#),
            ("dnsServers", r#"["10.9.8.6"]"#),
            ("dnsSearchDomains", r#"["trireme.test"]"#),
            ("systemControls", r#"[{"namespace":"net.ipv4.tcp_keepalive_time","value":"77"}]"#),
            ("dockerSecurityOptions", r#"["no-new-privileges"]"#),
        ],
    )
    .await;
    assert_eq!(inside(&task, "ulimit -Sn; ulimit -Hn"), "111\n222");
    assert!(inside(&task, "cat /etc/hosts").contains("10.9.8.7\tdb"));
    let resolver = inside(&task, "cat /etc/resolv.conf");
    assert!(
        resolver.contains("nameserver 10.9.8.6") && resolver.contains("search trireme.test"),
        "{resolver}"
    );
    assert_eq!(inside(&task, "cat /proc/sys/net/ipv4/tcp_keepalive_time"), "77");
    assert_eq!(inside(&task, "grep NoNewPrivs /proc/1/status").split_whitespace().last(), Some("1"));
}

#[tokio::test]
async fn linux_parameters_hold_inside() {
    let node = Node::start().await;
    let task = running(
        &node,
        &[(
            "linuxParameters",
            r#"{"capabilities":{"add":["NET_ADMIN"],"drop":["CHOWN"]},"initProcessEnabled":true,
                "sharedMemorySize":7,"maxSwap":0,"swappiness":10,
                "tmpfs":[{"containerPath":"/scratch","size":3,"mountOptions":["noexec","mode=700"]}]}"#,
        )],
    )
    .await;
    let may_chown = inside(&task, "touch /f && chown 1:1 /f 2>/dev/null; echo $?");
    assert_eq!(may_chown, "1", "CHOWN was dropped");
    assert_eq!(inside(&task, "ip link set lo mtu 1400 && echo done"), "done", "NET_ADMIN was added");
    assert!(inside(&task, "cat /proc/1/comm").contains("init"), "an init process runs first");
    let mounts = inside(&task, "cat /proc/mounts");
    let of =
        |path: &str| mounts.lines().find(|line| line.split(' ').nth(1) == Some(path)).unwrap().to_owned();
    assert!(of("/dev/shm").contains("size=7168k"), "{}", of("/dev/shm"));
    let scratch = of("/scratch");
    assert!(["size=3072k", "noexec", "mode=700"].iter().all(|part| scratch.contains(part)), "{scratch}");
    assert_eq!(inspect(&task, "{{.HostConfig.MemorySwap}} {{.HostConfig.Memory}}"), "33554432 33554432");
}

#[tokio::test]
async fn output_is_rotated_and_goes_where_it_is_told_to() {
    let node = Node::start().await;
    let plain = running(&node, &[]).await;
    let log = "{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config \"max-size\"}} \
               {{index .HostConfig.LogConfig.Config \"max-file\"}}";
    assert_eq!(inspect(&plain, log), "json-file 16m 4");
    let own = r#"{"logDriver":"json-file","options":{"max-size":"1m","labels":"team"}}"#;
    let told = running(&node, &[("logConfiguration", own)]).await;
    assert_eq!(inspect(&told, log), "json-file 1m 4");
    // Nobody listens there: Docker says so when the container starts, or sends into the void.
    let elsewhere = r#"{"logDriver":"gelf","options":{"gelf-address":"udp://127.0.0.1:9"}}"#;
    let gelf = running(&node, &[("logConfiguration", elsewhere)]).await;
    assert_eq!(inspect(&gelf, "{{.HostConfig.LogConfig.Type}}"), "gelf");
}

#[tokio::test]
async fn the_machines_rights_and_devices_are_for_agents_that_allow_them() {
    let node = Node::with(|config| AgentConfig {
        allow: Allowed { privileged: true, host_devices: true, ..Allowed::default() },
        ..config
    })
    .await;
    let view = node.world.view();
    let attributes = &view.instance(node.instance).unwrap().registration.attributes;
    for name in ["com.amazonaws.ecs.capability.privileged-container", "trireme.capability.host-devices"] {
        assert!(attributes.contains_key(name), "{attributes:?}");
    }
    let task = node.run(vec![with(&[("privileged", "true")])]);
    let task = wait_for("the task to run, or not", LIMIT, || async {
        let task = node.world.view().task(task).cloned().unwrap();
        let decided = matches!(task.last_status, TaskStatus::Running | TaskStatus::Stopped);
        if decided { Ok(task) } else { Err(format!("{task:?}")) }
    })
    .await;
    match task.last_status {
        TaskStatus::Running => assert_eq!(inspect(&task, "{{.HostConfig.Privileged}}"), "true"),
        // A machine that is a container itself may not have all rights to hand on: Docker was asked for them all the same.
        _ => {
            let reason = task.containers[0].reason.clone().unwrap();
            assert!(reason.contains("unable to apply caps"), "{reason}");
        }
    }
    let device =
        r#"{"devices":[{"hostPath":"/dev/zero","containerPath":"/dev/nil","permissions":["read"]}]}"#;
    let task = running(&node, &[("linuxParameters", device)]).await;
    assert_eq!(inside(&task, "head -c 2 /dev/nil | wc -c"), "2");

    let careful = Node::start().await;
    // An older control node places it here: the agent itself refuses.
    let refused = careful.run(vec![with(&[("privileged", "true")])]);
    let refused = careful.world.wait_status(refused, TaskStatus::Stopped).await;
    let reason = refused.containers[0].reason.clone().unwrap();
    assert!(
        reason.starts_with("CannotCreateContainerError: this container instance does not allow"),
        "{reason}"
    );
    let view = careful.world.view();
    let attributes = &view.instance(careful.instance).unwrap().registration.attributes;
    assert!(
        !attributes.keys().any(|name| name.contains("privileged-container") || name.contains("host-devices"))
    );
    assert!(
        attributes.contains_key("com.amazonaws.ecs.capability.logging-driver.journald"),
        "{attributes:?}"
    );
}

#[tokio::test]
async fn a_setting_that_docker_refuses_stops_the_task_and_says_why() {
    let node = Node::start().await;
    let wrong = r#"[{"namespace":"net.nothing.of.the.kind","value":"1"}]"#;
    let task = node.run_in(NetworkMode::Bridge, vec![with(&[("systemControls", wrong)])]);
    let task = node.world.wait_status(task, TaskStatus::Stopped).await;
    let reason = task.containers[0].reason.clone().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
    let unknown = r#"{"logDriver":"json-file","options":{"no-such-option":"1"}}"#;
    let task = node.run(vec![with(&[("logConfiguration", unknown)])]);
    let task = node.world.wait_status(task, TaskStatus::Stopped).await;
    let reason = task.containers[0].reason.clone().unwrap();
    assert!(
        reason.starts_with("CannotCreateContainerError: ") && reason.contains("no-such-option"),
        "{reason}"
    );
}
