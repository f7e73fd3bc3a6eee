//! Standalone tasks.

use aws_sdk_ecs::types::{
    ContainerDefinition, ContainerInstanceStatus, ContainerOverride, CpuArchitecture, DesiredStatus,
    EnvironmentFile, EnvironmentFileType, KeyValuePair, LaunchType, PropagateTags, RuntimePlatform, Tag,
    TaskField, TaskOverride, TaskStopCode,
};
use trireme_state::object::TaskStatus;

use crate::server::{Server, pair, refused};
use crate::task_definitions::{app, register};

#[tokio::test]
async fn a_tasks_life() {
    let server = Server::start().await;
    let client = server.client();
    let definition = register(&client, "job").await;
    let instance = server.add_instance("us-east-1a", 1024, 1024);
    let ran = client.run_task().task_definition("job").count(2).started_by("me").send().await.unwrap();
    assert_eq!((ran.tasks().len(), ran.failures().len()), (2, 0));
    let task = &ran.tasks()[0];
    assert_eq!(task.task_definition_arn(), Some(definition.as_str()));
    assert_eq!((task.last_status(), task.desired_status()), (Some("PENDING"), Some("RUNNING")));
    assert_eq!((task.group(), task.started_by()), (Some("family:job"), Some("me")));
    assert_eq!((task.cpu(), task.memory()), (Some("128"), Some("64")));
    assert_eq!(task.availability_zone(), Some("us-east-1a"));
    assert!(task.container_instance_arn().unwrap().ends_with(&instance.to_string()));
    assert_eq!(task.overrides().unwrap().container_overrides()[0].name(), Some("app"));
    assert_eq!(task.containers()[0].last_status(), Some("PENDING"));
    assert!(task.containers()[0].exit_code().is_none());
    assert_eq!(task.launch_type(), Some(&LaunchType::Ec2));

    let arn = task.task_arn().unwrap().to_owned();
    server.report(&arn, TaskStatus::Running, None);
    let described = client.describe_tasks().tasks(&arn).tasks("0".repeat(32)).send().await.unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    let task = &described.tasks()[0];
    assert_eq!(task.last_status(), Some("RUNNING"));
    assert_eq!(task.containers()[0].network_bindings()[0].host_port(), Some(32768));
    assert!(task.version() > 1 && task.started_at().is_some());

    let id = arn.rsplit('/').next().unwrap();
    let stopped = client.stop_task().task(id).reason("enough").send().await.unwrap();
    let task = stopped.task().unwrap();
    assert_eq!((task.desired_status(), task.stopped_reason()), (Some("STOPPED"), Some("enough")));
    assert_eq!(task.stop_code(), Some(&TaskStopCode::UserInitiated));
    server.report(&arn, TaskStatus::Stopped, Some(143));
    let described = client.describe_tasks().tasks(id).send().await.unwrap();
    let task = &described.tasks()[0];
    assert_eq!((task.last_status(), task.containers()[0].exit_code()), (Some("STOPPED"), Some(143)));
    assert!(task.stopped_at().is_some());

    let listed = async |desired| {
        let found = client.list_tasks().set_desired_status(desired).send().await.unwrap();
        found.task_arns().to_vec()
    };
    assert_eq!(listed(None).await.len(), 1, "running ones only unless asked");
    assert_eq!(listed(Some(DesiredStatus::Stopped)).await, [arn]);
    assert!(listed(Some(DesiredStatus::Pending)).await.is_empty());
}

