"""Schedules and rules on real Docker: a task once a minute, neither twice nor missed, though the leader dies meanwhile; and what boto3 says of
all that can be asked."""

import json
from collections import Counter
from datetime import datetime, timezone

import pytest
from botocore.exceptions import ClientError

from containers import container
from services import LIMIT, trireme
from until import until

ROLE = "arn:aws:iam::123456789012:role/events"
MINUTE = 60
# How long the story of the minutes lasts, and when the leader dies in it.
MINUTES = 4
KILLED_AFTER = 90


@pytest.fixture(scope="module")
def ecs(docker):
    return docker.client()


@pytest.fixture(scope="module")
def scheduler(docker):
    return docker.client(service="scheduler")


@pytest.fixture(scope="module")
def events(docker):
    return docker.client(service="events")


@pytest.fixture(scope="module")
def target(ecs) -> dict:
    """Runs a container that says when it was and ends."""
    job = ecs.register_task_definition(family="job", containerDefinitions=[container("app", "date; exit 0")])
    cluster = ecs.describe_clusters()["clusters"][0]["clusterArn"]
    definition = job["taskDefinition"]["taskDefinitionArn"]
    return {"Arn": cluster, "RoleArn": ROLE, "EcsParameters": {"TaskDefinitionArn": definition, "TaskCount": 1}}


def started(ecs, by: str) -> list[dict]:
    """The tasks that something started, the first in front, stopped ones among them."""
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(startedBy=by, desiredStatus=status)["taskArns"]
    ]
    found = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
    return sorted(found, key=lambda task: task["createdAt"])


def leader(folder) -> str | None:
    led = json.loads(trireme(folder, "status", "--json"))["leader"]
    return led and led["zone"]


def now() -> float:
    return datetime.now(timezone.utc).timestamp()


