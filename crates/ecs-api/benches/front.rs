//! How long reads take at 64 connections while there are 1,000 tasks, and while there are 100,000: the budget for p99 is 1.5 times.
//! The two take turns, and the median of the rounds counts. And what checking signatures costs. The front is the real one, over HTTP; the store behind it is in memory, so that the front
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
const WARM_UP: Duration = Duration::from_millis(200);
const MEASURED: Duration = Duration::from_secs(1);
/// Odd, so that a median is a measurement.
const ROUNDS: usize = 9;
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

fn median<T: Copy + PartialOrd>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|one, other| one.partial_cmp(other).unwrap());
    values[values.len() / 2]
}

/// The same calls in turn to two servers, and who begins changes from round to round: what slows the machine meets both.
struct Turns {
    rounds: Vec<(Times, Times)>,
}

impl Turns {
    async fn take(one: (&Server, &Case), other: (&Server, &Case)) -> Self {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            rounds.push(if round % 2 == 0 {
                let first = measure(one.0, one.1).await;
                (first, measure(other.0, other.1).await)
            } else {
                let first = measure(other.0, other.1).await;
                (measure(one.0, one.1).await, first)
            });
        }
        Self { rounds }
    }

    fn median_of<T: Copy + PartialOrd>(&self, of: impl Fn(&Times, &Times) -> T) -> T {
        median(self.rounds.iter().map(|(one, other)| of(one, other)))
    }
}

#[tokio::main]
async fn main() {
    let (few, many) = (Server::start().await, Server::start().await);
    prepare(&few, FEW).await;
    prepare(&many, MANY).await;
    println!(
        "{CONNECTIONS} connections, signed; medians of {ROUNDS} rounds of {MEASURED:?} each, which take turns; p50 and p99 in ms \
         with {FEW} and {MANY} tasks; p99's ratio, and its least and greatest"
    );
    let mut worst: f64 = 0.0;
    for (small, large) in cases(&few).iter().zip(&cases(&many)) {
        let turns = Turns::take((&few, small), (&many, large)).await;
        let ratio = |one: &Times, other: &Times| millis(other.p99) / millis(one.p99);
        let all = || turns.rounds.iter().map(|(one, other)| ratio(one, other));
        let middle = turns.median_of(ratio);
        worst = worst.max(middle);
        println!(
            "{:<28} {:>7.2} {:>7.2} | {:>7.2} {:>7.2} | p99 x {middle:.2} ({:.2} to {:.2}) | {:>6} and {:>6} calls",
            small.name,
            millis(turns.median_of(|one, _| one.p50)),
            millis(turns.median_of(|one, _| one.p99)),
            millis(turns.median_of(|_, other| other.p50)),
            millis(turns.median_of(|_, other| other.p99)),
            all().fold(f64::INFINITY, f64::min),
            all().fold(0.0, f64::max),
            turns.median_of(|one, _| one.calls),
            turns.median_of(|_, other| other.calls),
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
    let turns = Turns::take((signed, &case), (&open, &case)).await;
    let each = |calls: usize| MEASURED.as_secs_f64() / calls as f64;
    println!(
        "a signature: {:.1} us a call ({} calls with, {} without, in {MEASURED:?}; medians)",
        turns.median_of(|with, without| each(with.calls) - each(without.calls)) * 1e6,
        turns.median_of(|with, _| with.calls),
        turns.median_of(|_, without| without.calls),
    );
}
