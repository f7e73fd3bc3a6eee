//! Task sets, through AWS's SDK for Rust.

use aws_sdk_ecs::types::{DeploymentController, DeploymentControllerType, Scale, ScaleUnit, StabilityStatus};
use trireme_state::Command;
use trireme_state::command::TaskSetProgress;
use trireme_state::store::Store as _;
use trireme_types::DeploymentId;

use crate::server::{Server, pair, refused};
use crate::services::key;
use crate::task_definitions::register;

fn percent(value: f64) -> Scale {
    Scale::builder().value(value).unit(ScaleUnit::Percent).build()
}

#[tokio::test]
async fn sets_are_made_chosen_and_deleted() {
    let server = Server::start().await;
    let client = server.client();
    client.create_cluster().send().await.unwrap();
    let definition = register(&client, "web").await;
    let external =
        DeploymentController::builder().r#type(DeploymentControllerType::External).build().unwrap();
    let create = client.create_service().service_name("web").desired_count(3).deployment_controller(external);
    let made = create.send().await.unwrap().service.unwrap();
    assert_eq!((made.task_definition(), made.deployments(), made.task_sets()), (None, &[][..], &[][..]));

    let create = || client.create_task_set().cluster("default").service("web").task_definition("web");
    let set = create().scale(percent(50.0)).client_token("t").send().await.unwrap().task_set.unwrap();
    let id = set.id().unwrap().to_owned();
    assert_eq!((set.status(), set.computed_desired_count()), (Some("ACTIVE"), 2));
    assert_eq!(set.stability_status(), Some(&StabilityStatus::Stabilizing));
    assert_eq!(set.task_definition(), Some(definition.as_str()));
    let before = server.events();
    let again = create().scale(percent(50.0)).client_token("t").send().await.unwrap();
    assert_eq!(again.task_set().unwrap().id(), Some(id.as_str()));
    let other = create().scale(percent(51.0)).client_token("t").send().await;
    assert_eq!(refused(other).0, "InvalidParameterException");
    assert_eq!(server.events(), before);

    let choose = client.update_service_primary_task_set().cluster("default").service("web");
    let chosen = choose.primary_task_set(&id).send().await.unwrap();
    assert_eq!(chosen.task_set().unwrap().status(), Some("PRIMARY"));
    let described = client.describe_services().services("web").send().await.unwrap();
    assert_eq!(described.services()[0].task_definition(), Some(definition.as_str()));

    let delete =
        |force| client.delete_task_set().cluster("default").service("web").task_set(&id).force(force);
    let message = "Primary TaskSet cannot be deleted.";
    assert_eq!(refused(delete(false).send().await), pair("InvalidParameterException", message));
    let deleted = delete(true).send().await.unwrap();
    assert_eq!(deleted.task_set().unwrap().status(), Some("DRAINING"));
    gone(&server, id.parse().unwrap());
    assert_eq!(refused(delete(true).send().await).0, "TaskSetNotFoundException");
    let scale = client.update_task_set().cluster("default").service("web").task_set(&id).scale(percent(1.0));
    let error = scale.send().await.unwrap_err().into_service_error();
    assert!(error.is_task_set_not_found_exception(), "{error:?}");
}

/// A client that did not hear the answer asks again, and meanwhile the family has no revision left.
#[tokio::test]
async fn a_repeat_has_its_answer_though_the_definition_is_gone() {
    let server = Server::start().await;
    let client = server.client();
    client.create_cluster().send().await.unwrap();
    let definition = register(&client, "web").await;
    let rolling = || {
        let create = client.create_service().service_name("rolling").desired_count(1);
        create.task_definition("web").client_token("rolling")
    };
    let external =
        DeploymentController::builder().r#type(DeploymentControllerType::External).build().unwrap();
    let sets = client.create_service().service_name("web").desired_count(3).deployment_controller(external);
    sets.send().await.unwrap();
    let create = || {
        let create = client.create_task_set().cluster("default").service("web").task_definition("web");
        create.scale(percent(50.0)).client_token("t")
    };
    let service = rolling().send().await.unwrap().service.unwrap();
    let set = create().send().await.unwrap().task_set.unwrap();

    client.deregister_task_definition().task_definition(&definition).send().await.unwrap();
    let before = server.events();
    let again = rolling().send().await.unwrap().service.unwrap();
    assert_eq!(again.deployments()[0].id(), service.deployments()[0].id());
    assert_eq!(create().send().await.unwrap().task_set.unwrap().id(), set.id());
    assert_eq!(server.events(), before);
    let new = create().client_token("another").send().await;
    assert_eq!(refused(new).0, "ClientException");
    let other = rolling().desired_count(2).send().await;
    let message = "Creation of service was not idempotent.";
    assert_eq!(refused(other), pair("InvalidParameterException", message));

    let delete = client.delete_service().service("web").force(true);
    delete.send().await.unwrap();
    assert_eq!(refused(create().send().await).0, "ServiceNotActiveException");
}

/// The controller saw that its tasks are gone.
fn gone(server: &Server, id: DeploymentId) {
    let version = server.store.view().service(&key()).unwrap().version;
    let set = TaskSetProgress { id, back_off: None, steady: None, gone: true, events: Vec::new() };
    let (sets, events) = (vec![set], Vec::new());
    server.propose(Command::RecordTaskSets { service: key(), version, sets, steady: None, events });
}
