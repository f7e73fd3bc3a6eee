"""GPUs: agents that say they have some, tasks that want them, and who gets which. Nothing here has a real one: containers are pretended, and
what Docker would be asked for is shown at the agent."""

import json
import os
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from until import until

CLUSTER = "with-gpus"
FAST, SLOW = ["GPU-9a", "GPU-1b"], ["GPU-5c"]
LIMIT = 60


@contextmanager
def agent(data: Path, folder: Path, name: str, zone: int, *arguments: str):
    """An agent of the cluster with GPUs, beside those of the development cluster; it ends with the block."""
    zones = json.loads((data / "cluster.json").read_text())["zones"]
    servers = [word for one in zones for word in ("--server", one["grpc"])]
    command = [os.environ["TRIREME_BIN"], "agent", "--data", str(folder / name), "--name", name, "--cluster", CLUSTER]
    command += ["--zone", zones[zone]["name"], "--runtime", "fake", "--absence", "0s", *arguments, *servers]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="module")
def client(data, wire):
    """Calls, once three agents are there: one with two GPUs, one with one, and one that shares its machine and offers none."""
    client = wire.client()

    def names() -> list[str]:
        try:
            arns = client.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
        except client.exceptions.ClusterNotFoundException:
            return []
        return sorted(instances(client)) if arns else []

    with tempfile.TemporaryDirectory(prefix="trireme-gpus-") as folder:
        folder = Path(folder)
        with (
            agent(data, folder, "fast", 0, "--gpus", ",".join(FAST)),
            agent(data, folder, "slow", 1, "--gpus", ",".join(SLOW)),
            agent(data, folder, "none", 2, "--oversubscribe"),
        ):
            until("the agents are registered", names, lambda seen: seen == ["fast", "none", "slow"], LIMIT)
            yield client
            for arn in client.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]:
                client.deregister_container_instance(cluster=CLUSTER, containerInstance=arn, force=True)


def instances(client) -> dict[str, dict]:
    arns = client.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
    found = client.describe_container_instances(cluster=CLUSTER, containerInstances=arns)["containerInstances"]
    return {one["ec2InstanceId"]: one for one in found}


def gpus(instance: dict, which: str) -> list[str]:
    resource = next(one for one in instance[which] if one["name"] == "GPU")
    assert resource["type"] == "STRINGSET"
    return resource["stringSetValue"]


def left(client) -> dict[str, list[str]]:
    return {name: gpus(one, "remainingResources") for name, one in instances(client).items()}


def container(name: str, gpus: int) -> dict:
    made = {"name": name, "image": "busybox:1", "memory": 16}
    return made | ({"resourceRequirements": [{"type": "GPU", "value": str(gpus)}]} if gpus else {})


def register(client, family: str, *containers: dict) -> None:
    made = client.register_task_definition(family=family, containerDefinitions=list(containers))["taskDefinition"]
    asked = [one.get("resourceRequirements", []) for one in made["containerDefinitions"]]
    assert asked == [one.get("resourceRequirements", []) for one in containers]


def run(client, family: str, count: int = 1) -> tuple[list[dict], list[dict]]:
    ran = client.run_task(cluster=CLUSTER, taskDefinition=family, count=count)
    return ran["tasks"], ran["failures"]


def reaches(client, task: dict, status: str) -> dict:
    look = lambda: client.describe_tasks(cluster=CLUSTER, tasks=[task["taskArn"]])["tasks"][0]
    return until(f"{task['taskArn']} is {status}", look, lambda found: found["lastStatus"] == status, LIMIT)


def stop(client, task: dict) -> dict:
    client.stop_task(cluster=CLUSTER, task=task["taskArn"])
    return reaches(client, task, "STOPPED")


def of(task: dict, name: str) -> list[str]:
    return next(one for one in task["containers"] if one["name"] == name).get("gpuIds", [])


def test_tasks_have_gpus_of_their_own(client):
    there = instances(client)
    assert {name: gpus(one, "registeredResources") for name, one in there.items()} == {"fast": FAST, "slow": SLOW, "none": []}
    register(client, "train", container("app", 1), container("side", 0))
    tasks, failures = run(client, "train", 4)
    assert len(tasks) == 3 and {one["reason"] for one in failures} == {"RESOURCE:GPU"}
    for task in tasks:
        reaches(client, task, "RUNNING")
        assert of(task, "side") == []
    held = [(task["containerInstanceArn"], *of(task, "app")) for task in tasks]
    arn = lambda name: there[name]["containerInstanceArn"]
    assert sorted(held) == sorted([(arn("fast"), FAST[0]), (arn("fast"), FAST[1]), (arn("slow"), SLOW[0])])
    assert left(client) == {"fast": [], "slow": [], "none": []}
    assert [one["reason"] for one in run(client, "train")[1]] == ["RESOURCE:GPU"] * 3
    for name in there:
        started = client.start_task(cluster=CLUSTER, taskDefinition="train", containerInstances=[arn(name)])
        assert [one["reason"] for one in started["failures"]] == ["RESOURCE:GPU"], name

    gone = stop(client, next(task for task in tasks if of(task, "app") == FAST[1:]))
    assert of(gone, "app") == FAST[1:] and left(client)["fast"] == FAST[1:]
    [again], failures = run(client, "train")
    assert failures == [] and of(again, "app") == FAST[1:]
    for task in [again, *(task for task in tasks if task["taskArn"] != gone["taskArn"])]:
        stop(client, task)
    assert left(client) == {"fast": FAST, "slow": SLOW, "none": []}


def test_containers_of_a_task_have_them_apart_and_their_machine_together(client):
    register(client, "pair", container("one", 1), container("two", 1))
    [task], failures = run(client, "pair")
    assert failures == [] and [of(task, "one"), of(task, "two")] == [FAST[:1], FAST[1:]]
    tasks, failures = run(client, "pair")
    assert tasks == [] and {one["reason"] for one in failures} == {"RESOURCE:GPU"}, "one is free, elsewhere"
    stop(client, task)


def test_a_service_waits_for_a_gpu_and_says_so(client):
    register(client, "train", container("app", 1))
    tasks, _ = run(client, "train", 3)
    client.create_service(cluster=CLUSTER, serviceName="train", taskDefinition="train", desiredCount=1)
    service = lambda: client.describe_services(cluster=CLUSTER, services=["train"])["services"][0]
    told = lambda found: any('encountered error "RESOURCE:GPU".' in event["message"] for event in found["events"])
    until("the service says what it lacks", service, told, LIMIT)
    assert service()["runningCount"] == 0
    stop(client, tasks[0])
    until("its task runs", lambda: service()["runningCount"], lambda count: count == 1, LIMIT)
    [arn] = client.list_tasks(cluster=CLUSTER, serviceName="train")["taskArns"]
    found = client.describe_tasks(cluster=CLUSTER, tasks=[arn])["tasks"][0]
    assert of(found, "app") == of(tasks[0], "app")
    client.delete_service(cluster=CLUSTER, service="train", force=True)
    for task in [*tasks[1:], found]:
        stop(client, task)


def test_what_cannot_be_given_is_refused(client):
    memory = {"nvidiaMps": {"memory": 1024}}
    for requirement, words in [
        ({"type": "GPU", "value": "ALL"}, "resourceRequirements.value ALL"),
        ({"type": "GPU", "sharingStrategy": memory}, "resourceRequirements.sharingStrategy"),
    ]:
        with pytest.raises(ClientError) as caught:
            register(client, "refused", container("app", 0) | {"resourceRequirements": [requirement]})
        assert words in caught.value.response["Error"]["Message"]
