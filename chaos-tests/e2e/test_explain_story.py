"""Why, what if and what was, as an operator asks them: each machine has room for one task of the service."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from conftest import development, environment
from until import until
from wire import Wire

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
# A plan's exit codes.
NOTHING, CHANGES, FAILED = 0, 1, 255


class Trireme:
    """The operator's verbs against one cluster."""

    def __init__(self, data: Path):
        self.data = data
        self.wire = Wire(environment(data))

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        variables = {**os.environ, "TRIREME_DATA": str(self.data)}
        command = [os.environ["TRIREME_BIN"], *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)

    def text(self, *arguments: str, code: int = 0) -> str:
        told = self.run(*arguments)
        assert told.returncode == code, (arguments, told.returncode, told.stdout, told.stderr)
        return told.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.text(*arguments, "--json", code=code))

    def applied(self) -> int:
        return self.json("status")["applied"]

    def register(self, family: str, memory: int) -> None:
        container = {"name": "app", "image": "busybox", "memory": memory}
        self.wire.done("RegisterTaskDefinition", {"family": family, "containerDefinitions": [container]})

    def service(self, name: str, desired: int) -> None:
        limits = {"maximumPercent": 100, "minimumHealthyPercent": 0}
        wanted = {"serviceName": name, "taskDefinition": name, "desiredCount": desired}
        self.wire.done("CreateService", {**wanted, "deploymentConfiguration": limits})

    def running(self, name: str) -> int:
        return self.wire.done("DescribeServices", {"services": [name]})["services"][0]["runningCount"]


@pytest.fixture(scope="module")
def trireme():
    with development("--runtime", "fake", "--agent-memory", "1024") as data:
        trireme = Trireme(data)
        trireme.register("large", 600)
        trireme.register("small", 100)
        trireme.service("large", 3)
        trireme.service("small", 2)
        until("all run", lambda: (trireme.running("large"), trireme.running("small")), lambda now: now == (3, 2))
        yield trireme


def task_of(trireme: Trireme, service: str) -> str:
    return trireme.wire.done("ListTasks", {"serviceName": service})["taskArns"][0]


def test_a_placed_task_is_explained_by_what_each_machine_said(trireme):
    told = trireme.json("explain", task_of(trireme, "large"))
    assert (told["service"], told["status"], told["stopped_reason"]) == ("large", "RUNNING", None)
    chosen = [node for node in told["nodes"] if node["chosen"]]
    assert [node["name"] for node in chosen] == [told["instance"]]
    assert len(told["nodes"]) == 3 and told["placed_as_of"]["sequence"] < told["as_of"]["sequence"]
    text = trireme.text("explain", task_of(trireme, "large"))
    assert "Just before it was placed" in text and "-> " in text, text


def test_a_task_without_a_place_is_explained_with_numbers(trireme):
    trireme.wire.done("UpdateService", {"service": "large", "desiredCount": 4})
    try:
        text = until(
            "one is missing", lambda: trireme.text("explain", "large"), lambda text: "memory: wants 600 MiB" in text
        )
        assert "3 of 4 tasks RUNNING" in text and "RESOURCE:MEMORY" in text and "next: trireme status" in text, text
        missing = trireme.json("explain", "large")["missing"]
        assert [(one["cause"], one["tasks"], len(one["nodes"])) for one in missing] == [("NO_PLACE", 1, 3)]
    finally:
        trireme.wire.done("UpdateService", {"service": "large", "desiredCount": 3})
    until("nothing is missing", lambda: trireme.json("explain", "large")["missing"], lambda missing: missing == [])


def test_what_is_not_there_is_refused(trireme):
    assert "there is no service nobody" in trireme.run("explain", "nobody").stderr
    assert "there is no task" in trireme.run("explain", "0" * 32).stderr
    assert trireme.run("plan", "service", "nobody").returncode == FAILED
    assert trireme.run("drain", "nobody", "--plan").returncode == FAILED
    assert "us-east-1a" in trireme.run("whatif", "zone-loss", "mars").stderr


def test_a_plan_says_what_an_update_would_do_and_does_nothing(trireme):
    before = trireme.json("status")["services"]
    plan = ("plan", "service")
    assert "Nothing would change" in trireme.text(*plan, "small", code=NOTHING)
    more = trireme.json(*plan, "small", "--desired-count", "5", code=CHANGES)
    assert (more["verdict"], more["changes"], more["begins_a_deployment"]) == ("fits", True, False)
    assert [move["kind"] for move in more["moves"]] == ["STARTS"] * 3
    again = trireme.json(*plan, "small", "--force-new-deployment", code=CHANGES)
    assert again["begins_a_deployment"] and {move["kind"] for move in again["moves"]} == {"STARTS", "STOPS"}
    text = trireme.text(*plan, "large", "--desired-count", "4", code=FAILED)
    assert "IT DOES NOT FIT" in text and "memory: wants 600 MiB" in text, text
    assert trireme.run(*plan, "large", "--task-definition", "none:7").returncode == FAILED
    assert trireme.json("status")["services"] == before


