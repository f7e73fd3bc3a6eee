"""What a task definition says of a task as a whole, and of containers that come again, on a real Docker Engine."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import development, environment
from containers import (
    LIMIT,
    STAY,
    container,
    described_as_given,
    docker_says,
    inside,
    inspected,
    of,
    page,
    register,
    run,
    started,
    stop,
    task,
    wait,
)
from metadata import asked
from until import until
from wire import Wire

CGROUPS = Path("/sys/fs/cgroup")
# ECS takes no shorter one.
PERIOD = 60
# An agent whose operator allows more than `trireme dev` does.
GENEROUS = "e2e/generous"
# What it says it has. No machine has it.
GPU = "GPU-of-nobody"


@contextmanager
def generous(data: Path):
    """Its folder of objects. Nothing of it is left after the block."""
    objects = data / "objects"
    objects.mkdir()
    zones = json.loads((data / "cluster.json").read_text())["zones"]
    servers = [word for zone in zones for word in ("--server", zone["grpc"])]
    command = [os.environ["TRIREME_BIN"], "agent", "--data", str(data / "generous"), "--name", GENEROUS]
    command += ["--zone", zones[0]["name"], "--object-dir", str(objects), "--allow-host-namespaces"]
    command += ["--gpus", GPU, *servers]
    with (data / "generous.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield objects
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        cluster = json.loads((data / "generous" / "ledger.json").read_text())["cluster_uuid"]
        labels = [f"label=io.trireme.agent-name={GENEROUS}", f"label=io.trireme.cluster-uuid={cluster}"]
        left = docker_says("ps", "-aq", *(word for label in labels for word in ("--filter", label))).split()
        if left:
            docker_says("rm", "-f", "-v", *left)


@pytest.fixture(scope="module")
def lab():
    """Signed calls, and the generous agent's objects."""
    with development() as data, generous(data) as objects:
        yield Wire(environment(data)), objects


@pytest.fixture(scope="module")
def client(lab):
    return lab[0].client()


@pytest.fixture(scope="module", autouse=True)
def comes_again(client) -> dict:
    """A task that the last test needs when it has run for a while."""
    policy = {"enabled": True, "ignoredExitCodes": [7], "restartAttemptPeriod": PERIOD}
    given = container(restartPolicy=policy)
    definition = register(client, "again", given)
    described_as_given(definition, given)
    required = {attribute["name"] for attribute in definition["requiresAttributes"]}
    assert "ecs.capability.container-restart-policy" in required
    return started(client, "again")


def instance(client, generous: bool) -> str:
    """The generous agent's instance, or one of the others."""

    def found() -> list[str]:
        arns = client.list_container_instances()["containerInstanceArns"]
        all = client.describe_container_instances(containerInstances=arns)["containerInstances"]
        offers = lambda one: any(a["name"] == "ecs.capability.env-files.s3" for a in one["attributes"])
        return [one["containerInstanceArn"] for one in all if offers(one) == generous]

    return until("the instance is there", found, bool, LIMIT)[0]


def start_on(client, family: str, generous: bool, **more) -> dict:
    return client.start_task(taskDefinition=family, containerInstances=[instance(client, generous)], **more)


def started_on_generous(client, family: str) -> str:
    begun = start_on(client, family, True)
    assert begun["failures"] == []
    return begun["tasks"][0]["taskArn"]


def refused(client, family: str) -> dict:
    """Why one of the other agents does not take it."""
    begun = start_on(client, family, False)
    assert begun["tasks"] == []
    return begun["failures"][0]


def message(error: ClientError) -> str:
    return error.response["Error"]["Message"]


def group(found: dict, controller: str) -> Path:
    """The control group around a task."""
    return CGROUPS / controller / inspected(found, found["containers"][0]["name"])["HostConfig"]["CgroupParent"][1:]


