"""Services keep their promises, on real Docker: blue beside green, the reasons for a place and for none, and a zone that dies and comes
back."""

import json
from collections import Counter

import pytest

import history
from containers import STAY, container
from services import LIMIT, gone, register, running, said, service, steady, tasks, trireme, zones
from until import until


@pytest.fixture(scope="module")
def client(docker):
    return docker.client()


def test_blue_serves_beside_green_until_someone_says_a_word(client):
    register(client, "paint")
    configuration = {
        "strategy": "BLUE_GREEN",
        "bakeTimeInMinutes": 0,
        "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}],
    }
    client.create_service(serviceName="paint", taskDefinition="paint", desiredCount=2, deploymentConfiguration=configuration)

    def waits() -> dict:
        """The deployment that is under way and its hook, once it waits there."""
        arn = service(client, "paint")["currentServiceDeployment"]

        def look() -> tuple:
            found = client.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
            hooks = found.get("lifecycleHookDetails", [])
            return found.get("lifecycleStage"), [one["hookId"] for one in hooks if one["status"] == "AWAITING_ACTION"]

        _, hooks = until("green waits", look, lambda seen: seen[0] == "POST_SCALE_UP" and len(seen[1]) == 1, LIMIT)
        return {"serviceDeploymentArn": arn, "hookId": hooks[0]}

    client.continue_service_deployment(**waits())
    steady(client, "paint", 2)
    blue = {task["taskArn"] for task in running(client, "paint")}

    def deploy() -> dict:
        register(client, "paint")
        client.update_service(service="paint", taskDefinition="paint")
        return waits()

    green = deploy()
    assert len(running(client, "paint")) == 4, "blue and green"
    client.continue_service_deployment(**green, action="ROLLBACK")
    steady(client, "paint", 2)
    assert {task["taskArn"] for task in running(client, "paint")} == blue, "blue was not touched"
    client.continue_service_deployment(**deploy())
    steady(client, "paint", 2)
    assert blue.isdisjoint(task["taskArn"] for task in running(client, "paint"))
    gone(client, "paint")


def test_why_a_task_is_where_it_is_and_why_another_finds_no_place(client, docker_data):
    register(client, "placed")
    anywhere = [{"type": "memberOf", "expression": "attribute:ecs.availability-zone != us-east-1a"}]
    client.create_service(serviceName="placed", taskDefinition="placed", desiredCount=1, placementConstraints=anywhere)
    steady(client, "placed", 1)
    task = running(client, "placed")[0]
    told = trireme(docker_data, "explain", task["taskArn"])
    assert task["availabilityZone"] in told and "us-east-1a" in told
    answer = json.loads(trireme(docker_data, "explain", task["taskArn"], "--json"))
    text = json.dumps(answer)
    assert "MemberOf" in text or "memberOf" in text, text
    client.register_task_definition(family="huge", containerDefinitions=[container() | {"memory": 10_000_000}])
    client.create_service(serviceName="huge", taskDefinition="huge", desiredCount=1)
    until("it is said", lambda: [event["message"] for event in service(client, "huge")["events"]],
          lambda seen: any("has insufficient memory available" in message for message in seen), LIMIT)
    told = trireme(docker_data, "explain", "huge")
    assert "memory: wants 10000000 MiB" in told, told
    client.update_service(service="placed", placementConstraints=[])
    gone(client, "huge")
    gone(client, "placed")


def test_a_definition_and_a_call_say_where_tasks_run(client):
    app = container("app", STAY)
    only = [{"type": "memberOf", "expression": "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]"}]
    given = {"family": "bound", "containerDefinitions": [app], "placementConstraints": only}
    made = client.register_task_definition(**given)["taskDefinition"]
    assert made["placementConstraints"] == only
    apart = {"taskDefinition": "bound", "count": 3, "placementConstraints": [{"type": "distinctInstance"}]}
    ran = client.run_task(**apart)
    assert {task["availabilityZone"] for task in ran["tasks"]} == {"us-east-1a", "us-east-1b"}
    reasons = Counter(failure["reason"] for failure in ran["failures"])
    assert reasons["DistinctInstance placement constraint unsatisfied."] == 2, reasons
    assert reasons["MemberOf placement constraint unsatisfied."] == 1, reasons
    packed = [{"type": "binpack", "field": "memory"}]
    together = client.run_task(taskDefinition="bound", group="packed", count=3, placementStrategy=packed)
    assert len({task["containerInstanceArn"] for task in together["tasks"]}) == 1
    for task in ran["tasks"] + together["tasks"]:
        client.stop_task(task=task["taskArn"])
    with pytest.raises(client.exceptions.InvalidParameterException, match="Invalid placement constraint expression"):
        client.run_task(taskDefinition="bound", placementConstraints=[{"type": "memberOf", "expression": "=="}])


def test_a_zone_dies_and_comes_back_and_the_service_is_even_again(client, docker_data):
    register(client, "spread")
    client.create_service(serviceName="spread", taskDefinition="spread", desiredCount=6)
    steady(client, "spread", 6)
    assert sorted(zones(client, "spread").values()) == [2, 2, 2]
    foreseen = trireme(docker_data, "whatif", "zone-loss", "us-east-1c")
    assert "spread" in foreseen
    trireme(docker_data, "dev", "kill", "us-east-1c")
    lost = [task["taskArn"] for task in tasks(client, "spread") if task["availabilityZone"] == "us-east-1c"]
    until("every task of the zone is STOPPED",
          lambda: [task["lastStatus"] for task in client.describe_tasks(tasks=lost)["tasks"]] if lost else [],
          lambda seen: set(seen) <= {"STOPPED"}, LIMIT)
    steady(client, "spread", 6)
    assert sorted(zones(client, "spread").values()) == [3, 3]
    trireme(docker_data, "dev", "start", "us-east-1c")
    until("it is even again", lambda: sorted(zones(client, "spread").values()), lambda seen: seen == [2, 2, 2], LIMIT)
    until("all is told", lambda: said(client, "spread", "is AZ balanced with"), bool, LIMIT)
    history.judge(history.events(docker_data), "spread", minimum=6, maximum=12, checked=True)
    gone(client, "spread")