def refused(call, code: str, **arguments) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def test_once_a_minute_over_a_leader_kill(ecs, scheduler, docker_data, target):
    scheduler.create_schedule(
        Name="minutely", ScheduleExpression="rate(1 minute)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    begin = scheduler.get_schedule(Name="minutely")["CreationDate"].timestamp()
    by = "chronos-schedule/minutely"
    until("the first ran", lambda: len(started(ecs, by)), lambda count: count >= 1, LIMIT)
    until("a while has passed", lambda: now() - begin, lambda passed: passed > KILLED_AFTER, KILLED_AFTER + LIMIT)
    zone = until("one leads", lambda: leader(docker_data), bool, LIMIT)
    trireme(docker_data, "dev", "kill", zone)
    try:
        end = (MINUTES + 0.5) * MINUTE
        until("the minutes have passed", lambda: now() - begin, lambda passed: passed > end, end + LIMIT)
        tasks = started(ecs, by)
    finally:
        trireme(docker_data, "dev", "start", zone)
        scheduler.delete_schedule(Name="minutely")
    late = [(task["createdAt"].timestamp() - begin) % MINUTE for task in tasks]
    runs = Counter(int((task["createdAt"].timestamp() - begin + 1) // MINUTE) for task in tasks)
    assert runs == Counter(range(MINUTES + 1)), f"each minute once, not {runs}; late by {late}"
    ran = [task for task in tasks if task["lastStatus"] == "STOPPED"]
    assert len(ran) >= MINUTES, "they ran, and ended"
    assert all(task["group"] == "family:job" for task in tasks)
    fired = [line for line in trireme(docker_data, "events").splitlines() if "TriggerFired" in line]
    assert len(fired) >= MINUTES + 1


def test_a_rule_runs_with_what_its_input_says(ecs, events, target):
    rule = events.put_rule(Name="soon", ScheduleExpression="rate(1 minute)")["RuleArn"]
    changed = {"containerOverrides": [{"name": "app", "command": ["sh", "-c", "exit 7"]}]}
    with_input = target | {"Id": "job", "Input": json.dumps(changed)}
    put = events.put_targets(Rule="soon", Targets=[with_input])
    assert (put["FailedEntryCount"], put["FailedEntries"]) == (0, [])
    assert events.list_targets_by_rule(Rule="soon")["Targets"] == [with_input]
    assert events.list_rule_names_by_target(TargetArn=target["Arn"])["RuleNames"] == ["soon"]

    def ended() -> list[int | None]:
        stopped = [task for task in started(ecs, "events-rule/soon") if task["lastStatus"] == "STOPPED"]
        return [task["containers"][0].get("exitCode") for task in stopped]

    until("a task ended as it was told to", ended, lambda codes: codes[:1] == [7], MINUTE + LIMIT)
    events.disable_rule(Name="soon")
    events.enable_rule(Name="soon")
    assert events.describe_rule(Name="soon")["State"] == "ENABLED"
    events.disable_rule(Name="soon")
    assert events.describe_rule(Name="soon")["State"] == "DISABLED"
    assert events.list_rules(NamePrefix="so")["Rules"][0]["Arn"] == rule
    refused(events.delete_rule, "ValidationException", Name="soon")
    events.remove_targets(Rule="soon", Ids=["job"])
    events.delete_rule(Name="soon")
    refused(events.describe_rule, "ResourceNotFoundException", Name="soon")


def test_a_schedule_at_a_time_goes_when_it_is_done(ecs, scheduler, target):
    zone, at = "Europe/Berlin", datetime.fromtimestamp(now() + 3).astimezone(timezone.utc)
    scheduler.create_schedule(
        Name="once",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=target,
    )
    until("it ran", lambda: len(started(ecs, "chronos-schedule/once")), lambda count: count == 1, LIMIT)
    refused(scheduler.get_schedule, "ResourceNotFoundException", Name="once")
    night = {"Name": "night", "ScheduleExpression": "cron(30 2 ? * 6L *)", "ScheduleExpressionTimezone": zone}
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    scheduler.create_schedule(**night, FlexibleTimeWindow=window, Target=target, State="DISABLED")
    found = scheduler.get_schedule(Name="night")
    assert {name: found[name] for name in night} == night
    assert (found["State"], found["FlexibleTimeWindow"]) == ("DISABLED", window)
    scheduler.update_schedule(**night, FlexibleTimeWindow={"Mode": "OFF"}, Target=target, Description="at night")
    assert scheduler.get_schedule(Name="night")["Description"] == "at night"
    listed = scheduler.list_schedules(NamePrefix="ni", State="ENABLED")["Schedules"]
    assert [(one["Name"], one["Target"]["Arn"]) for one in listed] == [("night", target["Arn"])]
    scheduler.delete_schedule(Name="night")
    refused(scheduler.delete_schedule, "ResourceNotFoundException", Name="night")


def test_runs_that_are_not_to_overlap(ecs, scheduler, target):
    stays = ecs.register_task_definition(family="stays", containerDefinitions=[container("app")])
    parameters = {"TaskDefinitionArn": stays["taskDefinition"]["taskDefinitionArn"], "TaskCount": 1}
    tags = [{"Key": "trireme:overlap", "Value": "skip"}]
    group = scheduler.create_schedule_group(Name="alone", Tags=tags)["ScheduleGroupArn"]
    assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == tags
    assert scheduler.get_schedule_group(Name="alone")["Arn"] == group
    assert [one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]] == ["alone", "default"]
    scheduler.tag_resource(ResourceArn=group, Tags=[{"Key": "team", "Value": "a b/ü"}])
    assert len(scheduler.list_tags_for_resource(ResourceArn=group)["Tags"]) == 2
    scheduler.untag_resource(ResourceArn=group, TagKeys=["team", "nothing"])
    assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == tags
    wrong = [{"Key": "trireme:overlap", "Value": "perhaps"}]
    refused(scheduler.tag_resource, "ValidationException", ResourceArn=group, Tags=wrong)
    scheduler.create_schedule(
        Name="alone",
        GroupName="alone",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target | {"EcsParameters": parameters},
    )
    by = "chronos-schedule/alone"
    until("the first runs", lambda: len(started(ecs, by)), lambda count: count == 1, LIMIT)
    begin = now()
    until("the next is due", lambda: now() - begin, lambda passed: passed > MINUTE + 5, MINUTE + LIMIT)
    assert len(started(ecs, by)) == 1
    scheduler.delete_schedule_group(Name="alone")
    refused(scheduler.get_schedule, "ResourceNotFoundException", Name="alone", GroupName="alone")
    ecs.stop_task(task=started(ecs, by)[0]["taskArn"])


def test_what_a_pattern_would_match(events):
    members = ("id", "detail-type", "source", "account", "time", "region")
    event = {member: "aws.ecs" for member in members} | {"resources": [], "detail": {"lastStatus": "STOPPED"}}

    def matches(pattern: dict) -> bool:
        return events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))["Result"]

    assert matches({"source": [{"prefix": "aws."}], "detail": {"lastStatus": ["STOPPED"]}})
    assert not matches({"detail": {"lastStatus": [{"anything-but": "STOPPED"}]}})
    refused(events.test_event_pattern, "InvalidEventPatternException", EventPattern="{}", Event=json.dumps(event))
    assert events.describe_event_bus()["Name"] == "default"
    rule = events.put_rule(Name="tagged", ScheduleExpression="cron(0 12 ? * MON-FRI *)")["RuleArn"]
    tags = [{"Key": "trireme:missed-runs", "Value": "latest"}]
    events.tag_resource(ResourceARN=rule, Tags=tags)
    assert events.list_tags_for_resource(ResourceARN=rule)["Tags"] == tags
    events.untag_resource(ResourceARN=rule, TagKeys=["trireme:missed-runs"])
    assert events.list_tags_for_resource(ResourceARN=rule)["Tags"] == []
    events.delete_rule(Name="tagged")


def test_what_is_wrong_is_said(scheduler, events, target):
    given = {"Name": "s", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target}
    for expression in ("rate(5 minute)", "cron(0 12 * * * *)", "cron(0 12 30 2)", "at(tomorrow)", "every day"):
        refused(scheduler.create_schedule, "ValidationException", ScheduleExpression=expression, **given)
    expression = {"ScheduleExpression": "rate(1 hours)"}
    refused(scheduler.create_schedule, "ResourceNotFoundException", GroupName="missing", **expression, **given)
    refused(scheduler.update_schedule, "ResourceNotFoundException", **expression, **given)
    lambdas = target | {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}
    refused(scheduler.create_schedule, "ValidationException", **expression, **(given | {"Target": lambdas}))
    fargate = target | {"EcsParameters": target["EcsParameters"] | {"LaunchType": "FARGATE"}}
    refused(scheduler.create_schedule, "ValidationException", **expression, **(given | {"Target": fargate}))
    scheduler.create_schedule(**expression, **(given | {"Target": target}), State="DISABLED")
    refused(scheduler.create_schedule, "ConflictException", **expression, **given)
    scheduler.delete_schedule(Name="s")
    refused(events.put_rule, "ValidationException", Name="r", ScheduleExpression="rate(1 minutes)")
    refused(events.put_rule, "ValidationException", Name="r")
    refused(events.put_targets, "ResourceNotFoundException", Rule="r", Targets=[target | {"Id": "a"}])
    assert [bus["Name"] for bus in events.list_event_buses()["EventBuses"]] == ["default"]