def test_the_loss_of_a_zone_is_survivable_or_not(trireme):
    loss = trireme.json("whatif", "zone-loss", ZONES[0], code=1)
    assert (loss["survivable"], loss["keeps_quorum"], loss["voters"], loss["voters_in_zone"]) == (False, True, 3, 1)
    verdicts = {one["name"]: one["verdict"] for one in loss["services"]}
    assert verdicts["large"] == "does not fit" and verdicts.get("small", "fits") == "fits"
    assert "NOT SURVIVABLE" in trireme.text("whatif", "zone-loss", ZONES[0], code=1)
    trireme.wire.done("UpdateService", {"service": "large", "desiredCount": 1})
    try:
        until("two are gone", lambda: trireme.running("large"), lambda running: running == 1)
        text = trireme.text("whatif", "zone-loss", ZONES[0])
        assert "SURVIVABLE: every service is whole again elsewhere" in text, text
        until("the gauge shows it", lambda: gauge(trireme), lambda values: values == {zone: 1.0 for zone in ZONES}, 90)
    finally:
        trireme.wire.done("UpdateService", {"service": "large", "desiredCount": 3})
    until("all run", lambda: trireme.running("large"), lambda running: running == 3)
    until("the gauge shows it", lambda: gauge(trireme), lambda values: values == {zone: 0.0 for zone in ZONES}, 90)


def gauge(trireme: Trireme) -> dict[str, float]:
    """Whether each zone could be lost, as the leader's metrics have it; nothing while nobody leads."""
    leader = trireme.json("status")["leader"]
    if leader is None:
        return {}
    zones = json.loads((trireme.data / "cluster.json").read_text())["zones"]
    address = next(zone["api"] for zone in zones if zone["name"] == leader["zone"])
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = [line for line in lines if line.startswith("trireme_zone_loss_survivable{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in values}


def test_a_drain_does_what_its_plan_says(trireme):
    agent = next(agent for agent in trireme.json("status")["agents"] if agent["zone"] == ZONES[2])
    # No other machine has room for the large one: the plan says so, and what is there goes on.
    plan = trireme.json("drain", agent["name"], "--plan", code=FAILED)
    assert plan["verdict"] == "does not fit"
    trireme.wire.done("UpdateService", {"service": "large", "desiredCount": 1})
    until("two are gone", lambda: trireme.running("large"), lambda running: running == 1)
    on = next(agent for agent in trireme.json("status")["agents"] if agent["running_tasks"] > 0)
    plan = trireme.json("drain", on["name"], "--plan", code=CHANGES)
    assert plan["verdict"] == "fits" and plan["stays"] == []
    moved = sorted(move["service"] for move in plan["moves"] if move["kind"] == "STARTS")
    text = trireme.text("drain", on["name"], "--timeout", "100")
    assert text.splitlines()[-1].startswith(f"{on['name']} is DRAINING and empty"), text
    assert len(moved) == on["running_tasks"]
    trireme.text("drain", on["name"], "--plan", code=NOTHING)
    instance = on["container_instance"]
    trireme.wire.done("UpdateContainerInstancesState", {"containerInstances": [instance], "status": "ACTIVE"})
    trireme.wire.done("UpdateService", {"service": "large", "desiredCount": 3})
    until("all run", lambda: trireme.running("large"), lambda running: running == 3)


def test_what_was_is_shown_and_what_changed_since(trireme):
    before, then = until("all run", lambda: whole(trireme), lambda seen: running(seen[1]) == {"large": 3, "small": 2})
    stopped = task_of(trireme, "small")
    trireme.wire.done("StopTask", {"task": stopped, "reason": "by hand"})
    both = {("task", "started"), ("task", "stopped")}
    new = until("another one is there and it is over", lambda: trireme.json("diff", str(before)), lambda diff: both <= kinds(diff))
    assert stopped.rsplit("/", 1)[1] in {change["subject"] for change in new["changes"] if change["what"] == "stopped"}
    assert any(change["to"] == "by hand" for change in new["changes"]), new
    assert then["as_of"]["sequence"] == before
    assert trireme.json("at", str(before), "status") == then
    task = trireme.json("at", str(before), "explain", stopped)
    assert (task["status"], task["desired_status"]) == ("RUNNING", "RUNNING")
    # Long before, there was nothing.
    first = trireme.json("at", "1", "status")
    assert first["services"] == []
    assert "has not happened" in trireme.run("at", "99999999", "status").stderr
    text = trireme.text("diff", "1", str(before))
    assert "default/large" in text and "created" in text, text


def whole(trireme: Trireme) -> tuple[int, Any]:
    """What is applied, and what `at` tells of it."""
    applied = trireme.applied()
    return applied, trireme.json("at", str(applied), "status")


def running(then: Any) -> dict[str, int]:
    return {service["name"]: service["running"] for service in then["services"]}


def kinds(diff: Any) -> set[tuple[str, str]]:
    return {(change["kind"], change["what"]) for change in diff["changes"]}
