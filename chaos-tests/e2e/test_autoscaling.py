"""As many tasks as needed, on real Docker with AWS's client: a service whose tasks burn CPU on request grows and shrinks."""

import json
import os
import signal
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from containers import container, page
from services import LIMIT, control_node, gone, service, steady, trireme
from until import until
from wire import Wire

# It burns as long as a file is there, which a request makes and another one takes away: each task has a page of its own.
BURN = """
trap 'exit 0' TERM
mkdir -p /www/cgi-bin
printf '#!/bin/sh\\ntouch /burn\\necho; echo burning\\n' > /www/cgi-bin/burn
printf '#!/bin/sh\\nrm -f /burn\\necho; echo resting\\n' > /www/cgi-bin/rest
chmod +x /www/cgi-bin/*
httpd -p 8080 -h /www
while :; do
  if [ -e /burn ]; then i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; else sleep 1 & wait $!; fi
done
"""
NAMESPACE = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}, "TargetValue": 50.0}


def of(name: str) -> dict:
    return NAMESPACE | {"ResourceId": f"service/default/{name}"}


@pytest.fixture(scope="module")
def client(docker: Wire):
    return docker.client()


@pytest.fixture(scope="module")
def scaling(docker: Wire):
    return docker.client(service="application-autoscaling")


@pytest.fixture
def burning(client):
    """A service of one task, which reserves a fifth of a processor."""
    app = container("app", BURN, portMappings=[{"containerPort": 8080}]) | {"cpu": 205, "memory": 64}
    client.register_task_definition(family="burn", containerDefinitions=[app])
    client.create_service(serviceName="burn", taskDefinition="burn", desiredCount=1)
    steady(client, "burn", 1)
    yield "burn"
    gone(client, "burn")


def pages(client, name: str) -> list[str]:
    arns = client.list_tasks(serviceName=name)["taskArns"]
    found = client.describe_tasks(tasks=arns)["tasks"] if arns else []
    running = [task for task in found if task["lastStatus"] == "RUNNING"]
    ports = [binding["hostPort"] for task in running for one in task["containers"] for binding in one["networkBindings"]]
    return [f"http://127.0.0.1:{port}/cgi-bin" for port in ports]


def activities(scaling, name: str, **members) -> list[dict]:
    asked = {"ServiceNamespace": "ecs", "ResourceId": f"service/default/{name}"}
    return scaling.describe_scaling_activities(**asked, **members)["ScalingActivities"]


def counts(client, name: str) -> tuple[int, int]:
    found = service(client, name)
    return found["desiredCount"], found["runningCount"]


def test_a_busy_service_grows_to_three_and_an_idle_one_shrinks_to_one(client, scaling, burning, record_property):
    scaling.register_scalable_target(**of(burning), MinCapacity=1, MaxCapacity=3)
    put = {"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": CPU}
    made = scaling.put_scaling_policy(**of(burning), **put)
    assert made["PolicyARN"].startswith("arn:aws:autoscaling:")

    began = time.monotonic()
    for one in pages(client, burning):
        page(f"{one}/burn")
    until("three tasks run", lambda: counts(client, burning), lambda seen: seen == (3, 3), LIMIT)
    grown = time.monotonic() - began
    cause = until("it is said why", lambda: activities(scaling, burning), bool, LIMIT)[-1]
    assert cause["StatusCode"] == "Successful" and "policy cpu: ECSServiceAverageCPUUtilization was" in cause["Cause"]
    assert cause["Description"] == "Setting desired count to 3."

    began = time.monotonic()
    for one in pages(client, burning):
        page(f"{one}/rest")
    until("one task is left", lambda: counts(client, burning), lambda seen: seen == (1, 1), 2 * LIMIT)
    shrunk = time.monotonic() - began
    print(f"\nfrom the step in CPU to three tasks RUNNING {grown:.1f} s; from its end to one task {shrunk:.1f} s")
    assert [one["Description"][-2] for one in activities(scaling, burning)] == ["1", "3"]
    held = activities(scaling, burning, IncludeNotScaledActivities=True)
    reasons = [reason for one in held for reason in one.get("NotScaledReasons", [])]
    assert all(reason["Code"] == "AlreadyAtMaxCapacity" and reason["MaxCapacity"] == 3 for reason in reasons)
    # No timed test: the figures are for the reader. That it is seconds, and not minutes, is the promise.
    assert grown < 60


@pytest.fixture
def still(client):
    """A service that does nothing, and is nobody's business."""
    client.register_task_definition(family="still", containerDefinitions=[container("app")])
    client.create_service(serviceName="still", taskDefinition="still", desiredCount=2)
    yield "still"
    gone(client, "still")


