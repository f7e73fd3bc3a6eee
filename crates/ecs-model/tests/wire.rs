//! What goes over the wire: names, absent members, times, enums, and what is refused.

use serde_json::{from_value, json, to_value};
use trireme_ecs_model::EpochSeconds;
use trireme_ecs_model::shapes::{
    CapacityProviderField, Cluster, ContainerDefinition, CreateClusterRequest, ExecuteCommandResponse,
    HookDetails, KeyValuePair, LaunchType, ListClustersRequest, NetworkMode, RegisterTaskDefinitionRequest,
    RunTaskRequest, Session, Task,
};

#[test]
fn a_request_reads_with_the_models_names() {
    let document = json!({
        "cluster": "default",
        "taskDefinition": "web:1",
        "launchType": "EC2",
        "enableECSManagedTags": true,
        "count": 2,
        "overrides": {"containerOverrides": [{"name": "app", "environment": [{"name": "A", "value": "1"}]}]},
        "tags": []
    });
    let request: RunTaskRequest = from_value(document.clone()).unwrap();
    assert_eq!(request.task_definition.as_deref(), Some("web:1"));
    assert_eq!(request.launch_type, Some(LaunchType::Ec2));
    assert_eq!(request.enable_ecs_managed_tags, Some(true));
    assert_eq!(request.count, Some(2));
    assert_eq!(request.tags, Some(Vec::new()), "empty is not absent");
    assert_eq!(request.group, None);
    assert_eq!(to_value(&request).unwrap(), document);
}

#[test]
fn a_task_definition_survives_the_round_trip() {
    let document = json!({
        "family": "web",
        "networkMode": "bridge",
        "containerDefinitions": [{
            "name": "app",
            "image": "nginx",
            "memory": 64,
            "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
            "dockerLabels": {"a": "1", "b": "2"},
            "healthCheck": {"command": ["CMD", "true"], "interval": 5}
        }],
        "volumes": [{"name": "data", "host": {"sourcePath": "/srv"}}]
    });
    let request: RegisterTaskDefinitionRequest = from_value(document.clone()).unwrap();
    assert_eq!(request.network_mode, Some(NetworkMode::Bridge));
    assert_eq!(to_value(&request).unwrap(), document);
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<RegisterTaskDefinitionRequest>(&text).unwrap(), request);
}

#[test]
fn null_is_absent_and_unknown_members_are_ignored() {
    let request: CreateClusterRequest =
        from_value(json!({"clusterName": null, "newMember": {"deep": [1, 2]}})).unwrap();
    assert_eq!(request, CreateClusterRequest::default());
    assert_eq!(to_value(&request).unwrap(), json!({}));
}

#[test]
fn times_are_numbers_to_the_millisecond() {
    let at = EpochSeconds::from_millis(1_700_000_000_123);
    let task = Task { created_at: Some(at), ..Task::default() };
    assert_eq!(serde_json::to_string(&task).unwrap(), r#"{"createdAt":1700000000.123}"#);
    assert_eq!(serde_json::to_string(&EpochSeconds::from_millis(1_700_000_000_000)).unwrap(), "1700000000");
    assert_eq!(serde_json::to_string(&EpochSeconds(1.000_499)).unwrap(), "1");
    let read: Task = serde_json::from_str(r#"{"createdAt":1.700000000123E9}"#).unwrap();
    assert_eq!(read.created_at.unwrap().as_millis(), 1_700_000_000_123);
    let read: Task = serde_json::from_str(r#"{"createdAt":1700000000}"#).unwrap();
    assert_eq!(read.created_at.unwrap().as_millis(), 1_700_000_000_000);
}

#[test]
fn wrong_types_are_refused() {
    for document in [
        json!({"count": "2"}),
        json!({"count": 2.5}),
        json!({"count": 3_000_000_000_u32}),
        json!({"cluster": 1}),
        json!({"launchType": 1}),
        json!({"tags": {}}),
        json!({"overrides": []}),
        json!([]),
        json!("text"),
    ] {
        assert!(from_value::<RunTaskRequest>(document.clone()).is_err(), "{document}");
    }
}

#[test]
fn an_enum_keeps_what_it_does_not_know() {
    let request: RunTaskRequest = from_value(json!({"launchType": "MOON"})).unwrap();
    assert_eq!(request.launch_type, Some(LaunchType::Other("MOON".to_owned())));
    assert_eq!(to_value(&request).unwrap(), json!({"launchType": "MOON"}));
    assert_eq!("EC2".parse(), Ok(LaunchType::Ec2));
    assert!("MOON".parse::<LaunchType>().is_err());
    assert!(LaunchType::ALL.iter().all(|value| LaunchType::from(value.as_str()) == *value));
    assert_eq!(CapacityProviderField::Tags.as_str(), "TAGS");
}

#[test]
fn a_document_member_is_any_json() {
    let details: HookDetails = json!({"a": [1, null, "x"]});
    assert_eq!(to_value(&details).unwrap(), details);
}

#[test]
fn debug_hides_secrets() {
    let pair = KeyValuePair { name: Some("PASSWORD".to_owned()), value: Some("hunter2".to_owned()) };
    let container = ContainerDefinition { environment: Some(vec![pair]), ..ContainerDefinition::default() };
    let request =
        RegisterTaskDefinitionRequest { container_definitions: Some(vec![container]), ..Default::default() };
    assert!(!format!("{request:?}").contains("hunter2"));
    let session = Session { token_value: Some("hunter2".to_owned()), ..Session::default() };
    assert!(
        !format!("{:?}", ExecuteCommandResponse { session: Some(session), ..Default::default() })
            .contains("hunter2")
    );
}

#[test]
fn empty_structures_are_objects() {
    assert_eq!(serde_json::to_string(&ListClustersRequest::default()).unwrap(), "{}");
    assert_eq!(serde_json::to_string(&Cluster::default()).unwrap(), "{}");
}
