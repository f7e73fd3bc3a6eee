"""What tasks really use, on real Docker: beside what they reserve, over time, and after the leader died."""

import json

import pytest

from containers import container
from services import LIMIT, gone, running, steady, trireme
from until import until

# Busy for a part of the time: others want the processors too.
BUSY = "trap 'exit 0' TERM; while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.1; done"


@pytest.fixture(scope="module")
def client(docker):
    return docker.client()


@pytest.fixture(scope="module")
def burning(client):
    """A service whose tasks use more than they reserve."""
    app = container("app", BUSY) | {"cpu": 10, "memory": 64}
    client.register_task_definition(family="burn", containerDefinitions=[app])
    client.create_service(serviceName="burn", taskDefinition="burn", desiredCount=3)
    steady(client, "burn", 3)
    yield "burn"
    gone(client, "burn")


def top(folder, *arguments: str) -> dict:
    """What is said, or that nobody says it just now."""
    try:
        return json.loads(trireme(folder, "top", *arguments, "--json"))
    except AssertionError:
        return {"complete": False}


def of(seen: dict, name: str) -> dict:
    return next((row for row in seen.get("services", []) if row["name"] == name), {})


def test_what_is_used_stands_beside_what_is_reserved(client, docker_data, burning):
    def busy(seen: dict) -> bool:
        row = of(seen, burning)
        return seen["complete"] and row.get("known") == 3 and row["cpu_used_millis"] > 30

    seen = until("all three are known", lambda: top(docker_data), busy, LIMIT)
    row = of(seen, burning)
    assert (row["running"], row["cpu_reserved"], row["memory_reserved"]) == (3, 3 * 10, 3 * 64)
    assert 0 < row["memory_percent"] < 100 and 0 < row["memory_used_bytes"] < 3 * 64 * 2**20
    assert row["cpu_percent"] == pytest.approx(100 * (row["cpu_used_millis"] / 1000) / (30 / 1024), rel=0.01)
    tasks = {row["name"]: row for row in seen["tasks"] if row["of"] == burning}
    assert set(tasks) == {task["taskArn"].rsplit("/", 1)[1] for task in running(client, burning)}
    assert all(row["on"] and row["zone"] and row["known"] == 1 for row in tasks.values())
    assert sum(row["running"] for row in seen["instances"]) == 3
    assert all(0 < row["cpu_total"] and row["cpu_reserved"] <= row["cpu_total"] for row in seen["instances"])
    text = trireme(docker_data, "top", "--cluster", "default", "--rows", "2")
    assert "burn" in text and "… and 1 more tasks (--rows)" in text, text
    assert "burn" not in trireme(docker_data, "top", "--cluster", "other")


def test_a_new_leader_knows_the_last_minutes(client, docker_data, burning):
    def leader() -> str | None:
        led = json.loads(trireme(docker_data, "status", "--json"))["leader"]
        return led and led["zone"]

    zone = until("one leads", leader, bool, LIMIT)
    # One in each zone that is left: at most one of them speaks to the next leader itself.
    kept = [task["taskArn"] for task in running(client, burning) if task["availabilityZone"] != zone]
    assert len(kept) == 2

    def oldest() -> float:
        """How long ago the first sample is of that task of which the leader knows least."""
        seen = [top(docker_data, task) for task in kept]
        ages = [[point["age"] for point in one["history"]] if one["complete"] else [] for one in seen]
        return min(max(of_one, default=0) for of_one in ages)

    before = until("a minute is known", oldest, lambda age: age >= 60, LIMIT)
    trireme(docker_data, "dev", "kill", zone)
    try:
        # A leader that was told nothing again would know of as much only a minute later.
        until("another one leads and knows it", oldest, lambda age: age >= before, 40)
    finally:
        trireme(docker_data, "dev", "start", zone)
    steady(client, burning, 3)


def test_a_task_that_is_not_there_is_not_known(docker_data, burning):
    trireme(docker_data, "top", "0" * 32, code=1)
    trireme(docker_data, "top", "no-task", code=1)