def test_what_is_registered_is_described_changed_and_gone_with_its_service(client, scaling, still):
    made = scaling.register_scalable_target(**of(still), MinCapacity=3, MaxCapacity=4, Tags={"team": "shop"})
    assert service(client, still)["desiredCount"] == 3
    assert activities(scaling, still)[0]["Cause"] == "minimum capacity was set to 3"
    scaling.register_scalable_target(**of(still), MaxCapacity=5, SuspendedState={"DynamicScalingInSuspended": True})
    found = scaling.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[f"service/default/{still}"])["ScalableTargets"]
    assert [(one["MinCapacity"], one["MaxCapacity"], one["ScalableTargetARN"]) for one in found] == [(3, 5, made["ScalableTargetARN"])]
    assert found[0]["SuspendedState"] == {
        "DynamicScalingInSuspended": True,
        "DynamicScalingOutSuspended": False,
        "ScheduledScalingSuspended": False,
    }
    arn = {"ResourceARN": made["ScalableTargetARN"]}
    scaling.tag_resource(**arn, Tags={"stage": "test"})
    scaling.untag_resource(**arn, TagKeys=["team"])
    assert scaling.list_tags_for_resource(**arn)["Tags"] == {"stage": "test"}

    custom = {"MetricName": "Waiting", "Namespace": "Shop", "Dimensions": [{"Name": "Queue", "Value": "orders"}], "Statistic": "Average"}
    tracking = {"CustomizedMetricSpecification": custom, "TargetValue": 10.5, "ScaleInCooldown": 60, "DisableScaleIn": True}
    steps = {
        "AdjustmentType": "PercentChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 50}],
        "MinAdjustmentMagnitude": 2,
        "Cooldown": 30,
    }
    scaling.put_scaling_policy(**of(still), PolicyName="queue", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=tracking)
    scaling.put_scaling_policy(**of(still), PolicyName="steps", PolicyType="StepScaling", StepScalingPolicyConfiguration=steps)
    pages = scaling.get_paginator("describe_scaling_policies").paginate(ServiceNamespace="ecs", PaginationConfig={"PageSize": 1})
    found = {one["PolicyName"]: one for one in pages.build_full_result()["ScalingPolicies"] if one["ResourceId"].endswith(still)}
    assert found["queue"]["TargetTrackingScalingPolicyConfiguration"] == tracking
    assert found["steps"]["StepScalingPolicyConfiguration"] == steps
    scaling.delete_scaling_policy(**of(still), PolicyName="queue")

    daily = {"Schedule": "cron(30 9 * * ? *)", "Timezone": "America/New_York", "ScalableTargetAction": {"MinCapacity": 4, "MaxCapacity": 8}}
    scaling.put_scheduled_action(**of(still), ScheduledActionName="open", **daily)
    found = scaling.describe_scheduled_actions(ServiceNamespace="ecs", ResourceId=f"service/default/{still}")["ScheduledActions"]
    assert [{name: one[name] for name in daily} for one in found] == [daily]
    scaling.delete_scheduled_action(**of(still), ScheduledActionName="open")

    scaling.deregister_scalable_target(**of(still))
    assert still not in json.dumps(scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"])
    assert service(client, still)["desiredCount"] == 3, "it stays as it is"


def test_a_scheduled_action_is_taken_when_it_is_due(client, scaling, still):
    scaling.register_scalable_target(**of(still), MinCapacity=1, MaxCapacity=4)
    at = time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 3))
    scaling.put_scheduled_action(**of(still), ScheduledActionName="soon", Schedule=at, ScalableTargetAction={"MinCapacity": 3})
    until("it is taken", lambda: service(client, still)["desiredCount"], lambda count: count == 3, LIMIT)
    assert activities(scaling, still)[0]["Cause"] == "minimum capacity was set to 3 by scheduled action soon"