#[tokio::test]
async fn what_finds_no_place_says_why() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    client.create_cluster().send().await.unwrap();
    let before = server.events();
    let none = refused(client.run_task().task_definition("job").send().await);
    assert_eq!(none, pair("InvalidParameterException", "No Container Instances were found in your cluster."));
    assert_eq!(server.events(), before);

    let small = server.add_instance("us-east-1a", 300, 1024);
    let ran = client.run_task().task_definition("job").count(3).send().await.unwrap();
    assert_eq!(ran.tasks().len(), 2, "as many as fit");
    let failure = &ran.failures()[0];
    assert_eq!(failure.reason(), Some("RESOURCE:CPU"));
    assert!(failure.arn().unwrap().ends_with(&small.to_string()));

    let unknown = "0".repeat(32);
    let started = client
        .start_task()
        .task_definition("job")
        .container_instances(small.to_string())
        .container_instances(unknown)
        .send()
        .await
        .unwrap();
    assert!(started.tasks().is_empty());
    let reasons: Vec<_> = started.failures().iter().map(|one| one.reason().unwrap()).collect();
    assert_eq!(reasons, ["RESOURCE:CPU", "MISSING"]);

    let container = ContainerDefinition::builder().name("app").image("busybox").memory(16).build();
    let platform = RuntimePlatform::builder().cpu_architecture(CpuArchitecture::Arm64).build();
    let define = client.register_task_definition().family("elsewhere").container_definitions(container);
    define.runtime_platform(platform).send().await.unwrap();
    let large = server.add_instance("us-east-1b", 4_096, 4_096);
    let ran = client.run_task().task_definition("elsewhere").send().await.unwrap();
    assert!(ran.tasks().is_empty());
    let failure = ran.failures().iter().find(|one| one.arn().unwrap().ends_with(&large.to_string())).unwrap();
    assert_eq!(failure.reason(), Some("ATTRIBUTE"));
    assert_eq!(failure.detail(), Some("attribute ecs.cpu-architecture is not arm64"));
}

#[tokio::test]
async fn start_task_goes_where_it_is_told() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    server.add_instance("us-east-1a", 1024, 1024);
    let chosen = server.add_instance("us-east-1b", 1024, 1024).to_string();
    let started =
        client.start_task().task_definition("job:1").container_instances(&chosen).send().await.unwrap();
    assert!(started.tasks()[0].container_instance_arn().unwrap().ends_with(&chosen));
    let arn = started.tasks()[0].task_arn().unwrap().to_owned();

    let by_instance = client.list_tasks().container_instance(&chosen).send().await.unwrap();
    assert_eq!(by_instance.task_arns(), [arn]);
    let by_family = client.list_tasks().family("other").send().await.unwrap();
    assert!(by_family.task_arns().is_empty());
    let by_launch = client.list_tasks().launch_type(LaunchType::Fargate).send().await.unwrap();
    assert!(by_launch.task_arns().is_empty());
}

