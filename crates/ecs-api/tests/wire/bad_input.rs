//! Bad input: the right type, message and status, soon, and nothing changed.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;

use crate::raw::{self, Signing, send, signed};
use crate::server::Server;

/// Far less than an operation may take.
const SOON: Duration = Duration::from_secs(10);
const NULL: &str = "failed to satisfy constraint: Member must not be null";

/// Operation, body, error type, and what the message holds.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("ListClusters", "{", "SerializationException", "EOF while parsing"),
    ("ListClusters", "[]", "SerializationException", "expected structure"),
    ("ListClusters", "nonsense", "SerializationException", "expected"),
    ("ListClusters", r#"{"maxResults":"many"}"#, "SerializationException", "invalid type"),
    ("RunTask", r#"{"taskDefinition":"a","count":99999999999}"#, "SerializationException", "invalid value"),
    ("Nope", "{}", "UnknownOperationException", "AmazonEC2ContainerServiceV20141113.Nope is not known"),
    ("RunTask", "{}", "InvalidParameterException", "Value null at 'taskDefinition'"),
    ("CreateService", "{}", "InvalidParameterException", NULL),
    ("RegisterTaskDefinition", r#"{"family":"a"}"#, "ClientException", "'containerDefinitions'"),
    (
        "RegisterTaskDefinition",
        r#"{"family":"a","containerDefinitions":[]}"#,
        "ClientException",
        "Container list cannot be empty.",
    ),
    (
        "RegisterTaskDefinition",
        r#"{"family":"a b","containerDefinitions":[{"name":"a","image":"b","memory":64}]}"#,
        "ClientException",
        "Family must contain only letters, numbers, hyphens and underscores.",
    ),
    (
        "RegisterTaskDefinition",
        r#"{"family":"a","containerDefinitions":[{"name":"a","image":"b"}]}"#,
        "ClientException",
        "Invalid setting for container 'a'. At least one of 'memory' or 'memoryReservation' must be specified.",
    ),
    (
        "RunTask",
        r#"{"taskDefinition":"a","launchType":"MOON"}"#,
        "InvalidParameterException",
        "Value 'MOON' at 'launchType' failed to satisfy constraint: Member must satisfy enum value set: [EC2,",
    ),
    (
        "CreateCluster",
        r#"{"clusterName":"a b"}"#,
        "InvalidParameterException",
        "Cluster name must contain only letters, ",
    ),
    (
        "CreateCluster",
        r#"{"clusterName":"a","capacityProviders":["machines"]}"#,
        "InvalidParameterException",
        "The specified capacity provider machines was not found.",
    ),
    (
        "CreateCluster",
        r#"{"clusterName":"a","settings":[{"name":"containerInsights","value":"on"}]}"#,
        "InvalidParameterException",
        "Setting value on is invalid.",
    ),
    (
        "UpdateClusterSettings",
        r#"{"cluster":"nope","settings":[]}"#,
        "InvalidParameterException",
        "Settings cannot",
    ),
    ("UpdateCluster", r#"{"cluster":"nope"}"#, "ClusterNotFoundException", "Cluster not found."),
    (
        "UpdateCluster",
        r#"{"cluster":"default","configuration":{"executeCommandConfiguration":{"logging":"OVERRIDE"}}}"#,
        "InvalidParameterException",
        "logConfiguration is required",
    ),
    (
        "PutClusterCapacityProviders",
        r#"{"cluster":"default","capacityProviders":[],"defaultCapacityProviderStrategy":[{"capacityProvider":"FARGATE","weight":1}]}"#,
        "InvalidParameterException",
        "is not associated with the cluster",
    ),
    (
        "CreateCapacityProvider",
        r#"{"name":"fargate-x","autoScalingGroupProvider":{"autoScalingGroupArn":"g"}}"#,
        "InvalidParameterException",
        "The specified capacity provider name is invalid.",
    ),
    (
        "CreateCapacityProvider",
        r#"{"name":"x"}"#,
        "InvalidParameterException",
        "must have an autoScalingGroup",
    ),
    (
        "CreateCapacityProvider",
        r#"{"name":"x","managedInstancesProvider":{}}"#,
        "InvalidParameterException",
        NULL,
    ),
    ("UpdateCapacityProvider", r#"{"name":"FARGATE"}"#, "InvalidParameterException", "cannot be updated"),
    ("DeleteCapacityProvider", r#"{"capacityProvider":"nope"}"#, "ClientException", "does not exist"),
    (
        "DeleteCapacityProvider",
        r#"{"capacityProvider":"FARGATE"}"#,
        "InvalidParameterException",
        "is reserved",
    ),
    (
        "DeleteTaskDefinitions",
        r#"{"taskDefinitions":["web"]}"#,
        "InvalidParameterException",
        "The revision is missing",
    ),
    ("PutAttributes", r#"{"attributes":[]}"#, "InvalidParameterException", "Attributes cannot be empty."),
    (
        "PutAttributes",
        r#"{"attributes":[{"name":"stack","targetId":"nope"}]}"#,
        "TargetNotFoundException",
        "The specified target nope was not found",
    ),
    (
        "PutAttributes",
        r#"{"attributes":[{"name":"ecs.os-type","targetId":"nope"}]}"#,
        "InvalidParameterException",
        "is reserved",
    ),
    (
        "ListAttributes",
        r#"{"targetType":"container-instance","attributeValue":"x"}"#,
        "InvalidParameterException",
        "together with attributeName",
    ),
    (
        "PutAccountSetting",
        r#"{"name":"containerInsights","value":"on"}"#,
        "InvalidParameterException",
        "The value on is not valid",
    ),
    (
        "PutAccountSetting",
        r#"{"name":"containerInsights","value":"enabled","principalArn":"arn:aws:iam::999999999999:user/x"}"#,
        "InvalidParameterException",
        "is not valid: it names this account's",
    ),
    (
        "UpdateTaskProtection",
        r#"{"cluster":"default","tasks":[],"protectionEnabled":true}"#,
        "InvalidParameterException",
        "Tasks cannot",
    ),
    (
        "UpdateContainerAgent",
        r#"{"containerInstance":"nope"}"#,
        "InvalidParameterException",
        "container instance was not found",
    ),
    ("ListServices", r#"{"cluster":"nope"}"#, "ClusterNotFoundException", "Cluster not found."),
    ("ListTasks", r#"{"cluster":"nope"}"#, "ClusterNotFoundException", "Cluster not found."),
    ("DescribeServices", r#"{"services":[]}"#, "InvalidParameterException", "Services cannot be empty."),
    ("DescribeTasks", r#"{"tasks":[]}"#, "InvalidParameterException", "Tasks cannot be empty."),
    ("ListTasks", r#"{"maxResults":101}"#, "InvalidParameterException", "maxResults must be between"),
    ("ListTasks", r#"{"serviceName":"nope"}"#, "ServiceNotFoundException", "Service not found."),
    ("DeleteDaemon", "{}", "UnsupportedFeatureException", "DeleteDaemon is not supported yet"),
    ("CreateDaemon", "not even JSON", "UnsupportedFeatureException", "CreateDaemon is not supported yet"),
];

async fn server() -> Server {
    let server = Server::start().await;
    server.client().create_cluster().send().await.unwrap();
    server
}

#[tokio::test]
async fn the_table() {
    let server = server().await;
    let before = server.events();
    for (operation, body, code, message) in TABLE {
        let started = Instant::now();
        let answer = raw::call(&server, operation, body).await;
        assert!(started.elapsed() < SOON, "{operation} {body}");
        let (status, found, text) = answer.error();
        assert_eq!((status, found.as_str()), (400, *code), "{operation} {body}: {text}");
        assert!(text.contains(message), "{operation} {body}: {text}");
    }
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn content_type_and_target() {
    let server = server().await;
    let before = server.events();
    let target = ("x-amz-target", "AmazonEC2ContainerServiceV20141113.CreateCluster");
    let json = ("content-type", "application/x-amz-json-1.1");
    let answer = async |headers: &[(&str, &str)]| {
        send(signed(&server, headers, "{}", &Signing::default())).await.error()
    };
    let wrong = answer(&[target, ("content-type", "text/plain")]).await;
    assert_eq!(wrong.1, "SerializationException");
    assert_eq!(wrong.2, "The Content-Type must be application/x-amz-json-1.1.");
    assert_eq!(answer(&[target]).await.1, "SerializationException");
    assert_eq!(answer(&[json]).await.1, "UnknownOperationException");
    assert_eq!(answer(&[json, ("x-amz-target", "Other.CreateCluster")]).await.1, "UnknownOperationException");
    assert_eq!(server.events(), before);
    assert_eq!(send(signed(&server, &[target, json], "{}", &Signing::default())).await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let server = server().await;
    let before = server.events();
    let started = Instant::now();
    let body = format!(r#"{{"clusterName":"{}"}}"#, "a".repeat(2 * trireme_ecs_api::BODY_LIMIT));
    let (status, code, message) = raw::call(&server, "CreateCluster", &body).await.error();
    assert_eq!((status, code.as_str()), (413, "RequestEntityTooLargeException"));
    assert_eq!(message, "The request's body is larger than 1048576 bytes.");
    // Without an announced length it is found out while reading.
    let chunks = (0..64).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 32 * 1024]));
    let stream = Body::from_stream(futures_util::stream::iter(chunks));
    let request = Request::post(server.url()).body(stream).unwrap();
    assert_eq!(send(request).await.error().0, 413);
    assert!(started.elapsed() < SOON);
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn other_methods_and_paths() {
    let server = server().await;
    let request = |method: &str, path: &str| {
        let uri = format!("{}{path}", server.url());
        Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
    };
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let (status, code, _) = send(request(method, "/")).await.error();
        assert_eq!((status, code.as_str()), (405, "UnknownOperationException"), "{method}");
    }
    let (status, code, message) = send(request("POST", "/ecs")).await.error();
    assert_eq!((status, code.as_str()), (404, "UnknownOperationException"));
    assert_eq!(message, "There is nothing at /ecs; requests go to /.");
}

#[tokio::test]
async fn answers_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Each test has a process of its own under nextest; elsewhere another may have come first.
    if metrics::set_global_recorder(recorder).is_err() {
        return;
    }
    trireme_ecs_api::describe_metrics();
    let server = server().await;
    raw::call(&server, "ListServices", r#"{"cluster":"nope"}"#).await;
    let text = handle.render();
    let ok = r#"trireme_api_requests_total{operation="CreateCluster",code="OK"} 1"#;
    let failed = r#"trireme_api_requests_total{operation="ListServices",code="ClusterNotFoundException"} 1"#;
    assert!(text.contains(ok) && text.contains(failed), "{text}");
    assert!(text.contains("trireme_api_request_seconds"), "{text}");
}

#[tokio::test]
async fn a_defect_answers_and_leaves_the_connection() {
    struct Broken;
    impl trireme_ecs_api::Clock for Broken {
        fn now(&self) -> trireme_types::Timestamp {
            panic!("a clock that is broken on purpose");
        }
    }
    let server = Server::with_clock(std::sync::Arc::new(Broken)).await;
    for _ in 0..2 {
        let (status, code, message) = raw::call(&server, "ListClusters", "{}").await.error();
        assert_eq!((status, code.as_str()), (500, "ServerException"));
        assert!(message.starts_with("Internal error."), "{message}");
    }
}
