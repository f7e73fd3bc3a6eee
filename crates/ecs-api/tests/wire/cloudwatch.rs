//! CloudWatch: requests as boto3 sends them, by hand, for the SDK for Rust speaks another protocol to it.

use std::io::Write as _;

use serde_json::{Value, json};
use trireme_state::object::AlarmKey;
use trireme_state::store::Store;
use trireme_state::{Command, FeatureLevel};
use trireme_types::Scope;

use crate::raw::{Answer, Signing, send, signed};
use crate::server::Server;

async fn start() -> Server {
    let server = Server::start().await;
    server.propose(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST });
    server
}

async fn post(server: &Server, operation: &str, body: impl Into<Vec<u8>>, more: &[(&str, &str)]) -> Answer {
    let target = format!("GraniteServiceVersion20100801.{operation}");
    let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.0")];
    let signing = Signing { service: "monitoring".to_owned(), ..Signing::default() };
    send(signed(server, &[&headers, more].concat(), body, &signing)).await
}

async fn call(server: &Server, operation: &str, body: Value) -> Answer {
    post(server, operation, body.to_string(), &[("x-amzn-query-mode", "true")]).await
}

async fn done(server: &Server, operation: &str, body: Value) -> Value {
    let answer = call(server, operation, body.clone()).await;
    assert_eq!(answer.status, 200, "{operation} {body}: {}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.0");
    answer.json()
}

/// Status, type, and the Query protocol's name of it.
async fn refused(server: &Server, operation: &str, body: Value) -> (u16, String, String) {
    let before = server.events();
    let answer = call(server, operation, body.clone()).await;
    assert_eq!(server.events(), before, "{operation} {body} was refused and changed something");
    let (status, kind, message) = answer.error();
    assert!(!message.is_empty(), "{operation} {body}");
    (status, kind, answer.headers["x-amzn-query-error"].to_str().unwrap().to_owned())
}

/// Seconds since 1970.
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn datum(name: &str, value: f64, host: &str) -> Value {
    json!({"MetricName": name, "Value": value, "Unit": "Count", "Dimensions": [{"Name": "Host", "Value": host}]})
}

fn span() -> (f64, f64) {
    (now() - 600.0, now() + 60.0)
}

fn alarm(name: &str) -> Value {
    json!({
        "AlarmName": name, "Namespace": "App", "MetricName": "Queue", "Statistic": "Average", "Period": 60,
        "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 5.5, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching", "Dimensions": [{"Name": "Host", "Value": "a"}],
        "AlarmActions": ["arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1"], "OKActions": ["arn:aws:sns:x"],
        "AlarmDescription": "too long", "Tags": [{"Key": "team", "Value": "web"}],
    })
}

