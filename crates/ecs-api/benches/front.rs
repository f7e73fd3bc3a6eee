//! How long reads take at 64 connections while there are 1,000 tasks, and while there are 100,000: the budget for p99 is 1.5 times.
//! And what checking signatures costs. The front is the real one, over HTTP; the store behind it is in memory, so that the front
//! alone is measured. `cargo bench -p trireme-ecs-api`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a program for developers, which shares the tests' server"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use trireme_state::Command;
use trireme_state::Placement;
use trireme_state::object::{ClusterKey, ServiceKey};
use trireme_state::store::Store as _;
use trireme_types::{ClusterName, Scope, ServiceName, SessionEpoch};

#[path = "../tests/wire/raw.rs"]
mod raw;
#[path = "../tests/wire/server.rs"]
mod server;

use server::Server;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
const TASKS_PER_SERVICE: usize = 100;
const FEW: usize = 1_000;
const MANY: usize = 100_000;

/// Services of 100 tasks each, on instances of 800.
fn fill(server: &Server, tasks: usize) {
    let instances: Vec<_> = (0..tasks.div_ceil(800))
        .map(|number| {
            let zone = ["us-east-1a", "us-east-1b", "us-east-1c"][number % 3];
            server.add_instance(zone, 1_000_000, 1_000_000)
        })
        .collect();
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() };
    for number in 0..tasks / TASKS_PER_SERVICE {
        let name = ServiceName::new(&format!("service-{number}")).unwrap();
        let service = ServiceKey { cluster: cluster.clone(), name };
        let view = server.store.view();
        let found = view.service(&service).unwrap();
        let place = |index: usize| Placement {
            instance: instances[(number * TASKS_PER_SERVICE + index) / 800],
            epoch: SessionEpoch::new(1),
        };
        server.propose(Command::StartServiceTasks {
            service,
            version: found.version,
            deployment: found.deployments[0].id,
            placements: (0..TASKS_PER_SERVICE).map(place).collect(),
        });
    }
}

async fn prepare(server: &Server, tasks: usize) {
    let definition =
        r#"{"family":"web","containerDefinitions":[{"name":"app","image":"b","cpu":1,"memory":6}]}"#;
    assert_eq!(raw::call(server, "RegisterTaskDefinition", definition).await.status, 200);
    assert_eq!(raw::call(server, "CreateCluster", "{}").await.status, 200);
    for number in 0..tasks / TASKS_PER_SERVICE {
        let body = format!(
            r#"{{"serviceName":"service-{number}","taskDefinition":"web","desiredCount":{TASKS_PER_SERVICE}}}"#
        );
        assert_eq!(raw::call(server, "CreateService", &body).await.status, 200);
    }
    fill(server, tasks);
    assert_eq!(server.store.view().tasks().count(), tasks);
}

/// A call and its name.
struct Case {
    name: &'static str,
    operation: &'static str,
    body: String,
}

fn cases(server: &Server) -> Vec<Case> {
    let view = server.store.view();
    let services: Vec<String> = (0..10).map(|number| format!("\"service-{number}\"")).collect();
    let every = view.tasks().count() / 100;
    let tasks: Vec<String> =
        view.tasks().step_by(every).take(100).map(|task| format!("\"{}\"", task.id)).collect();
    let instance = view.instances().next().unwrap().id;
    let started_by = view.tasks().next().unwrap().started_by.clone().unwrap();
    let case = |name, operation, body| Case { name, operation, body };
    let list = |name, filter: String| case(name, "ListTasks", format!("{{{filter}}}"));
    vec![
        case(
            "DescribeServices of 10",
            "DescribeServices",
            format!(r#"{{"services":[{}]}}"#, services.join(",")),
        ),
        case("DescribeTasks of 100", "DescribeTasks", format!(r#"{{"tasks":[{}]}}"#, tasks.join(","))),
        list("ListTasks", String::new()),
        list("ListTasks family", r#""family":"web""#.to_owned()),
        list("ListTasks serviceName", r#""serviceName":"service-7""#.to_owned()),
        list("ListTasks startedBy", format!(r#""startedBy":"{started_by}""#)),
        list("ListTasks containerInstance", format!(r#""containerInstance":"{instance}""#)),
        list("ListTasks desiredStatus", r#""desiredStatus":"STOPPED""#.to_owned()),
        list("ListTasks launchType", r#""launchType":"EC2""#.to_owned()),
        list(
            "ListTasks all",
            format!(r#""family":"web","serviceName":"service-7","containerInstance":"{instance}""#),
        ),
    ]
}

/// What of the answers' times is told.
#[derive(Clone, Copy)]
struct Times {
    calls: usize,
    p50: Duration,
    p99: Duration,
}

async fn measure(server: &Server, case: &Case) -> Times {
    let target = format!("AmazonEC2ContainerServiceV20141113.{}", case.operation);
    let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
    let signed = raw::signed(server, &headers, case.body.clone(), &raw::Signing::default());
    let (parts, _) = signed.into_parts();
    let parts = Arc::new((parts.uri, parts.headers, case.body.clone()));
    let clients = (0..CONNECTIONS).map(|_| tokio::spawn(one_connection(parts.clone())));
    let mut times: Vec<Duration> = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.extend(client.await.unwrap());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Times { calls: times.len(), p50: at(0.5), p99: at(0.99) }
}

async fn one_connection(request: Arc<(http::Uri, http::HeaderMap, String)>) -> Vec<Duration> {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < WARM_UP + MEASURED {
        let mut next = Request::post(request.0.clone()).body(Body::from(request.2.clone())).unwrap();
        *next.headers_mut() = request.1.clone();
        let asked = Instant::now();
        let answer = client.request(next).await.unwrap();
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        if began.elapsed() > WARM_UP {
            times.push(asked.elapsed());
        }
    }
    times
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[tokio::main]
async fn main() {
    let (few, many) = (Server::start().await, Server::start().await);
    prepare(&few, FEW).await;
    prepare(&many, MANY).await;
    println!(
        "{CONNECTIONS} connections, {MEASURED:?} each, signed; p50 and p99 in ms with {FEW} and {MANY} tasks"
    );
    let mut worst: f64 = 0.0;
    for (small, large) in cases(&few).iter().zip(&cases(&many)) {
        let (one, other) = (measure(&few, small).await, measure(&many, large).await);
        let ratio = millis(other.p99) / millis(one.p99);
        worst = worst.max(ratio);
        println!(
            "{:<28} {:>7.2} {:>7.2} | {:>7.2} {:>7.2} | p99 x {ratio:.2} | {:>6} and {:>6} calls",
            small.name,
            millis(one.p50),
            millis(one.p99),
            millis(other.p50),
            millis(other.p99),
            one.calls,
            other.calls
        );
    }
    println!("worst ratio of p99: {worst:.2} (budget 1.5)");
    overhead(&few).await;
}

/// The same call with and without a signature to check.
async fn overhead(signed: &Server) {
    let open = Server::without_auth().await;
    prepare(&open, FEW).await;
    let case = Case { name: "ListClusters", operation: "ListClusters", body: "{}".to_owned() };
    let (checked, unchecked) = (measure(signed, &case).await, measure(&open, &case).await);
    println!(
        "a signature: {:.1} us a call ({} calls with, {} without, in {MEASURED:?})",
        (MEASURED.as_secs_f64() / checked.calls as f64 - MEASURED.as_secs_f64() / unchecked.calls as f64)
            * 1e6,
        checked.calls,
        unchecked.calls
    );
}