#[tokio::test]
async fn a_token_starts_its_tasks_once() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    // Room for two tasks: the repeat must answer although nothing more fits.
    server.add_instance("us-east-1a", 256, 1024);
    let run = || client.run_task().task_definition("job").count(2).client_token("once");
    let first = run().send().await.unwrap();
    let events = server.events();
    let again = run().send().await.unwrap();
    let arns = |tasks: &[aws_sdk_ecs::types::Task]| {
        tasks.iter().map(|task| task.task_arn().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(arns(first.tasks()), arns(again.tasks()));
    assert_eq!(server.events(), events);
    let other = run().count(1).send().await;
    let error = other.unwrap_err().into_service_error();
    assert!(error.is_conflict_exception(), "{error:?}");
    let aws_sdk_ecs::operation::run_task::RunTaskError::ConflictException(conflict) = error else {
        unreachable!()
    };
    assert_eq!(conflict.resource_ids(), arns(first.tasks()));
}

#[tokio::test]
async fn overrides_and_tags() {
    let server = Server::start().await;
    let client = server.client();
    let tag = |key: &str| Tag::builder().key(key).value("1").build();
    client
        .register_task_definition()
        .family("job")
        .container_definitions(app())
        .tags(tag("of-definition"))
        .send()
        .await
        .unwrap();
    server.add_instance("us-east-1a", 1024, 1024);
    let change = ContainerOverride::builder()
        .name("app")
        .command("true")
        .cpu(256)
        .environment(KeyValuePair::builder().name("A").value("2").build())
        .build();
    let file = |value: &str| {
        let file = EnvironmentFile::builder().value(value).r#type(EnvironmentFileType::S3).build().unwrap();
        let change = ContainerOverride::builder().name("app").environment_files(file).build();
        TaskOverride::builder().container_overrides(change).build()
    };
    let overrides = TaskOverride::builder().container_overrides(change).memory("0.5 GB").build();
    let ran = client
        .run_task()
        .task_definition("job")
        .overrides(overrides)
        .group("batch")
        .tags(tag("own"))
        .propagate_tags(PropagateTags::TaskDefinition)
        .enable_ecs_managed_tags(true)
        .send()
        .await
        .unwrap();
    let task = &ran.tasks()[0];
    assert_eq!((task.cpu(), task.memory(), task.group()), (Some("256"), Some("512"), Some("batch")));
    let shown = &task.overrides().unwrap().container_overrides()[0];
    assert_eq!((shown.command(), shown.cpu()), (&["true".to_owned()][..], Some(256)));
    let arn = task.task_arn().unwrap();
    let described = client.describe_tasks().tasks(arn).include(TaskField::Tags).send().await.unwrap();
    let keys: Vec<&str> = described.tasks()[0].tags().iter().map(|tag| tag.key().unwrap()).collect();
    assert_eq!(keys, ["aws:ecs:clusterName", "of-definition", "own"]);

    let unknown = TaskOverride::builder()
        .container_overrides(ContainerOverride::builder().name("nope").build())
        .build();
    let error = refused(client.run_task().task_definition("job").overrides(unknown).send().await);
    assert_eq!(
        error,
        pair(
            "InvalidParameterException",
            "Override for container named nope is not a container in the TaskDefinition."
        )
    );
    // No agent has such files here; what cannot be one is refused before anybody is asked.
    let files = client.run_task().task_definition("job").overrides(file("arn:aws:s3:::b/k")).send().await;
    let failures = files.unwrap().failures.unwrap();
    assert!(failures[0].detail().unwrap().contains("environmentFiles"), "{failures:?}");
    let error =
        refused(client.run_task().task_definition("job").overrides(file("arn:aws:s3:::b")).send().await);
    assert!(
        error.1.starts_with("Invalid override for container 'app'. 'environmentFiles.value'"),
        "{error:?}"
    );
    let long = ContainerOverride::builder().name("app").command("x".repeat(9000)).build();
    let long = TaskOverride::builder().container_overrides(long).build();
    let error = refused(client.run_task().task_definition("job").overrides(long).send().await);
    assert_eq!(error.0, "InvalidParameterException");
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    server.add_instance("us-east-1a", 1024, 1024);
    let before = server.events();
    let fargate = client.run_task().task_definition("job").launch_type(LaunchType::Fargate).send().await;
    assert_eq!(
        refused(fargate),
        pair("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
    );
    let error = refused(client.run_task().task_definition("nope").send().await);
    assert_eq!(error, pair("ClientException", "TaskDefinition not found."));
    for count in [0, 11] {
        let error = refused(client.run_task().task_definition("job").count(count).send().await);
        assert_eq!(error.0, "InvalidParameterException");
    }
    let error = refused(client.run_task().cluster("nope").task_definition("job").send().await);
    assert_eq!(error, pair("ClusterNotFoundException", "Cluster not found."));
    let error = refused(client.stop_task().task("0".repeat(32)).send().await);
    assert_eq!(error, pair("InvalidParameterException", "The referenced task was not found."));
    let error = refused(client.list_tasks().started_by("a").family("b").send().await);
    assert_eq!(error.0, "InvalidParameterException");
    assert_eq!(server.events(), before);
    client.deregister_task_definition().task_definition("job:1").send().await.unwrap();
    let error = refused(client.run_task().task_definition("job:1").send().await);
    assert_eq!(error, pair("ClientException", "TaskDefinition is inactive"));
}

#[tokio::test]
async fn instances_that_are_drained_are_passed_over() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    let drained = server.add_instance("us-east-1a", 1024, 1024).to_string();
    let drain = client.update_container_instances_state().container_instances(&drained);
    drain.status(ContainerInstanceStatus::Draining).send().await.unwrap();
    let before = server.events();
    let none = refused(client.run_task().task_definition("job").send().await);
    assert_eq!(none, pair("InvalidParameterException", "No Container Instances were found in your cluster."));
    assert_eq!(server.events(), before);

    let small = server.add_instance("us-east-1b", 100, 1024).to_string();
    let ran = client.run_task().task_definition("job").send().await.unwrap();
    let failed: Vec<_> =
        ran.failures().iter().map(|one| one.arn().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(failed, [small], "nothing is said of the one that is drained");
}

#[tokio::test]
async fn a_repeat_says_how_many_found_no_place() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    server.add_instance("us-east-1a", 256, 1024);
    let run = || client.run_task().task_definition("job").count(3).client_token("once");
    let first = run().send().await.unwrap();
    assert_eq!((first.tasks().len(), first.failures().len()), (2, 1));
    server.add_instance("us-east-1b", 1024, 1024);
    let again = run().send().await.unwrap();
    assert_eq!((again.tasks().len(), again.failures().len()), (2, 1));
    let failure = &again.failures()[0];
    assert_eq!(failure.reason(), Some("RESOURCE"));
    assert_eq!(failure.detail(), Some("The first call with this token found places for 2 of 3 tasks."));
}

#[tokio::test]
async fn roles_have_the_form_of_roles() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    server.add_instance("us-east-1a", 1024, 1024);
    let before = server.events();
    let wrong = pair("ClientException", "Role is not valid.");
    let register = || client.register_task_definition().family("job").container_definitions(app());
    assert_eq!(refused(register().task_role_arn("not a role").send().await), wrong);
    let user = "arn:aws:iam::123456789012:user/ada";
    assert_eq!(refused(register().execution_role_arn(user).send().await), wrong);
    let run = |role: &str| {
        let overrides = TaskOverride::builder().task_role_arn(role).build();
        client.run_task().task_definition("job").overrides(overrides).send()
    };
    assert_eq!(refused(run(user).await), wrong);
    assert_eq!(server.events(), before);
    let role = "arn:aws:iam::123456789012:role/batch/job";
    let ran = run(role).await.unwrap();
    assert_eq!(ran.tasks()[0].overrides().unwrap().task_role_arn(), Some(role));
}