#[tokio::test]
async fn what_is_put_is_listed_and_told() {
    let server = start().await;
    let data = json!([
        datum("Queue", 4.0, "a"),
        datum("Queue", 8.0, "a"),
        datum("Queue", 1.0, "b"),
        {"MetricName": "Latency", "Values": [1.0, 3.0], "Counts": [3.0, 1.0], "Unit": "Seconds", "StorageResolution": 1},
    ]);
    done(&server, "PutMetricData", json!({"Namespace": "App", "MetricData": data})).await;

    let listed = done(&server, "ListMetrics", json!({"Namespace": "App"})).await;
    assert_eq!(listed["Metrics"].as_array().unwrap().len(), 3);
    let of_host = json!({"MetricName": "Queue", "Dimensions": [{"Name": "Host", "Value": "b"}], "RecentlyActive": "PT3H"});
    let listed = done(&server, "ListMetrics", of_host).await;
    let expected =
        json!([{"Namespace": "App", "MetricName": "Queue", "Dimensions": [{"Name": "Host", "Value": "b"}]}]);
    assert_eq!(listed["Metrics"], expected);

    let (start, end) = span();
    let asked = json!({
        "Namespace": "App", "MetricName": "Queue", "Dimensions": [{"Name": "Host", "Value": "a"}],
        "StartTime": start, "EndTime": end, "Period": 3600, "Statistics": ["Average", "Maximum", "SampleCount"],
    });
    let told = done(&server, "GetMetricStatistics", asked).await;
    let points = told["Datapoints"].as_array().unwrap();
    let sum = |name: &str| points.iter().map(|point| point[name].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum("SampleCount"), 2.0, "{told}");
    assert_eq!((&points[0]["Unit"], &points[0]["Sum"]), (&json!("Count"), &Value::Null));

    let stat = |stat: &str| json!({"Metric": {"Namespace": "App", "MetricName": "Latency"}, "Period": 300, "Stat": stat});
    let queries = json!([
        {"Id": "a", "MetricStat": stat("Sum"), "Label": "all"},
        {"Id": "b", "MetricStat": stat("Maximum"), "ReturnData": false},
    ]);
    let asked = json!({"MetricDataQueries": queries, "StartTime": start, "EndTime": end});
    let told = done(&server, "GetMetricData", asked).await;
    let results = told["MetricDataResults"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{told}");
    assert_eq!((&results[0]["Values"], &results[0]["Label"]), (&json!([6.0]), &json!("all")));
    assert_eq!(results[0]["StatusCode"], "Complete");
}

#[tokio::test]
async fn compressed_bodies_are_taken_and_bombs_are_not() {
    let server = start().await;
    let gzip = |bytes: &[u8]| {
        let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packing.write_all(bytes).unwrap();
        packing.finish().unwrap()
    };
    let more = [("content-encoding", "gzip")];
    let body = json!({"Namespace": "App", "MetricData": [datum("Queue", 4.0, "a")]}).to_string();
    let answer = post(&server, "PutMetricData", gzip(body.as_bytes()), &more).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = post(&server, "PutMetricData", gzip(&vec![b' '; 2 * 1024 * 1024]), &more).await;
    assert_eq!(answer.status, 413);
    let answer = post(&server, "PutMetricData", b"no gzip".to_vec(), &more).await;
    assert_eq!(answer.error().1, "SerializationException");
}

#[tokio::test]
async fn an_alarm_is_put_described_set_and_deleted() {
    let server = start().await;
    done(&server, "PutMetricAlarm", alarm("high")).await;
    let described = done(&server, "DescribeAlarms", json!({"AlarmNamePrefix": "hi"})).await;
    let known = &described["MetricAlarms"][0];
    let arn = known["AlarmArn"].as_str().unwrap();
    assert!(arn.ends_with(":alarm:high") && arn.starts_with("arn:aws:cloudwatch:us-east-1:"), "{arn}");
    for (member, value) in [
        ("StateValue", json!("INSUFFICIENT_DATA")),
        ("Threshold", json!(5.5)),
        ("DatapointsToAlarm", json!(2)),
        ("TreatMissingData", json!("notBreaching")),
        ("ActionsEnabled", json!(true)),
        ("OKActions", json!(["arn:aws:sns:x"])),
        ("InsufficientDataActions", json!([])),
        ("AlarmDescription", json!("too long")),
    ] {
        assert_eq!(known[member], value, "{member}");
    }
    let set = json!({"AlarmName": "high", "StateValue": "ALARM", "StateReason": "a test"});
    done(&server, "SetAlarmState", set).await;
    let ringing = done(&server, "DescribeAlarms", json!({"StateValue": "ALARM"})).await;
    assert_eq!(ringing["MetricAlarms"][0]["StateReason"], "a test");
    let of_metric =
        json!({"Namespace": "App", "MetricName": "Queue", "Dimensions": [{"Name": "Host", "Value": "a"}]});
    let found = done(&server, "DescribeAlarmsForMetric", of_metric).await;
    assert_eq!(found["MetricAlarms"].as_array().unwrap().len(), 1);

    let history = done(&server, "DescribeAlarmHistory", json!({"AlarmName": "high"})).await;
    let items = history["AlarmHistoryItems"].as_array().unwrap();
    let summaries: Vec<&str> = items.iter().map(|item| item["HistorySummary"].as_str().unwrap()).collect();
    assert_eq!(summaries, ["Alarm updated from INSUFFICIENT_DATA to ALARM", "Alarm \"high\" created"]);

    done(&server, "DisableAlarmActions", json!({"AlarmNames": ["high"]})).await;
    let described = done(&server, "DescribeAlarms", json!({"AlarmNames": ["high"]})).await;
    assert_eq!(described["MetricAlarms"][0]["ActionsEnabled"], false);
    done(&server, "EnableAlarmActions", json!({"AlarmNames": ["high"]})).await;

    done(&server, "TagResource", json!({"ResourceARN": arn, "Tags": [{"Key": "a", "Value": "b"}]})).await;
    done(&server, "UntagResource", json!({"ResourceARN": arn, "TagKeys": ["team"]})).await;
    let tags = done(&server, "ListTagsForResource", json!({"ResourceARN": arn})).await;
    assert_eq!(tags["Tags"], json!([{"Key": "a", "Value": "b"}]));

    done(&server, "DeleteAlarms", json!({"AlarmNames": ["high", "none"]})).await;
    let key = AlarmKey { scope: Scope::development(), name: "high".to_owned() };
    assert!(server.store.view().alarm(&key).is_none());
}

#[tokio::test]
async fn alarms_and_their_history_come_page_by_page() {
    let server = start().await;
    for n in 0..5 {
        done(&server, "PutMetricAlarm", alarm(&format!("a{n}"))).await;
    }
    for (operation, member, name) in [
        ("DescribeAlarms", "MetricAlarms", "AlarmName"),
        ("DescribeAlarmHistory", "AlarmHistoryItems", "AlarmName"),
    ] {
        let (mut names, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut body = json!({"MaxRecords": 2});
            if !token.is_null() {
                body["NextToken"] = token;
            }
            let page = done(&server, operation, body).await;
            names.extend(page[member].as_array().unwrap().iter().map(|one| one[name].to_string()));
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 5, "{operation}");
        let wrong = refused(&server, operation, json!({"NextToken": "AAAA"})).await;
        assert_eq!(wrong, (400, "InvalidNextToken".to_owned(), "InvalidNextToken;Sender".to_owned()));
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let server = start().await;
    let with = |member: &str, value: Value| {
        let mut body = alarm("high");
        body[member] = value;
        body
    };
    let data = |datum: Value| json!({"Namespace": "App", "MetricData": [datum]});
    let (start, end) = span();
    let stats = |member: &str, value: Value| {
        let mut body = json!({
            "Namespace": "App", "MetricName": "Queue", "StartTime": start, "EndTime": end, "Period": 60,
            "Statistics": ["Sum"],
        });
        body[member] = value;
        body
    };
    let query = |query: Value| json!({"MetricDataQueries": [query], "StartTime": start, "EndTime": end});
    const VALUE: &str = "InvalidParameterValueException";
    const MIX: &str = "InvalidParameterCombinationException";
    const NONE: &str = "MissingRequiredParameterException";
    for (operation, body, expected) in [
        ("PutMetricData", json!({"MetricData": [datum("a", 1.0, "b")]}), NONE),
        ("PutMetricData", json!({"Namespace": "AWS/ECS", "MetricData": [datum("a", 1.0, "b")]}), VALUE),
        ("PutMetricData", data(json!({"MetricName": "a"})), MIX),
        ("PutMetricData", data(json!({"MetricName": "a", "Value": 1.0, "Unit": "Furlongs"})), VALUE),
        ("PutMetricData", data(json!({"MetricName": "a", "Value": 1.0, "Timestamp": now() - 2e6})), VALUE),
        ("PutMetricData", data(json!({"MetricName": "a", "Value": 1.0, "StorageResolution": 5})), VALUE),
        ("PutMetricAlarm", with("Metrics", json!([{"Id": "a"}])), VALUE),
        ("PutMetricAlarm", with("ExtendedStatistic", json!("p99")), VALUE),
        ("PutMetricAlarm", with("Period", json!(7)), VALUE),
        ("PutMetricAlarm", with("EvaluationPeriods", json!(2_000)), MIX),
        ("PutMetricAlarm", with("DatapointsToAlarm", json!(4)), MIX),
        ("PutMetricAlarm", with("Threshold", Value::Null), NONE),
        ("PutMetricAlarm", with("ComparisonOperator", json!("Near")), VALUE),
        ("PutMetricAlarm", with("TreatMissingData", json!("perhaps")), VALUE),
        ("PutMetricAlarm", with("AlarmActions", json!(["me"])), VALUE),
        ("GetMetricStatistics", stats("Period", json!(61)), VALUE),
        ("GetMetricStatistics", stats("ExtendedStatistics", json!(["p99"])), VALUE),
        ("GetMetricStatistics", stats("StartTime", json!(end - 6e5)), MIX),
        ("GetMetricData", query(json!({"Id": "a", "Expression": "b*2"})), VALUE),
        ("GetMetricData", query(json!({"Id": "A"})), VALUE),
        ("ListMetrics", json!({"NextToken": "AAAA"}), "InvalidNextToken"),
        (
            "SetAlarmState",
            json!({"AlarmName": "none", "StateValue": "OK", "StateReason": "x"}),
            "ResourceNotFound",
        ),
        (
            "SetAlarmState",
            json!({"AlarmName": "a", "StateValue": "OK", "StateReason": "x", "StateReasonData": "{"}),
            "InvalidFormatFault",
        ),
        ("ListTagsForResource", json!({"ResourceARN": "arn:aws:sns:x"}), VALUE),
    ] {
        let (_, kind, query_error) = refused(&server, operation, body.clone()).await;
        assert_eq!(kind, expected, "{operation} {body}");
        assert!(query_error.ends_with(";Sender"), "{query_error}");
    }
    let other = refused(&server, "PutDashboard", json!({})).await;
    assert_eq!(other.1, "UnsupportedOperationException");
}