def test_what_is_wrong_is_refused_in_the_services_own_words(scaling, still):
    def refused(code: str, text: str, call, **members) -> None:
        with pytest.raises(ClientError) as error:
            call(**members)
        said = error.value.response["Error"]
        assert said["Code"] == code and text in said["Message"], said

    invalid, missing = "ValidationException", "ObjectNotFoundException"
    register = scaling.register_scalable_target
    refused(invalid, "ECS service doesn't exist: service/default/no", register, **of("no"), MinCapacity=1, MaxCapacity=2)
    refused(invalid, "MinCapacity and MaxCapacity", register, **of(still), MinCapacity=1)
    refused(invalid, "Maximum capacity cannot be less than minimum", register, **of(still), MinCapacity=2, MaxCapacity=1)
    refused(invalid, "only ecs is", register, **of(still) | {"ServiceNamespace": "dynamodb"}, MinCapacity=1, MaxCapacity=2)
    refused(invalid, "service/CLUSTER/SERVICE", register, **NAMESPACE, ResourceId=still, MinCapacity=1, MaxCapacity=2)
    refused(missing, f"resource ID: service/default/{still}", scaling.deregister_scalable_target, **of(still))
    put = scaling.put_scaling_policy
    tracking = {"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling"}
    refused(missing, "No scalable target found", put, **of(still), **tracking, TargetTrackingScalingPolicyConfiguration=CPU)
    register(**of(still), MinCapacity=1, MaxCapacity=4)
    refused(invalid, "greater than 0", put, **of(still), **tracking, TargetTrackingScalingPolicyConfiguration=CPU | {"TargetValue": 0.0})
    refused(invalid, "Exactly one", put, **of(still), **tracking, TargetTrackingScalingPolicyConfiguration={"TargetValue": 1.0})
    balancer = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget"}, "TargetValue": 1.0}
    refused(invalid, "not supported", put, **of(still), **tracking, TargetTrackingScalingPolicyConfiguration=balancer)
    step = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": []}
    refused(invalid, "at least one step", put, **of(still), PolicyName="s", PolicyType="StepScaling", StepScalingPolicyConfiguration=step)
    refused(missing, "No scaling policy named cpu", scaling.delete_scaling_policy, **of(still), PolicyName="cpu")
    action = {"ScheduledActionName": "a", "ScalableTargetAction": {"MinCapacity": 1}}
    refused(invalid, "schedule is not valid", scaling.put_scheduled_action, **of(still), **action, Schedule="cron(0 0 30 2 * *)")
    refused(invalid, "no time in the future", scaling.put_scheduled_action, **of(still), **action, Schedule="at(2020-01-01T00:00:00)")
    refused(missing, "scheduled action named a", scaling.delete_scheduled_action, **of(still), ScheduledActionName="a")
    span = {"PolicyName": "p", "StartTime": time.time(), "EndTime": time.time() + 60}
    refused(invalid, "Predictive scaling is not supported", scaling.get_predictive_scaling_forecast, **of(still), **span)


def test_a_new_leader_goes_on(client, scaling, docker_data, burning):
    """The leader dies between the step in CPU and what it would have done."""
    scaling.register_scalable_target(**of(burning), MinCapacity=1, MaxCapacity=2)
    scaling.put_scaling_policy(**of(burning), PolicyName="cpu", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=CPU)
    zone = until("one leads", lambda: json.loads(trireme(docker_data, "status", "--json"))["leader"], bool, LIMIT)["zone"]
    for one in pages(client, burning):
        page(f"{one}/burn")
    os.kill(control_node(docker_data, zone), signal.SIGKILL)
    try:
        began = time.monotonic()
        until("two tasks run", lambda: counts(client, burning), lambda seen: seen == (2, 2), LIMIT)
        print(f"\nfrom the leader's death to two tasks RUNNING {time.monotonic() - began:.1f} s")
    finally:
        trireme(docker_data, "dev", "start", zone)


def test_steps_by_a_custom_metric_go_on_through_the_loss_of_a_leader(client, scaling, docker, docker_data, still):
    watch = docker.client(service="cloudwatch")
    scaling.register_scalable_target(**of(still), MinCapacity=1, MaxCapacity=4)
    client.update_service(service=still, desiredCount=1)
    steps = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        "Cooldown": 15,
    }
    made = scaling.put_scaling_policy(**of(still), PolicyName="queue", PolicyType="StepScaling", StepScalingPolicyConfiguration=steps)
    metric = {"Namespace": "Shop", "MetricName": "Waiting", "Dimensions": [{"Name": "Queue", "Value": "orders"}]}
    watch.put_metric_alarm(
        AlarmName="queue-is-long",
        **metric,
        Statistic="Maximum",
        Period=10,
        EvaluationPeriods=1,
        Threshold=100,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[made["PolicyARN"]],
    )

    def waiting(value: float) -> None:
        data = {key: metric[key] for key in ("MetricName", "Dimensions")} | {"Value": value, "StorageResolution": 1}
        try:
            watch.put_metric_data(Namespace="Shop", MetricData=[data])
        except (ClientError, BotoCoreError):
            pass  # There is no leader just now: the next one comes in a moment.

    def grows(count: int) -> None:
        def look() -> int:
            waiting(500)
            return service(client, still)["desiredCount"]

        until(f"there are {count}", look, lambda seen: seen >= count, LIMIT)

    waiting(10)
    assert service(client, still)["desiredCount"] == 1
    began = time.monotonic()
    grows(2)
    print(f"\nfrom the first long queue to another desired count {time.monotonic() - began:.1f} s")
    zone = until("one leads", lambda: json.loads(trireme(docker_data, "status", "--json"))["leader"], bool, LIMIT)["zone"]
    os.kill(control_node(docker_data, zone), signal.SIGKILL)
    try:
        began = time.monotonic()
        grows(4)
        print(f"two more steps of 15 s of cool-down, with the leader killed before them: {time.monotonic() - began:.1f} s")
    finally:
        trireme(docker_data, "dev", "start", zone)
    causes = [one["Cause"] for one in activities(scaling, still)]
    assert sum("policy queue: alarm queue-is-long is in ALARM" in cause for cause in causes) == 3, causes
    watch.delete_alarms(AlarmNames=["queue-is-long"])
