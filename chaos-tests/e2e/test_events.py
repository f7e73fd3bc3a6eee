"""Events of the default bus on real Docker: every change of a task reaches an HTTP endpoint, in order, though it fails at times and the leader
dies; an event starts a task, once; and what boto3 says of connections, API destinations and patterns."""

import base64
import json

import pytest

from containers import container, wait
from endpoint import endpoint
from services import LIMIT, gone, register, steady, trireme
from test_schedules import leader, refused, started
from until import until

ROLE = "arn:aws:iam::123456789012:role/events"
TASKS = "ECS Task State Change"
# What calls prove who calls with.
KEY, TOKEN = "a-key-that-nobody-else-has", "a-token-that-nobody-else-has"


@pytest.fixture(scope="module")
def ecs(docker):
    return docker.client()


@pytest.fixture(scope="module")
def events(docker):
    return docker.client(service="events")


@pytest.fixture(scope="module")
def connection(events) -> str:
    """Calls with a key, and two parameters more."""
    more = {
        "HeaderParameters": [{"Key": "x-from", "Value": "here", "IsValueSecret": False}],
        "QueryStringParameters": [{"Key": "token", "Value": TOKEN, "IsValueSecret": True}],
    }
    auth = {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": KEY}, "InvocationHttpParameters": more}
    made = events.create_connection(Name="keyed", AuthorizationType="API_KEY", AuthParameters=auth)
    assert made["ConnectionState"] == "AUTHORIZED"
    return made["ConnectionArn"]


def destination(events, name: str, connection: str, address: str, **members) -> str:
    members = {"HttpMethod": "POST", **members}
    made = events.create_api_destination(Name=name, ConnectionArn=connection, InvocationEndpoint=address, **members)
    assert made["ApiDestinationState"] == "ACTIVE"
    return made["ApiDestinationArn"]


def rule(events, name: str, pattern: dict, *targets: dict) -> None:
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    put = events.put_targets(Rule=name, Targets=list(targets))
    assert put["FailedEntryCount"] == 0, put


def remove(events, name: str) -> None:
    ids = [target["Id"] for target in events.list_targets_by_rule(Rule=name)["Targets"]]
    events.remove_targets(Rule=name, Ids=ids)
    events.delete_rule(Name=name)


def versions(told: list[dict], arn: str) -> list[int]:
    return [event["detail"]["version"] for event in told if event["detail"]["taskArn"] == arn]


def test_every_change_of_a_task_is_told_over_a_leader_kill(ecs, events, docker_data, connection):
    with endpoint() as heard:
        arn = destination(events, "ours", connection, f"{heard.address}/hook/*")
        parameters = {"PathParameterValues": ["a b"], "HeaderParameters": {"x-task": "$.detail.taskArn"}}
        target = {"Id": "hook", "Arn": arn, "RoleArn": ROLE, "HttpParameters": parameters}
        pattern = {"source": ["aws.ecs"], "detail-type": [TASKS], "detail": {"group": ["service:told"]}}
        heard.answers = [503, 500, 429]
        rule(events, "tasks", pattern, target)
        register(ecs, "told")
        ecs.create_service(serviceName="told", taskDefinition="told", desiredCount=2)
        steady(ecs, "told", 2)
        zone = until("one leads", lambda: leader(docker_data), bool, LIMIT)
        trireme(docker_data, "dev", "kill", zone)
        try:
            ecs.update_service(service="told", desiredCount=4)
            steady(ecs, "told", 4)
            arns = ecs.list_tasks(serviceName="told")["taskArns"]
            # The agents of the dead zone may not have been missed yet, and nobody would say how their containers exited.
            alive = [task for task in ecs.describe_tasks(tasks=arns)["tasks"] if task["availabilityZone"] != zone]
            one = alive[0]["taskArn"]
            ecs.stop_task(task=one, reason="for the story")
            stopped = wait(ecs, one, "STOPPED")
            steady(ecs, "told", 4)
        finally:
            trireme(docker_data, "dev", "start", zone)
        all_arns = {*arns, *ecs.list_tasks(serviceName="told")["taskArns"]}

        def behind() -> dict:
            tasks = ecs.describe_tasks(tasks=sorted(all_arns))["tasks"]
            told = heard.events(TASKS)
            return {task["taskArn"]: (versions(told, task["taskArn"]), task["version"]) for task in tasks}

        def complete(seen: dict) -> bool:
            return all(told[-1:] == [version] for told, version in seen.values())

        seen = until("all is told", behind, complete, LIMIT)
        for task, (told, version) in seen.items():
            assert told == list(range(told[0], version + 1)), f"{task}: every change once, in order, not {told}"
            assert told[0] == 1, f"{task}: from its beginning, not {told}"
        assert heard.refused == 3, "what failed was told again"
        call = heard.taken[0]
        assert (call.method, call.path) == ("POST", f"/hook/a%20b?token={TOKEN}")
        assert (call.headers["x-key"], call.headers["x-from"]) == (KEY, "here")
        assert all(call.headers["x-task"] == call.event["detail"]["taskArn"] for call in heard.taken)
        assert call.headers["content-type"].startswith("application/json")
        last = [event for event in heard.events(TASKS) if event["detail"]["taskArn"] == one][-1]
        assert (last["source"], last["account"], last["region"]) == ("aws.ecs", "123456789012", "us-east-1")
        assert (last["version"], last["resources"]) == ("0", [one])
        detail = last["detail"]
        assert (detail["lastStatus"], detail["stoppedReason"]) == ("STOPPED", "for the story")
        assert detail["clusterArn"] == stopped["clusterArn"]
        assert detail["containers"][0]["exitCode"] == stopped["containers"][0]["exitCode"]
        assert detail["stoppedAt"].endswith("Z"), "events tell times as texts"
        remove(events, "tasks")
        count = len(heard.taken)
        gone(ecs, "told")
        assert len(heard.taken) == count, "a rule that is gone tells nothing of the tasks that stop now"


def test_an_event_starts_a_task_once(ecs, events):
    first = container("app", "exit 3")
    ecs.register_task_definition(family="first", containerDefinitions=[first])
    told = ecs.register_task_definition(family="second", containerDefinitions=[container("app", 'echo "$WHO"')])
    cluster = ecs.describe_clusters()["clusters"][0]["clusterArn"]
    change = {"containerOverrides": [{"name": "app", "environment": [{"name": "WHO", "value": "<who> by <aws.events.rule-name>"}]}]}
    transformer = {"InputPathsMap": {"who": "$.detail.taskArn"}, "InputTemplate": json.dumps(change)}
    parameters = {"TaskDefinitionArn": told["taskDefinition"]["taskDefinitionArn"]}
    target = {"Id": "second", "Arn": cluster, "RoleArn": ROLE, "EcsParameters": parameters, "InputTransformer": transformer}
    pattern = {"detail-type": [TASKS], "detail": {"lastStatus": ["STOPPED"], "group": ["family:first"], "containers": {"exitCode": [3]}}}
    rule(events, "follow", pattern, target)
    ran = ecs.run_task(taskDefinition="first", count=3)["tasks"]
    by = "events-rule/follow"
    until("each was followed", lambda: len(started(ecs, by)), lambda count: count >= 3, LIMIT)
    until("they ran", lambda: [task["lastStatus"] for task in started(ecs, by)], lambda seen: set(seen) == {"STOPPED"}, LIMIT)
    followers = started(ecs, by)
    values = [task["overrides"]["containerOverrides"][0]["environment"][0]["value"] for task in followers]
    assert sorted(values) == sorted(f"{task['taskArn']} by follow" for task in ran), "each once"
    remove(events, "follow")


def test_services_and_machines_are_told_of(ecs, events, connection):
    with endpoint() as heard:
        arn = destination(events, "all", connection, f"{heard.address}/all", InvocationRateLimitPerSecond=300)
        rule(events, "all", {"source": [{"prefix": "aws."}], "detail-type": [{"anything-but": TASKS}]}, {"Id": "a", "Arn": arn})
        register(ecs, "seen")
        ecs.create_service(serviceName="seen", taskDefinition="seen", desiredCount=1)
        service = steady(ecs, "seen", 1)["serviceArn"]

        def names() -> list[str]:
            told = [*heard.events("ECS Deployment State Change"), *heard.events("ECS Service Action")]
            return [event["detail"]["eventName"] for event in told if event["resources"] == [service]]

        wanted = {"SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_STEADY_STATE"}
        until("the service is told of", names, lambda seen: wanted <= set(seen), LIMIT)
        task = ecs.describe_tasks(tasks=ecs.list_tasks(serviceName="seen")["taskArns"])["tasks"][0]

        def left() -> list[int]:
            told = heard.events("ECS Container Instance State Change")
            machine = [event["detail"] for event in told if event["resources"] == [task["containerInstanceArn"]]]
            memory = [one["remainingResources"] for one in machine]
            return [part["integerValue"] for all in memory for part in all if part["name"] == "MEMORY"]

        before = until("its machine is told of", left, lambda seen: len(seen) >= 1, LIMIT)
        gone(ecs, "seen")
        until("what it leaves is told", left, lambda seen: seen[-1] > min(before), LIMIT)
        remove(events, "all")


def test_a_time_that_comes_is_told_to_endpoints(events, connection):
    basic = {"BasicAuthParameters": {"Username": "me", "Password": "pass"}}
    other = events.create_connection(Name="timed", AuthorizationType="BASIC", AuthParameters=basic)["ConnectionArn"]
    with endpoint() as heard:
        clock = destination(events, "clock", connection, f"{heard.address}/clock", HttpMethod="PUT")
        named = destination(events, "named", other, f"{heard.address}/named")
        events.put_rule(Name="clock", ScheduleExpression="rate(1 minute)")
        says = {"Id": "n", "Arn": named, "Input": '{"say": "now"}'}
        events.put_targets(Rule="clock", Targets=[{"Id": "c", "Arn": clock}, says])

        def told(path: str) -> list:
            return [call for call in list(heard.taken) if call.path.split("?")[0] == path]

        until("both are told", lambda: (len(told("/clock")), len(told("/named"))), lambda seen: seen == (1, 1), 60 + LIMIT)
        event = told("/clock")[0].event
        assert (told("/clock")[0].method, event["detail-type"]) == ("PUT", "Scheduled Event")
        assert (event["source"], event["detail"]) == ("aws.events", {})
        assert event["resources"] == [events.describe_rule(Name="clock")["Arn"]]
        call = told("/named")[0]
        assert call.event == {"say": "now"}
        assert call.headers["authorization"] == "Basic " + base64.b64encode(b"me:pass").decode()
        remove(events, "clock")


def test_connections_and_destinations_as_they_are_described(events, connection):
    told = events.describe_connection(Name="keyed")
    auth = told["AuthParameters"]
    assert (told["ConnectionArn"], told["AuthorizationType"]) == (connection, "API_KEY")
    assert auth["ApiKeyAuthParameters"] == {"ApiKeyName": "x-key"}, "without its value"
    shown = auth["InvocationHttpParameters"]
    assert shown["HeaderParameters"] == [{"Key": "x-from", "Value": "here", "IsValueSecret": False}]
    assert shown["QueryStringParameters"] == [{"Key": "token", "IsValueSecret": True}]
    basic = {"BasicAuthParameters": {"Username": "me", "Password": "pass"}}
    arn = events.create_connection(Name="basic", AuthorizationType="BASIC", AuthParameters=basic)["ConnectionArn"]
    again = {"Name": "basic", "AuthorizationType": "BASIC", "AuthParameters": basic}
    refused(events.create_connection, "ResourceAlreadyExistsException", **again)
    changed = {"BasicAuthParameters": {"Password": "other"}}
    events.update_connection(Name="basic", AuthorizationType="BASIC", AuthParameters=changed, Description="of a test")
    found = events.describe_connection(Name="basic")
    assert (found["Description"], found["AuthParameters"]["BasicAuthParameters"]) == ("of a test", {"Username": "me"})
    assert "basic" in [one["Name"] for one in events.list_connections(NamePrefix="b")["Connections"]]
    hook = destination(events, "hook", arn, "https://events.test/")
    events.update_api_destination(Name="hook", InvocationRateLimitPerSecond=7)
    described = events.describe_api_destination(Name="hook")
    assert (described["ApiDestinationArn"], described["InvocationRateLimitPerSecond"]) == (hook, 7)
    assert [one["Name"] for one in events.list_api_destinations(ConnectionArn=arn)["ApiDestinations"]] == ["hook"]
    events.delete_connection(Name="basic")
    assert events.describe_api_destination(Name="hook")["ApiDestinationState"] == "INACTIVE"
    events.delete_api_destination(Name="hook")
    refused(events.describe_api_destination, "ResourceNotFoundException", Name="hook")


def test_no_secret_of_a_connection_is_on_a_disk(events, docker_data, connection):
    kept = [file for file in docker_data.rglob("*") if file.is_file() and not file.is_symlink()]
    assert kept, "the control nodes keep something"
    for file in kept:
        content = file.read_bytes()
        assert KEY.encode() not in content and TOKEN.encode() not in content, f"{file} holds a secret"
    assert any(b"x-key" in file.read_bytes() for file in kept), "the connection itself is there"


def test_what_is_wrong_with_events_is_said(ecs, events, connection):
    address = "https://events.test/"
    refused(events.put_rule, "InvalidEventPatternException", Name="bad", EventPattern='{"source": "aws.ecs"}')
    oauth = {"OAuthParameters": {"ClientParameters": {"ClientID": "a", "ClientSecret": "b"}, "AuthorizationEndpoint": address, "HttpMethod": "POST"}}
    said = refused(
        events.create_connection, "ValidationException", Name="o", AuthorizationType="OAUTH_CLIENT_CREDENTIALS", AuthParameters=oauth
    )
    assert "not supported yet" in said
    missing = connection.replace("keyed", "nobody")
    refused(
        events.create_api_destination, "ResourceNotFoundException", Name="d", ConnectionArn=missing, InvocationEndpoint=address, HttpMethod="POST"
    )
    with_star = destination(events, "star", connection, f"{address}*")
    events.put_rule(Name="wrong", EventPattern='{"source": ["aws.ecs"]}')
    refused(events.put_targets, "ValidationException", Rule="wrong", Targets=[{"Id": "a", "Arn": with_star}])
    both = {"Id": "a", "Arn": with_star, "HttpParameters": {"PathParameterValues": ["x"]}, "Input": "1", "InputPath": "$.id"}
    refused(events.put_targets, "ValidationException", Rule="wrong", Targets=[both])
    unknown = {"InputTemplate": "<nobody>"}
    wrong = both | {"InputTransformer": unknown}
    refused(events.put_targets, "ValidationException", Rule="wrong", Targets=[{k: v for k, v in wrong.items() if k not in ("Input", "InputPath")}])
    events.delete_rule(Name="wrong")
    events.delete_api_destination(Name="star")
