"""Managed scaling: a capacity provider's pool grows and shrinks through a hook that starts and stops real agents with real containers."""

import json
import os
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from conftest import development, environment
from containers import container, register, wait
from until import until
from wire import Wire

LIMIT = 90
HOOK = Path(__file__).parents[2] / "deploy" / "examples" / "scaling-hook.sh"
# One task on each machine.
MEMORY = 600


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(scope="module")
def folder(place: Path):
    """A cluster without container instances, whose control nodes call the example hook and note each call."""
    data: list[Path] = []
    hook = place / "hook.sh"
    hook.write_text(
        "#!/bin/sh\n"
        f'echo "$TRIREME_REQUEST_ID $TRIREME_WANTED" >> {place}/calls\n'
        f'export TRIREME={os.environ["TRIREME_BIN"]} STATE={place}/agents SERVERS="$(cat {place}/servers)"\n'
        f"export CPU=1024 MEMORY=1024 AGENT_ARGS=--no-metadata\n"
        f"exec {HOOK}\n"
    )
    hook.chmod(0o755)
    try:
        with development("--agents-per-zone", "0", "--scaling-hook", str(hook)) as folder:
            zones = json.loads((folder / "cluster.json").read_text())["zones"]
            (place / "servers").write_text(",".join(zone["grpc"] for zone in zones))
            data.append(folder)
            yield folder
    finally:
        for pid in (place / "agents").glob("*/*/pid"):
            try:
                os.kill(int(pid.read_text()), signal.SIGTERM)
            except ProcessLookupError:
                pass


@pytest.fixture(scope="module")
def client(folder: Path):
    client = Wire(environment(folder)).client()
    client.create_cluster()
    group = {
        "autoScalingGroupArn": "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:u:autoScalingGroupName/grown",
        "managedScaling": {"status": "ENABLED", "targetCapacity": 100, "instanceWarmupPeriod": 5},
        "managedDraining": "ENABLED",
    }
    client.create_capacity_provider(name="machines", autoScalingGroupProvider=group)
    client.put_cluster_capacity_providers(
        cluster="default",
        capacityProviders=["machines"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "machines", "weight": 1}],
    )
    register(client, "job", {**container(), "memory": MEMORY})
    return client


def instances(client) -> list[dict]:
    arns = client.list_container_instances()["containerInstanceArns"]
    return client.describe_container_instances(containerInstances=arns)["containerInstances"] if arns else []


def calls(place: Path) -> list[tuple[str, int]]:
    text = (place / "calls").read_text() if (place / "calls").exists() else ""
    return [(line.split()[0], int(line.split()[1])) for line in text.splitlines()]


def test_a_task_waits_in_provisioning_until_a_machine_is_there(client, place):
    ran = client.run_task(taskDefinition="job", clientToken="once")
    assert ran["failures"] == []
    arn = ran["tasks"][0]["taskArn"]
    assert (ran["tasks"][0]["lastStatus"], ran["tasks"][0]["capacityProviderName"]) == ("PROVISIONING", "machines")
    assert client.list_tasks()["taskArns"] == [arn]
    found = wait(client, arn, "RUNNING")
    assert found["taskArn"] == arn and found["capacityProviderName"] == "machines"
    assert [one["capacityProviderName"] for one in instances(client)] == ["machines"]
    assert client.run_task(taskDefinition="job", clientToken="once")["tasks"][0]["taskArn"] == arn
    client.stop_task(task=arn)
    wait(client, arn, "STOPPED")


def test_scheduled_tasks_wait_for_machines_too(folder, client):
    scheduler = Wire(environment(folder)).client(service="scheduler")
    strategy = [{"capacityProvider": "machines", "weight": 1, "base": 1}]
    definition = client.describe_task_definition(taskDefinition="job")["taskDefinition"]["taskDefinitionArn"]
    # One may find a machine of the test before, and each wants one of its own.
    parameters = {"TaskDefinitionArn": definition, "TaskCount": 2, "CapacityProviderStrategy": strategy}
    cluster = client.describe_clusters()["clusters"][0]["clusterArn"]
    at = datetime.now(timezone.utc) + timedelta(seconds=3)
    scheduler.create_schedule(
        Name="grows",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": cluster, "RoleArn": "arn:aws:iam::123456789012:role/events", "EcsParameters": parameters},
    )
    found = scheduler.get_schedule(Name="grows")["Target"]["EcsParameters"]
    assert found["CapacityProviderStrategy"] == strategy

    def started() -> list[str]:
        return client.list_tasks(startedBy="chronos-schedule/grows")["taskArns"]

    arns = until("both are promised", started, lambda arns: len(arns) == 2, LIMIT)
    first = client.describe_tasks(tasks=arns)["tasks"]
    assert "PROVISIONING" in {one["lastStatus"] for one in first}, first
    assert {one["capacityProviderName"] for one in first} == {"machines"}
    running = [wait(client, arn, "RUNNING") for arn in arns]
    assert len({one["containerInstanceArn"] for one in running}) == 2
    assert sorted(started()) == sorted(arns), "each ran under the id that it had, once"
    scheduler.delete_schedule(Name="grows")
    for arn in arns:
        client.stop_task(task=arn)
        wait(client, arn, "STOPPED")


def test_a_service_makes_the_pool_grow_and_shrink(client, place):
    client.create_service(serviceName="web", taskDefinition="job", desiredCount=3)

    def running() -> int:
        return client.describe_services(services=["web"])["services"][0]["runningCount"]

    until("all three run, each on a machine of its own", running, lambda count: count == 3, LIMIT)
    there = instances(client)
    assert len([one for one in there if one["status"] == "ACTIVE"]) == 3
    client.update_service(service="web", desiredCount=1)
    until("two machines are gone", lambda: instances(client), lambda found: len(found) == 1, LIMIT)
    assert running() == 1
    assert instances(client)[0]["runningTasksCount"] == 1, "the one that is used stayed"
    # One decision is one number, however often the hook was called for it.
    sizes: dict[str, set[int]] = {}
    for request, wanted in calls(place):
        sizes.setdefault(request, set()).add(wanted)
    assert all(len(wanted) == 1 for wanted in sizes.values()), sizes


def test_an_empty_pool_is_none(client, place):
    client.delete_service(service="web", force=True)
    until("no machine is left", lambda: instances(client), lambda found: found == [], LIMIT)
    assert calls(place)[-1][1] == 0