def numbers(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def gone(parent: Path) -> None:
    name = Path(*parent.relative_to(CGROUPS).parts[1:])
    left = lambda: [str(one / name) for one in CGROUPS.iterdir() if (one / name).exists()]
    until("its control group goes with it", left, lambda names: names == [], LIMIT)


def holds(file: str = "", before: str = "") -> str:
    """Holds 30 MB, and ends as what holds them does."""
    told = f"touch {file};" if file else ""
    return f"{before} (head -c 30000000 /dev/zero; {told} while sleep 0.1; do echo; done) | tail -c 30000000 >/dev/null"


def test_a_tasks_memory_is_for_all_of_its_containers(client):
    first = container("first", holds("/data/full"))
    second = container("second", holds("/data/both", "until [ -f /data/full ]; do sleep 0.1; done;"))
    for one in (first, second):
        del one["memory"]
        # It hears no signal.
        one["stopTimeout"] = 2
        one["mountPoints"] = [{"sourceVolume": "data", "containerPath": "/data"}]
    register(client, "memory-alone", first, memory="48", volumes=[{"name": "data"}])
    alone = started(client, "memory-alone")
    until("one alone has room", lambda: inside(alone, "ls /data", "first"), lambda seen: "full" in seen, LIMIT)
    parent = group(alone, "memory")
    assert (parent / "memory.limit_in_bytes").read_text().strip() == str(48 << 20)
    stop(client, alone)
    gone(parent)

    register(client, "memory", first, second, memory="48", volumes=[{"name": "data"}])
    ended = wait(client, run(client, "memory"), "STOPPED")
    assert ended["stopCode"] == "EssentialContainerExited"
    killed = [one for one in ended["containers"] if one.get("reason", "").startswith("OutOfMemoryError")]
    assert killed and all(one["exitCode"] == 137 for one in killed), ended["containers"]


def test_a_tasks_cpu_is_a_quota_for_all_of_its_containers(client):
    busy = [container(name, "trap 'exit 0' TERM; while :; do :; done", cpu=2 if name == "one" else 0) for name in ("one", "two")]
    register(client, "cpu", *busy, cpu="256", memory="64")
    found = started(client, "cpu")
    assert {inspected(found, name)["HostConfig"]["CpuShares"] for name in ("one", "two")} == {2}
    parent, used = group(found, "cpu"), group(found, "cpuacct") / "cpuacct.usage"
    assert (parent / "cpu.shares").read_text().strip() == "256"
    until("it was held back", lambda: numbers(parent / "cpu.stat")["nr_throttled"], lambda times: times >= 30, LIMIT)
    spent, periods = int(used.read_text()), numbers(parent / "cpu.stat")["nr_periods"]
    # A quarter of a processor is 25 ms of each period.
    assert spent <= (periods + 2) * 25_000_000 * 1.2, (spent, periods)
    assert spent >= 30 * 25_000_000 * 0.5, (spent, periods)
    stop(client, found)
    gone(parent)


def test_namespaces_of_a_task(client):
    side = container("side", essential=False)
    definition = register(client, "together-inside", side, container(), pidMode="task", ipcMode="task")
    assert (definition["pidMode"], definition["ipcMode"]) == ("task", "task")
    found = started(client, "together-inside")
    inside(found, "echo hello > /dev/shm/said")
    assert inside(found, "cat /dev/shm/said", "side") == "hello"
    seen = inside(found, "ps", "side")
    assert seen.count("while :; do sleep 0.1; done") >= 2, f"its own and the other's: {seen}"
    stop(client, found)

    register(client, "alone-inside", container(), container("side"))
    found = started(client, "alone-inside")
    # Between its fork and its exec a sleep has the shell's command line too.
    shells = lambda: inside(found, "ps", "side").count("while :; do sleep 0.1; done")
    until("it sees its own shell only", shells, lambda count: count == 1, LIMIT)
    stop(client, found)

    assert register(client, "no-ipc", container(), ipcMode="none")["ipcMode"] == "none"
    found = started(client, "no-ipc")
    assert "/dev/shm" not in inside(found, "cat /proc/mounts")
    stop(client, found)


def test_namespaces_of_the_machine_are_for_agents_that_allow_them(client):
    register(client, "host-inside", container(), pidMode="host", ipcMode="host")
    failure = refused(client, "host-inside")
    assert failure["reason"] == "ATTRIBUTE" and "trireme.capability.host-namespaces" in failure["detail"]
    found = wait(client, started_on_generous(client, "host-inside"), "RUNNING")
    pid = inspected(found)["State"]["Pid"]
    assert inside(found, f"readlink /proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    assert inside(found, "readlink /proc/self/ns/ipc") == os.readlink("/proc/self/ns/ipc")
    stop(client, found)


def test_variables_from_files(lab, client):
    objects = lab[1] / "settings" / "app"
    objects.mkdir(parents=True)
    (objects / "first.env").write_text("# colours\nCOLOUR=red\nSHAPE=round\nEMPTY=\nnothing\nURL=a=b\n")
    (objects / "second.env").write_text("SHAPE=square\nSIZE=large\n")
    files = [{"value": f"arn:aws:s3:::settings/app/{name}.env", "type": "s3"} for name in ("first", "second")]
    own = [{"name": "COLOUR", "value": "blue"}]
    given = container(environment=own, environmentFiles=files)
    described_as_given(register(client, "files", given), given)
    failure = refused(client, "files")
    assert failure["reason"] == "ATTRIBUTE" and "ecs.capability.env-files.s3" in failure["detail"]
    found = wait(client, started_on_generous(client, "files"), "RUNNING")
    said = inside(found, 'echo "$COLOUR $SHAPE $SIZE $URL ${EMPTY-unset}"')
    assert said == "blue round large a=b unset"
    stop(client, found)

    # An override's files stand instead of the definition's.
    (objects / "third.env").write_text("SHAPE=oval\nCOLOUR=green\n")
    third = [{"value": "arn:aws:s3:::settings/app/third.env", "type": "s3"}]
    change = {"name": "app", "environmentFiles": third, "environment": [{"name": "SIZE", "value": "small"}]}
    overrides = {"containerOverrides": [change]}
    begun = start_on(client, "files", True, overrides=overrides)
    assert begun["failures"] == [] and begun["tasks"][0]["overrides"]["containerOverrides"] == [change]
    found = wait(client, begun["tasks"][0]["taskArn"], "RUNNING")
    assert inside(found, 'echo "$COLOUR $SHAPE $SIZE ${URL-unset}"') == "blue oval small unset"
    assert set(one.split("=")[0] for one in inspected(found)["Config"]["Env"]) >= {"COLOUR", "SHAPE", "SIZE"}
    assert not any("environmentFiles" in one for one in inspected(found)["Config"]["Env"])
    stop(client, found)
    # A definition without any may be given some, where the machine has them.
    register(client, "no-files", container())
    begun = start_on(client, "no-files", False, overrides=overrides)
    assert "ecs.capability.env-files.s3" in begun["failures"][0]["detail"], begun
    ran = client.run_task(taskDefinition="no-files", overrides=overrides)
    found = wait(client, ran["tasks"][0]["taskArn"], "RUNNING")
    assert found["containerInstanceArn"] == instance(client, True), "RunTask looks for such a machine"
    assert inside(found, 'echo "$SHAPE $SIZE"') == "oval small"
    stop(client, found)
    for wrong, words in [
        ([{"value": "arn:aws:s3:::b/../k", "type": "s3"}], "BUCKET/KEY"),
        (third * 11, "at most 10 files"),
    ]:
        with pytest.raises(ClientError) as caught:
            change = {"name": "app", "environmentFiles": wrong}
            client.run_task(taskDefinition="files", overrides={"containerOverrides": [change]})
        assert words in message(caught.value) and "container 'app'" in message(caught.value)

    (objects / "second.env").unlink()
    ended = wait(client, started_on_generous(client, "files"), "STOPPED")
    assert ended["stopCode"] == "TaskFailedToStart"
    reason = ended["stoppedReason"]
    assert reason.startswith(f"ResourceInitializationError: environment file {files[1]['value']}: cannot read"), reason
    assert reason.endswith("put the file there")
    with pytest.raises(ClientError) as caught:
        register(client, "out", container(environmentFiles=[{"value": "arn:aws:s3:::b/../../k", "type": "s3"}]))
    assert "BUCKET/KEY" in message(caught.value)


def test_ranges_of_ports(client):
    ports = [
        {"containerPortRange": "7000-7004", "protocol": "tcp"},
        {"containerPort": 80, "hostPort": 0, "protocol": "tcp"},
        {"containerPortRange": "7000-7001", "protocol": "udp"},
    ]
    server = f"echo hello > /tmp/index.html; httpd -p 7003 -h /tmp; {STAY}"
    given = container(script=server, portMappings=ports)
    described_as_given(register(client, "ranges", given), given)
    found = started(client, "ranges")
    bound = of(found, "app")["networkBindings"]
    by_range = {(one.get("containerPortRange"), one["protocol"]): one for one in bound}
    assert set(by_range) == {("7000-7004", "tcp"), ("7000-7001", "udp"), (None, "tcp")}
    assert by_range[None, "tcp"]["containerPort"] == 80 and by_range[None, "tcp"]["hostPort"] > 0
    low, high = map(int, by_range["7000-7004", "tcp"]["hostPortRange"].split("-"))
    assert high - low == 4 and "hostPort" not in by_range["7000-7004", "tcp"]
    assert page(f"http://127.0.0.1:{low + 3}/index.html") == b"hello\n"
    low, high = map(int, by_range["7000-7001", "udp"]["hostPortRange"].split("-"))
    published = inspected(found)["NetworkSettings"]["Ports"]
    assert [published[f"{port}/udp"][0]["HostPort"] for port in (7000, 7001)] == [str(low), str(high)]
    stop(client, found)

    for mapping, words in [
        ({"containerPortRange": "7004-7000"}, "the lower one first"),
        ({"containerPortRange": "7000-7100"}, "of which there may be 100"),
        ({"containerPortRange": "7000-7004", "containerPort": 80}, "together with"),
    ]:
        with pytest.raises(ClientError) as caught:
            register(client, "wrong-range", container(portMappings=[mapping]))
        assert words in message(caught.value)


def test_what_the_machine_lacks_is_said_in_placement(client):
    given = container(resourceRequirements=[{"type": "GPU", "value": "2"}])
    described_as_given(register(client, "gpu", given), given)
    ran = client.run_task(taskDefinition="gpu")
    assert ran["tasks"] == [] and {failure["reason"] for failure in ran["failures"]} == {"RESOURCE:GPU"}
    register(client, "gpu", container(resourceRequirements=[{"type": "GPU", "value": "1"}]))
    assert refused(client, "gpu")["reason"] == "RESOURCE:GPU"
    # That Docker is asked for it is seen by its answer: there is no such GPU.
    ended = wait(client, started_on_generous(client, "gpu"), "STOPPED")
    assert of(ended, "app")["gpuIds"] == [GPU] and "nvidia" in of(ended, "app")["reason"], ended
    left = lambda: docker_says("ps", "-aq", "--filter", f"id={of(ended, 'app')['runtimeId']}")
    until("its container is removed", left, lambda found: found == "", LIMIT)
    with pytest.raises(ClientError) as caught:
        register(client, "gpu", container(resourceRequirements=[{"type": "InferenceAccelerator", "value": "a"}]))
    assert "must be GPU" in message(caught.value)

    storage = {"sizeInGiB": 21}
    assert register(client, "storage", container(), ephemeralStorage=storage)["ephemeralStorage"] == storage
    # Docker's driver here can limit nothing.
    failures = client.run_task(taskDefinition="storage")["failures"]
    assert {failure["reason"] for failure in failures} == {"ATTRIBUTE"}
    assert all("trireme.capability.storage-limit" in failure["detail"] for failure in failures)
    with pytest.raises(ClientError) as caught:
        register(client, "storage", container(), ephemeralStorage={"sizeInGiB": 20})
    assert "between 21 and 200" in message(caught.value)


def test_a_service_says_which_members_have_no_effect(client):
    role = "arn:aws:iam::123456789012:role/rower"
    register(client, "stored", container(), taskRoleArn=role)
    balancer = {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/t/1"}
    balancer |= {"containerName": "app", "containerPort": 80}
    register(client, "balanced", container(portMappings=[{"containerPort": 80}]), taskRoleArn=role)
    client.create_service(serviceName="stored", taskDefinition="balanced", desiredCount=0, loadBalancers=[balancer])

    def told() -> list[str]:
        events = client.describe_services(services=["stored"])["services"][0]["events"]
        return [event["message"] for event in events if event["message"].endswith("without effect yet.")]

    (first,) = until("it is told", told, bool, LIMIT)
    assert first.startswith("(service stored) (deployment ecs-svc/")
    assert "uses loadBalancers, taskRoleArn, without" in first
    client.update_service(service="stored", taskDefinition="stored", loadBalancers=[])
    second = until("it is told of the next deployment", told, lambda all: len(all) == 2, LIMIT)[0]
    assert "uses taskRoleArn, without" in second
    client.update_service(service="stored", desiredCount=1)
    steady = lambda: [event["message"] for event in client.describe_services(services=["stored"])["services"][0]["events"]]
    until("it is steady", steady, lambda all: any("steady state" in one for one in all[:2]), LIMIT)
    assert len(told()) == 2, "once for each deployment"
    client.delete_service(service="stored", force=True)


def test_a_container_comes_again_in_place(client, comes_again):
    arn, id = comes_again["taskArn"], of(comes_again, "app")["runtimeId"]
    began = lambda: inspected(comes_again)["State"]["StartedAt"]
    restarts = lambda found: asked(found).get("RestartCount")
    assert restarts(comes_again) == 0
    first = began()
    since = datetime.fromisoformat(first[:19]).replace(tzinfo=timezone.utc)
    up = lambda: (datetime.now(timezone.utc) - since).total_seconds()
    until("it was up for long enough", up, lambda seconds: seconds > PERIOD + 2, PERIOD + LIMIT)
    docker_says("kill", id)
    until("it runs again", began, lambda at: at > first, LIMIT)
    found = task(client, arn)
    assert (found["lastStatus"], found["version"]) == ("RUNNING", comes_again["version"])
    assert (of(found, "app")["runtimeId"], "exitCode" in of(found, "app")) == (id, False)
    until("it is told how often it came again", lambda: restarts(found), lambda count: count == 1, LIMIT)
    # It was not up for long enough now.
    docker_says("kill", id)
    ended = wait(client, arn, "STOPPED")
    assert (ended["stopCode"], of(ended, "app")["exitCode"]) == ("EssentialContainerExited", 137)
    for policy, words in [
        ({"enabled": True, "restartAttemptPeriod": 59}, "between 60 and 1800"),
        ({"enabled": True, "ignoredExitCodes": [1] * 51}, "at most 50 codes"),
    ]:
        with pytest.raises(ClientError) as caught:
            register(client, "wrong-policy", container(restartPolicy=policy))
        assert words in message(caught.value)
