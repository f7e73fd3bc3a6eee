//! What the model forbids is found, with its path.

use serde_json::{Value, from_value, json};
use trireme_ecs_model::shapes::{
    CreateServiceRequest, ListClustersRequest, RegisterTaskDefinitionRequest, RunTaskRequest,
    TagResourceRequest,
};
use trireme_ecs_model::{Request, Violation, ViolationKind};

#[allow(clippy::unwrap_used, reason = "a test's own documents are well typed")]
fn violations<R: Request>(document: Value) -> Vec<Violation> {
    from_value::<R>(document).unwrap().violations()
}

fn texts<R: Request>(document: Value) -> Vec<String> {
    violations::<R>(document).iter().map(ToString::to_string).collect()
}

#[test]
fn a_valid_request_has_none() {
    assert_eq!(violations::<RunTaskRequest>(json!({"taskDefinition": "web"})), []);
    assert_eq!(violations::<ListClustersRequest>(json!({})), []);
}

#[test]
fn required_members() {
    assert_eq!(
        violations::<RunTaskRequest>(json!({})),
        [Violation { path: "taskDefinition".to_owned(), kind: ViolationKind::Required }]
    );
    assert_eq!(
        texts::<RegisterTaskDefinitionRequest>(json!({})),
        ["family: must not be null", "containerDefinitions: must not be null"]
    );
}

#[test]
fn nested_paths() {
    let found = texts::<RegisterTaskDefinitionRequest>(json!({
        "family": "web",
        "containerDefinitions": [{}, {"portMappings": [{}, {"protocol": "icmp"}]}]
    }));
    assert_eq!(
        found,
        ["containerDefinitions[1].portMappings[1].protocol: \"icmp\" is not one of [tcp, udp]"]
    );
}

#[test]
fn enums_name_what_is_allowed() {
    let found = violations::<RunTaskRequest>(json!({"taskDefinition": "web", "launchType": "MOON"}));
    let [Violation { path, kind: ViolationKind::NotNamed { value, allowed } }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((path.as_str(), value.as_str()), ("launchType", "MOON"));
    assert!(allowed.contains(&"FARGATE"));
}

#[test]
fn numbers_have_ranges() {
    let found = texts::<CreateServiceRequest>(json!({
        "serviceName": "web",
        "capacityProviderStrategy": [{"capacityProvider": "a", "weight": 1001, "base": -1}]
    }));
    assert_eq!(
        found,
        [
            "capacityProviderStrategy[0].weight: is 1001, must be between 0 and 1000",
            "capacityProviderStrategy[0].base: is -1, must be between 0 and 100000"
        ]
    );
}

#[test]
fn strings_and_lists_have_lengths() {
    let tags: Vec<Value> = (0..51).map(|n| json!({"key": format!("k{n}"), "value": ""})).collect();
    assert_eq!(
        texts::<TagResourceRequest>(json!({"resourceArn": "x", "tags": tags})),
        ["tags: has length 51, must have at most 50"]
    );
    assert_eq!(
        texts::<TagResourceRequest>(
            json!({"resourceArn": "x", "tags": [{"key": "", "value": "é".repeat(256)}]})
        ),
        ["tags[0].key: has length 0, must have between 1 and 128"]
    );
}

#[test]
fn strings_have_patterns() {
    let tag = |key: &str| json!({"resourceArn": "x", "tags": [{"key": key}]});
    assert_eq!(violations::<TagResourceRequest>(tag("Größe 1_.:/=+-@ 名")), []);
    let found = violations::<TagResourceRequest>(tag("a#b"));
    assert!(matches!(found.as_slice(), [Violation { kind: ViolationKind::Pattern { .. }, .. }]), "{found:?}");
    assert_eq!(violations::<TagResourceRequest>(tag("a\tb")).len(), 1, "a tab is no separator");
}

#[test]
fn unions_have_one_member() {
    let found = violations::<trireme_ecs_model::shapes::CreateGatewayRequest>(json!({"configuration": {}}));
    let union = found.iter().any(|violation| violation.kind == ViolationKind::Union { set: 0 });
    assert!(union, "{found:?}");
}
