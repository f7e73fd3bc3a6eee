//! GPUs: a resource of container instances by id, and of tasks' containers.

use aws_sdk_ecs::types::{
    ContainerDefinition, ContainerInstance, Resource, ResourceRequirement, ResourceType, Task,
};
use trireme_state::object::{InstanceRegistration, TaskStatus};
use trireme_state::store::Store;
use trireme_state::{Command, Outcome};
use trireme_types::ContainerInstanceId;
use trireme_types::capability::GPUS;

use crate::server::{Server, refused};

/// An instance whose agent tells of these GPUs.
fn instance_with(server: &Server, gpus: &str) -> ContainerInstanceId {
    let other = server.add_instance("us-east-1b", 4_096, 4_096);
    let known = server.store.view().instance(other).unwrap().registration.clone();
    let attributes = [(GPUS.to_owned(), gpus.to_owned())].into();
    let registration = Box::new(InstanceRegistration { attributes, ..known });
    let opened = server.propose(Command::OpenSession { instance: None, registration });
    let Outcome::Session { instance, .. } = opened else { panic!("{opened:?}") };
    instance
}

fn container(name: &str, gpus: u32) -> ContainerDefinition {
    let requirement = ResourceRequirement::builder().r#type(ResourceType::Gpu).value(gpus.to_string());
    let requirement = (gpus > 0).then(|| vec![requirement.build().unwrap()]);
    ContainerDefinition::builder()
        .name(name)
        .image("busybox")
        .memory(16)
        .set_resource_requirements(requirement)
        .build()
}

async fn register(client: &aws_sdk_ecs::Client, family: &str, gpus: &[u32]) {
    let containers = ["a", "b", "c"].iter().zip(gpus).map(|(name, gpus)| container(name, *gpus)).collect();
    let request =
        client.register_task_definition().family(family).set_container_definitions(Some(containers));
    request.send().await.unwrap();
}

/// The resource GPU, of those registered and of those that remain.
async fn gpus_of(client: &aws_sdk_ecs::Client, instance: ContainerInstanceId) -> [Vec<String>; 2] {
    let asked = client.describe_container_instances().container_instances(instance.to_string());
    let answer = asked.send().await.unwrap();
    let found: &ContainerInstance = &answer.container_instances()[0];
    [found.registered_resources(), found.remaining_resources()].map(|all: &[Resource]| {
        let gpu = all.iter().find(|one| one.name() == Some("GPU")).unwrap();
        assert_eq!(gpu.r#type(), Some("STRINGSET"));
        gpu.string_set_value().to_vec()
    })
}

fn of_containers(task: &Task) -> Vec<Vec<String>> {
    task.containers().iter().map(|one| one.gpu_ids().to_vec()).collect()
}

#[tokio::test]
async fn a_task_has_gpus_of_its_instance_until_it_is_stopped() {
    let server = Server::start().await;
    let client = server.client();
    let instance = instance_with(&server, "GPU-a,GPU-b,GPU-c");
    register(&client, "both", &[1, 0, 1]).await;
    register(&client, "one", &[1]).await;
    let run = async |family: &str, count| {
        client.run_task().task_definition(family).count(count).send().await.unwrap()
    };
    let first = run("both", 1).await;
    let task = &first.tasks()[0];
    assert_eq!(of_containers(task), [vec!["GPU-a"], vec![], vec!["GPU-b"]]);
    assert_eq!(gpus_of(&client, instance).await, [vec!["GPU-a", "GPU-b", "GPU-c"], vec!["GPU-c"]]);
    let second = run("one", 2).await;
    assert_eq!(
        (second.tasks().len(), of_containers(&second.tasks()[0])),
        (1, vec![vec!["GPU-c".to_owned()]])
    );
    let failures = second.failures();
    assert!(
        !failures.is_empty() && failures.iter().all(|one| one.reason() == Some("RESOURCE:GPU")),
        "{failures:?}"
    );
    let start = client.start_task().task_definition("one").container_instances(instance.to_string());
    let started = start.send().await.unwrap();
    assert_eq!(started.failures()[0].reason(), Some("RESOURCE:GPU"));

    server.report(task.task_arn().unwrap(), TaskStatus::Stopped, Some(0));
    assert_eq!(gpus_of(&client, instance).await[1], ["GPU-a", "GPU-b"]);
    let described = client.describe_tasks().tasks(task.task_arn().unwrap()).send().await.unwrap();
    assert_eq!(of_containers(&described.tasks()[0]), of_containers(task), "what it had is still told");
    assert_eq!(of_containers(&run("one", 1).await.tasks()[0]), [vec!["GPU-a"]]);
}

#[tokio::test]
async fn a_user_registers_them_as_ecss_agent_does() {
    let server = Server::start().await;
    let client = server.client();
    let resource = |ids: &[&str]| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Resource::builder().name("GPU").r#type("STRINGSET").set_string_set_value(Some(ids)).build()
    };
    let made = client.register_container_instance().total_resources(resource(&["GPU-1", "GPU-0"]));
    let made = made.send().await.unwrap();
    let arn = made.container_instance().unwrap().container_instance_arn().unwrap();
    let id = arn.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(gpus_of(&client, id).await[0], ["GPU-1", "GPU-0"]);
    let none = server.add_instance("us-east-1a", 4_096, 4_096);
    assert!(gpus_of(&client, none).await.iter().all(Vec::is_empty));
    let before = server.events();
    let twice = client.register_container_instance().total_resources(resource(&["GPU-1", "GPU-1"]));
    let (code, message) = refused(twice.send().await);
    assert!(code == "InvalidParameterException" && message.contains("listed twice"), "{code}: {message}");
    assert_eq!(server.events(), before);
}
