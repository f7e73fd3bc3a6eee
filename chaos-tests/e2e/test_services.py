"""Services keep their promises, on real Docker: an update under load, a revision that does not work, a drained instance, a zone that
dies and comes back, blue beside green; and the reasons for all of it."""

import json
import os
import subprocess
import threading
from collections import Counter

import pytest

import history
from conftest import development, environment
from containers import STAY, container
from until import until
from wire import Wire

LIMIT = 120
# Passes at once, and then every five seconds.
CHECK = {"command": ["CMD-SHELL", "true"], "interval": 5, "retries": 2}


@pytest.fixture(scope="module")
def folder():
    with development() as data:
        yield data


@pytest.fixture(scope="module")
def client(folder):
    return Wire(environment(folder)).client()


def trireme(folder, *arguments: str, code: int = 0) -> str:
    command = [os.environ["TRIREME_BIN"], *arguments, "--data", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert ran.returncode == code, f"{arguments}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def register(client, family: str, script: str = STAY, **members) -> str:
    app = container("app", script, healthCheck=CHECK, **members)
    return client.register_task_definition(family=family, containerDefinitions=[app])["taskDefinition"]["taskDefinitionArn"]


def service(client, name: str) -> dict:
    return client.describe_services(services=[name])["services"][0]


def tasks(client, name: str, status: str = "RUNNING") -> list[dict]:
    arns = client.list_tasks(serviceName=name, desiredStatus=status)["taskArns"]
    return client.describe_tasks(tasks=arns)["tasks"] if arns else []


def running(client, name: str) -> list[dict]:
    return [task for task in tasks(client, name) if task["lastStatus"] == "RUNNING"]


def steady(client, name: str, count: int) -> dict:
    """The service, once ECS's clients call it stable and its deployment is complete."""

    def look() -> tuple:
        found = service(client, name)
        return (len(found["deployments"]), found["runningCount"], found["deployments"][0]["rolloutState"])

    until(f"{name} is steady", look, lambda seen: seen == (1, count, "COMPLETED"), LIMIT)
    return service(client, name)


def zones(client, name: str) -> Counter:
    return Counter(task["availabilityZone"] for task in running(client, name))


def said(client, name: str, text: str) -> bool:
    return any(text in event["message"] for event in service(client, name)["events"])


def gone(client, name: str) -> None:
    client.delete_service(service=name, force=True)
    until(f"{name} is gone", lambda: service(client, name)["status"], lambda status: status == "INACTIVE", LIMIT)


class Load:
    """Writes and short tasks, one after the other, while the block lasts."""

    def __init__(self, client):
        self.client, self.calls, self.over = client, 0, threading.Event()
        self.thread = threading.Thread(target=self.pour)

    def pour(self) -> None:
        while not self.over.is_set():
            self.client.tag_resource(resourceArn=self.arn, tags=[{"key": "calls", "value": str(self.calls)}])
            if self.calls % 10 == 0:
                self.client.run_task(taskDefinition="short")
            self.calls += 1

    def __enter__(self):
        register(self.client, "short", "exit 0")
        self.arn = self.client.describe_clusters()["clusters"][0]["clusterArn"]
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_a_rolling_update_under_load_never_leaves_too_few(client, folder):
    register(client, "web")
    client.create_service(serviceName="web", taskDefinition="web", desiredCount=4)
    steady(client, "web", 4)
    second = register(client, "web")
    with Load(client) as load:
        client.update_service(service="web", taskDefinition="web")
        found = steady(client, "web", 4)
    assert load.calls > 10
    assert found["taskDefinition"] == second
    assert all(task["taskDefinitionArn"] == second for task in running(client, "web"))
    stops = history.judge(history.events(folder), "web", minimum=4, maximum=8, checked=True)
    assert stops >= 4, "each of the old tasks was stopped by the service"
    gone(client, "web")


def test_a_revision_whose_image_is_nowhere_is_rolled_back_and_touches_nothing(client):
    register(client, "shop")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    client.create_service(serviceName="shop", taskDefinition="shop", desiredCount=2, deploymentConfiguration=breaker)
    first = steady(client, "shop", 2)
    before = {task["taskArn"] for task in running(client, "shop")}
    bad = client.register_task_definition(family="shop", containerDefinitions=[container() | {"image": "127.0.0.1:9/nowhere:1"}])
    client.update_service(service="shop", taskDefinition=bad["taskDefinition"]["taskDefinitionArn"])
    deployment = service(client, "shop")["currentServiceDeployment"]

    def status() -> str:
        return client.describe_service_deployments(serviceDeploymentArns=[deployment])["serviceDeployments"][0]["status"]

    until("the bad revision is rolled back", status, lambda seen: seen == "ROLLBACK_SUCCESSFUL", LIMIT)
    after = steady(client, "shop", 2)
    assert after["taskDefinition"] == first["taskDefinition"]
    assert {task["taskArn"] for task in running(client, "shop")} == before, "not one of them was stopped"
    assert said(client, "shop", "deployment failed: tasks failed to start.")
    told = client.describe_service_deployments(serviceDeploymentArns=[deployment])["serviceDeployments"][0]
    assert told["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert told["deploymentCircuitBreaker"]["failureCount"] >= told["deploymentCircuitBreaker"]["threshold"] == 3
    assert told["rollback"]["serviceRevisionArn"] != told["targetServiceRevision"]["arn"]
    gone(client, "shop")


def test_a_drained_instance_is_left_start_first_and_gets_work_again(client, folder):
    register(client, "drained")
    client.create_service(serviceName="drained", taskDefinition="drained", desiredCount=3)
    steady(client, "drained", 3)
    instance = running(client, "drained")[0]["containerInstanceArn"]
    foreseen = trireme(folder, "drain", instance.rsplit("/", 1)[1], "--plan", code=1)
    assert "drained" in foreseen
    client.update_container_instances_state(containerInstances=[instance], status="DRAINING")
    until("it is empty", lambda: [task["containerInstanceArn"] for task in tasks(client, "drained")],
          lambda seen: instance not in seen and len(seen) == 3, LIMIT)
    steady(client, "drained", 3)
    history.judge(history.events(folder), "drained", minimum=3, maximum=6, checked=True)
    client.update_container_instances_state(containerInstances=[instance], status="ACTIVE")
    until("its zone is as full as the others", lambda: sorted(zones(client, "drained").values()),
          lambda seen: seen == [1, 1, 1], LIMIT)
    assert said(client, "drained", "is not AZ balanced with")
    gone(client, "drained")


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


def test_why_a_task_is_where_it_is_and_why_another_finds_no_place(client, folder):
    register(client, "placed")
    anywhere = [{"type": "memberOf", "expression": "attribute:ecs.availability-zone != us-east-1a"}]
    client.create_service(serviceName="placed", taskDefinition="placed", desiredCount=1, placementConstraints=anywhere)
    steady(client, "placed", 1)
    task = running(client, "placed")[0]
    told = trireme(folder, "explain", task["taskArn"])
    assert task["availabilityZone"] in told and "us-east-1a" in told
    answer = json.loads(trireme(folder, "explain", task["taskArn"], "--json"))
    text = json.dumps(answer)
    assert "MemberOf" in text or "memberOf" in text, text
    client.register_task_definition(family="huge", containerDefinitions=[container() | {"memory": 10_000_000}])
    client.create_service(serviceName="huge", taskDefinition="huge", desiredCount=1)
    until("it is said", lambda: [event["message"] for event in service(client, "huge")["events"]],
          lambda seen: any("has insufficient memory available" in message for message in seen), LIMIT)
    told = trireme(folder, "explain", "huge")
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


def test_a_zone_dies_and_comes_back_and_the_service_is_even_again(client, folder):
    register(client, "spread")
    client.create_service(serviceName="spread", taskDefinition="spread", desiredCount=6)
    steady(client, "spread", 6)
    assert sorted(zones(client, "spread").values()) == [2, 2, 2]
    foreseen = trireme(folder, "whatif", "zone-loss", "us-east-1c")
    assert "spread" in foreseen
    trireme(folder, "dev", "kill", "us-east-1c")
    lost = [task["taskArn"] for task in tasks(client, "spread") if task["availabilityZone"] == "us-east-1c"]
    until("every task of the zone is STOPPED",
          lambda: [task["lastStatus"] for task in client.describe_tasks(tasks=lost)["tasks"]] if lost else [],
          lambda seen: set(seen) <= {"STOPPED"}, LIMIT)
    steady(client, "spread", 6)
    assert sorted(zones(client, "spread").values()) == [3, 3]
    trireme(folder, "dev", "start", "us-east-1c")
    until("it is even again", lambda: sorted(zones(client, "spread").values()), lambda seen: seen == [2, 2, 2], LIMIT)
    until("all is told", lambda: said(client, "spread", "is AZ balanced with"), bool, LIMIT)
    history.judge(history.events(folder), "spread", minimum=6, maximum=12, checked=True)
    gone(client, "spread")
