"""CloudWatch by boto3: metrics that one control node takes and another tells, alarms that follow them, a deployment that fails by one, and
what services use."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from botocore.exceptions import ClientError

from conftest import environment
from services import trireme
from test_schedules import leader
from until import until
from wire import Wire

LIMIT = 60
NAMESPACE = "E2E/CloudWatch"


@pytest.fixture(scope="module")
def nodes(data, cluster):
    """A client of each control node, without the front door before it."""
    zones = json.loads((data / "cluster.json").read_text())["zones"]
    wires = [Wire({**cluster, "AWS_ENDPOINT_URL": f"http://{zone['api']}"}) for zone in zones]
    return [wire.client(service="cloudwatch") for wire in wires]


@pytest.fixture(scope="module")
def cloudwatch(wire: Wire):
    return wire.client(service="cloudwatch")


def span() -> dict:
    now = datetime.now(timezone.utc)
    return {"StartTime": now - timedelta(minutes=10), "EndTime": now + timedelta(minutes=1)}


def put(client, name: str, *values: float, at: datetime | None = None, **datum) -> None:
    when = {"Timestamp": at} if at else {}
    data = [{"MetricName": name, "Value": value, "Unit": "Count", **when, **datum} for value in values]
    client.put_metric_data(Namespace=NAMESPACE, MetricData=data)


def state(client, name: str) -> str:
    return client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]


def refused(code: str, call, **parameters) -> None:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value.response


def test_what_one_control_node_takes_each_other_tells(nodes):
    dimensions = [{"Name": "Host", "Value": "a"}]
    put(nodes[0], "Copied", 2.0, 6.0, Dimensions=dimensions)
    asked = {"Namespace": NAMESPACE, "MetricName": "Copied", "Dimensions": dimensions, "Period": 3600}
    for client in nodes:
        points = client.get_metric_statistics(**asked, **span(), Statistics=["Sum", "SampleCount"])["Datapoints"]
        assert sum(point["Sum"] for point in points) == 8.0
        assert {point["Unit"] for point in points} == {"Count"}
        pages = client.get_paginator("list_metrics").paginate(Namespace=NAMESPACE, MetricName="Copied")
        assert [metric["Dimensions"] for page in pages for metric in page["Metrics"]] == [dimensions]


def test_metric_data_is_told_query_by_query(cloudwatch):
    now = datetime.now(timezone.utc)
    for minutes in range(1, 6):
        put(cloudwatch, "Queried", float(minutes), at=now - timedelta(minutes=minutes))
    stat = lambda stat: {
        "Metric": {"Namespace": NAMESPACE, "MetricName": "Queried"}, "Period": 60, "Stat": stat,
    }
    queries = [{"Id": "a", "MetricStat": stat("Average")}, {"Id": "b", "MetricStat": stat("SampleCount")}]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, ScanBy="TimestampAscending", MaxDatapoints=3, **span()
    )
    values = {"a": [], "b": []}
    for page in pages:
        for result in page["MetricDataResults"]:
            values[result["Id"]] += result["Values"]
    assert values == {"a": [5.0, 4.0, 3.0, 2.0, 1.0], "b": [1.0] * 5}


def test_large_puts_are_compressed_and_taken(cloudwatch):
    data = [{"MetricName": f"Large{n}", "Values": [1.0] * 100, "Unit": "Count"} for n in range(60)]
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=NAMESPACE)
    names = {metric["MetricName"] for page in pages for metric in page["Metrics"]}
    assert {f"Large{n}" for n in range(60)} <= names


def alarm(client, name: str, metric: str, **more) -> None:
    given = {
        "Namespace": NAMESPACE, "MetricName": metric, "Statistic": "Maximum", "Period": 10, "EvaluationPeriods": 1,
        "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore",
    }
    client.put_metric_alarm(AlarmName=name, **given | more)


def test_an_alarm_follows_its_metric(cloudwatch):
    alarm(cloudwatch, "e2e-follows", "Followed", Tags=[{"Key": "team", "Value": "web"}])
    assert state(cloudwatch, "e2e-follows") == "INSUFFICIENT_DATA"

    def told(value: float):
        def look() -> str:
            put(cloudwatch, "Followed", value, StorageResolution=1)
            return state(cloudwatch, "e2e-follows")

        return look

    for value, expected in [(1.0, "OK"), (9.0, "ALARM"), (1.0, "OK")]:
        until(f"with {value} it is {expected}", told(value), lambda found: found == expected, LIMIT)
    history = cloudwatch.describe_alarm_history(AlarmName="e2e-follows", HistoryItemType="StateUpdate")
    summaries = [item["HistorySummary"] for item in history["AlarmHistoryItems"]]
    assert summaries == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
    ]
    arn = cloudwatch.describe_alarms(AlarmNames=["e2e-follows"])["MetricAlarms"][0]["AlarmArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "web"}]
    cloudwatch.delete_alarms(AlarmNames=["e2e-follows", "e2e-none"])
    assert cloudwatch.describe_alarms(AlarmNames=["e2e-follows"])["MetricAlarms"] == []


def test_alarms_are_switched_tagged_and_found(cloudwatch):
    alarm(cloudwatch, "e2e-kept", "Kept")
    cloudwatch.disable_alarm_actions(AlarmNames=["e2e-kept"])
    found = cloudwatch.describe_alarms_for_metric(Namespace=NAMESPACE, MetricName="Kept")["MetricAlarms"]
    assert [(one["AlarmName"], one["ActionsEnabled"]) for one in found] == [("e2e-kept", False)]
    cloudwatch.enable_alarm_actions(AlarmNames=["e2e-kept"])
    arn = found[0]["AlarmArn"]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}])
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    cloudwatch.set_alarm_state(AlarmName="e2e-kept", StateValue="ALARM", StateReason="a test")
    assert state(cloudwatch, "e2e-kept") == "ALARM"
    cloudwatch.delete_alarms(AlarmNames=["e2e-kept"])


def test_what_is_not_served_is_refused_by_name(cloudwatch):
    refused("ResourceNotFound", cloudwatch.set_alarm_state, AlarmName="e2e-none", StateValue="OK", StateReason="x")
    refused("InvalidParameterValue", cloudwatch.put_metric_data, Namespace="AWS/ECS", MetricData=[{"MetricName": "a", "Value": 1}])
    refused("InvalidParameterCombination", cloudwatch.put_metric_data, Namespace="a", MetricData=[{"MetricName": "a"}])
    with pytest.raises(cloudwatch.exceptions.InvalidParameterValueException):
        alarm(cloudwatch, "e2e-math", "Math", Statistic="Maximum", Metrics=[{"Id": "a"}])
    refused("UnsupportedOperationException", cloudwatch.list_dashboards)


def test_services_tell_what_they_use(docker: Wire):
    ecs, cloudwatch = docker.client(), docker.client(service="cloudwatch")
    burns = {
        "name": "app", "image": "busybox:1", "cpu": 128, "memory": 32, "stopTimeout": 2,
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do :; done"],
    }
    ecs.register_task_definition(family="e2e-burns", containerDefinitions=[burns])
    ecs.create_service(serviceName="e2e-burns", taskDefinition="e2e-burns", desiredCount=1)
    dimensions = [{"Name": "ClusterName", "Value": "default"}, {"Name": "ServiceName", "Value": "e2e-burns"}]

    def most(metric: str):
        def look() -> float:
            asked = {"Namespace": "AWS/ECS", "MetricName": metric, "Dimensions": dimensions, "Period": 60}
            points = cloudwatch.get_metric_statistics(**asked, **span(), Statistics=["Maximum"])["Datapoints"]
            return max((point["Maximum"] for point in points), default=0.0)

        return look

    until("it uses more processor than it reserves", most("CPUUtilization"), lambda used: used > 100, LIMIT)
    assert most("MemoryUtilization")() > 0
    ecs.delete_service(service="e2e-burns", force=True)


def test_an_alarm_fails_a_deployment_and_turns_it_back(docker: Wire):
    ecs, cloudwatch = docker.client(), docker.client(service="cloudwatch")
    stays = {
        "name": "app", "image": "busybox:1", "memory": 16, "stopTimeout": 2,
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
    }
    for _ in range(2):
        ecs.register_task_definition(family="e2e-turned", containerDefinitions=[stays])
    alarm(cloudwatch, "e2e-errors", "Errors", EvaluationPeriods=2)
    cloudwatch.set_alarm_state(AlarmName="e2e-errors", StateValue="OK", StateReason="a test")
    alarms = {"alarmNames": ["e2e-errors"], "enable": True, "rollback": True}
    ecs.create_service(
        serviceName="e2e-turned", taskDefinition="e2e-turned:1", desiredCount=1,
        deploymentConfiguration={"alarms": alarms},
    )

    def newest() -> dict:
        arn = ecs.list_service_deployments(service="e2e-turned")["serviceDeployments"][0]["serviceDeploymentArn"]
        return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]

    until("the first is there", newest, lambda found: found["status"] == "SUCCESSFUL", 180)
    ecs.update_service(service="e2e-turned", taskDefinition="e2e-turned:2")
    until("the second is watched", newest, lambda found: found["alarms"]["status"] == "MONITORING", LIMIT)
    put(cloudwatch, "Errors", 9.0, StorageResolution=1)
    cloudwatch.set_alarm_state(AlarmName="e2e-errors", StateValue="ALARM", StateReason="a test")
    turned = until("it turned back", newest, lambda found: found["status"] == "ROLLBACK_SUCCESSFUL", 180)
    assert turned["alarms"] == {
        "status": "TRIGGERED", "alarmNames": ["e2e-errors"], "triggeredAlarmNames": ["e2e-errors"],
    }
    assert "alarm" in turned["statusReason"]
    ecs.delete_service(service="e2e-turned", force=True)
    cloudwatch.delete_alarms(AlarmNames=["e2e-errors"])


def test_a_node_that_was_away_has_what_was_put_meanwhile(docker: Wire, docker_data):
    led = until("one leads", lambda: leader(docker_data), bool, LIMIT)
    zones = json.loads((docker_data / "cluster.json").read_text())["zones"]
    away = next(zone for zone in zones if zone["name"] != led)
    trireme(docker_data, "dev", "kill", away["name"])
    cloudwatch = docker.client(service="cloudwatch")
    put(cloudwatch, "Missed", 2.0, 6.0)
    trireme(docker_data, "dev", "start", away["name"])
    back = Wire({**environment(docker_data), "AWS_ENDPOINT_URL": f"http://{away['api']}"}).client(service="cloudwatch")

    def told() -> float:
        asked = {"Namespace": NAMESPACE, "MetricName": "Missed", "Period": 3600}
        return sum(point["Sum"] for point in back.get_metric_statistics(**asked, **span(), Statistics=["Sum"])["Datapoints"])

    until("it has a copy", told, lambda sum: sum == 8.0, LIMIT)