/// The definition's fifty tags, one of the request's own in place of one of them, and ECS's own beside them.
#[tokio::test]
async fn fifty_tags_and_those_of_ecs() {
    let server = Server::start().await;
    let client = server.client();
    let tags = (0..50).map(|number| Tag::builder().key(format!("k{number}")).value("1").build()).collect();
    let register = client.register_task_definition().family("job").container_definitions(app());
    register.set_tags(Some(tags)).send().await.unwrap();
    server.add_instance("us-east-1a", 1024, 1024);
    let run = || {
        let run = client.run_task().task_definition("job").propagate_tags(PropagateTags::TaskDefinition);
        run.enable_ecs_managed_tags(true)
    };
    let ran = run().send().await.unwrap();
    assert_eq!(ran.tasks()[0].tags().len(), 51);
    let more = run().tags(Tag::builder().key("more").value("1").build()).send().await;
    assert_eq!(refused(more).0, "InvalidParameterException");
}

#[tokio::test]
async fn why_a_task_cannot_be_entered() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, "job").await;
    server.add_instance("us-east-1a", 1024, 1024);
    let ran = client.run_task().task_definition("job").send().await.unwrap();
    let arn = ran.tasks()[0].task_arn().unwrap();
    let execute = async |task: &str, container: Option<&str>, interactive: bool| {
        let call = client.execute_command().task(task).interactive(interactive).command("sh");
        refused(call.set_container(container.map(str::to_owned)).send().await)
    };
    let says = async |task: &str, container: Option<&str>, interactive: bool, message: &str| {
        let (code, text) = execute(task, container, interactive).await;
        assert_eq!(code, "InvalidParameterException", "{text}");
        assert!(text.contains(message), "{text}");
    };
    says(arn, None, false, "Interactive is the only mode supported currently.").await;
    says("nope", None, true, "The referenced task was not found.").await;
    says(arn, Some("nope"), true, "The task has no container named nope.").await;
    says(arn, Some("app"), true, "execute command was not enabled when the task was run").await;
    server.report(arn, TaskStatus::Running, None);
    says(arn, None, true, "execute command was not enabled when the task was run").await;
    server.report(arn, TaskStatus::Stopped, Some(0));
    says(arn, None, true, "the task is stopped").await;
    let run = client.run_task().task_definition("job").enable_execute_command(true);
    let ran = run.send().await.unwrap();
    assert!(ran.tasks()[0].enable_execute_command());
    let open = ran.tasks()[0].task_arn().unwrap();
    says(open, Some("app"), true, "execute command was not enabled when the task was run or").await;
    server.report(open, TaskStatus::Running, None);
    assert_eq!(execute(open, Some("app"), true).await.0, "TargetNotConnectedException");
    says(open, Some("nope"), true, "The task has no container named nope.").await;
    let elsewhere = client.execute_command().cluster("nope").task(arn).interactive(true).command("sh");
    assert_eq!(refused(elsewhere.send().await).0, "ClusterNotFoundException");
}
