"""Agents that go and come back on a real Docker Engine: what was promised to their tasks holds."""

import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import development, environment
from containers import LIMIT, STAY, container, docker_says, inside, inspected, of, register, run, task, wait
from registry import Stalling, open_registry
from until import until
from wire import Wire

# Six tasks, two in each of the three zones.
TASKS = 6
# Counts up for as long as it runs.
COUNTS = "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo $n > /tmp/count; sleep 0.1; done"
# How long the agent is away, in seconds: much longer than one may be silent.
AWAY = 20


class Cluster:
    """A development cluster, and its agents as processes."""

    def __init__(self, data: Path):
        self.data = data
        self.client = Wire(environment(data)).client()
        self.zones = [zone["name"] for zone in json.loads((data / "cluster.json").read_text())["zones"]]

    def trireme(self, *arguments: str) -> str:
        command = [os.environ["TRIREME_BIN"], *arguments, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def status(self, zone: str) -> dict:
        agents = json.loads(self.trireme("status", "--json"))["agents"]
        return next(agent for agent in agents if agent["zone"] == zone)

    def instance(self, zone: str) -> dict:
        arns = self.client.list_container_instances()["containerInstanceArns"]
        all_of_them = self.client.describe_container_instances(containerInstances=arns)["containerInstances"]
        return next(one for one in all_of_them if one["ec2InstanceId"].startswith(zone))

    def tasks(self, service: str, status: str = "RUNNING") -> list[dict]:
        arns = self.client.list_tasks(serviceName=service, desiredStatus=status)["taskArns"]
        return self.client.describe_tasks(tasks=arns)["tasks"] if arns else []

    def steady(self, service: str) -> list[dict]:
        """The service's tasks, once all of them run."""
        wanted = self.client.describe_services(services=[service])["services"][0]["desiredCount"]
        whole = lambda found: len(found) == wanted and all(one["lastStatus"] == "RUNNING" for one in found)
        return until(f"{service} is whole", lambda: self.tasks(service), whole, LIMIT)

    def events(self, kind: str) -> list[dict]:
        lines = self.trireme("events", "--json").splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def start_task(self, family: str, zone: str) -> str:
        """A task that is to run in a zone."""
        here = self.instance(zone)["containerInstanceArn"]
        begun = self.client.start_task(taskDefinition=family, containerInstances=[here])
        assert begun["failures"] == []
        return begun["tasks"][0]["taskArn"]

    def agent(self, zone: str) -> "Agent":
        return Agent(self.data / zone / "agent-1.pid")


class Agent:
    def __init__(self, pid_file: Path):
        self.pid_file = pid_file
        self.pid = int(pid_file.read_text())
        self.command = [part.decode() for part in Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")[:-1]]

    @property
    def data(self) -> Path:
        return Path(self.command[self.command.index("--data") + 1])

    def end(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)
        # A zombie has no command line: its parent need not have waited for it.
        line = lambda: Path(f"/proc/{self.pid}/cmdline").read_bytes() if Path(f"/proc/{self.pid}").exists() else b""
        until(f"the agent ends of {how.name}", line, lambda text: text == b"", 30)

    def start(self, binary: str | None = None, variables: dict[str, str] | None = None) -> None:
        self.log = self.data.parent / "agent-again.log"
        with self.log.open("ab") as log:
            command = [binary or self.command[0], *self.command[1:]]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(variables or {})},
                start_new_session=True,
            )

    def wait_back(self, cluster: "Cluster", zone: str) -> None:
        def heard(agent: dict) -> bool:
            assert self.process.poll() is None, f"the agent ended:\n{self.log.read_text()}"
            return agent["connected"] and agent["silent_for_ms"] is not None and agent["silent_for_ms"] < 3_000

        try:
            until("the agent is back", lambda: cluster.status(zone), heard, LIMIT)
        except AssertionError:
            print(self.log.read_text())
            raise


class WallClock:
    """The wall clock of processes that are started with these variables: the library of `make chaos` moves it."""

    def __init__(self, folder: Path):
        source, library = Path(__file__).parent.parent / "shim" / "node.c", folder / "node.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
        self.page = folder / "page"
        self.page.write_bytes(bytes(32))
        self.variables = {"LD_PRELOAD": str(library), "TRIREME_CHAOS_PAGE": str(self.page)}

    def move(self, hours: int) -> None:
        """It is so many hours ahead of the others from now on."""
        with self.page.open("r+b") as page:
            page.write(struct.pack("=q", hours * 3_600 * 10**9))


@pytest.fixture(scope="module")
def cluster():
    with development() as data:
        yield Cluster(data)


@contextmanager
def load(cluster: Cluster):
    """Tasks are run and stopped without a pause; the number of those that ran is in the list."""
    register(cluster.client, "load", container(script="exit 0"))
    over, ran, errors = threading.Event(), [], []

    def pour() -> None:
        while not over.is_set():
            try:
                wait(cluster.client, run(cluster.client, "load"), "STOPPED")
                ran.append(time.monotonic())
            except Exception as error:  # The test tells of it at its end.
                errors.append(error)
                return

    threads = [threading.Thread(target=pour) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield ran
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert errors == []


def of_zone(tasks: list[dict], zone: str) -> list[dict]:
    return [one for one in tasks if one["availabilityZone"] == zone]


def arns(tasks: list[dict]) -> set[str]:
    return {one["taskArn"] for one in tasks}


def count(found: dict) -> int:
    # The file is empty for a moment each time.
    return int(until("it has counted", lambda: inside(found, "cat /tmp/count"), bool, LIMIT))


def create(cluster: Cluster, service: str, tasks: int = TASKS) -> list[dict]:
    register(cluster.client, service, container(script=COUNTS, stopTimeout=2))
    cluster.client.create_service(serviceName=service, taskDefinition=service, desiredCount=tasks)
    return cluster.steady(service)


def delete(cluster: Cluster, service: str) -> None:
    cluster.client.delete_service(service=service, force=True)
    until(f"{service} is gone", lambda: cluster.tasks(service) + running(cluster, service), lambda left: left == [], LIMIT)


def running(cluster: Cluster, service: str) -> list[dict]:
    return [one for one in cluster.tasks(service, "STOPPED") if one["lastStatus"] != "STOPPED"]


def test_an_agents_binary_is_exchanged_under_load(cluster, tmp_path):
    before = create(cluster, "firm")
    zone = cluster.zones[1]
    here = of_zone(before, zone)
    assert len(here) == TASKS // 3
    known = {one["taskArn"]: (inspected(one)["Id"], inspected(one)["State"]["StartedAt"]) for one in here}
    agent = cluster.agent(zone)
    with load(cluster) as ran:
        until("the load pours", lambda: len(ran), lambda number: number > 2, LIMIT)
        agent.end(signal.SIGTERM)
        gone = time.monotonic()
        assert cluster.instance(zone)["agentConnected"] is False
        assert cluster.status(zone)["absent_until_ms"] > time.time() * 1000
        assert "absent until" in cluster.trireme("status")
        counted = {one["taskArn"]: count(one) for one in here}
        until("it is away long enough", lambda: time.monotonic() - gone, lambda away: away > AWAY, 2 * AWAY)
        # The same binary under another name stands for the next release.
        shutil.copy2(agent.command[0], tmp_path / "trireme-next")
        agent.start(str(tmp_path / "trireme-next"))
        agent.wait_back(cluster, zone)
        assert cluster.instance(zone)["agentConnected"] is True
        poured = len(ran)
        until("the load goes on", lambda: len(ran), lambda number: number > poured + 2, LIMIT)
    after = cluster.steady("firm")
    assert arns(after) == arns(before), "zero tasks replaced"
    assert cluster.tasks("firm", "STOPPED") == []
    assert [event for event in cluster.events("TaskLost")] == []
    assert len(cluster.events("InstanceAbsent")) == 1
    for one in of_zone(after, zone):
        container_now = inspected(one)
        assert (container_now["Id"], container_now["State"]["StartedAt"]) == known[one["taskArn"]]
        assert container_now["RestartCount"] == 0
        assert count(one) > counted[one["taskArn"]], "it ran on meanwhile"
    print(f"away {AWAY} s; {len(ran)} tasks of the load ran, 0 of {len(before)} tasks replaced")

    # Status arrives again: what ends is replaced.
    victim = of_zone(after, zone)[0]
    docker_says("kill", of(victim, "app")["runtimeId"])
    replaced = until(
        "it is replaced", lambda: arns(cluster.tasks("firm")) - arns(after), lambda new: len(new) == 1, LIMIT
    )
    assert len(replaced) == 1
    cluster.steady("firm")
    delete(cluster, "firm")


def test_after_a_restart_of_the_machine_its_tasks_are_stopped_with_a_reason_and_replaced_once(cluster):
    before = create(cluster, "rebooted")
    zone = cluster.zones[2]
    here = of_zone(before, zone)
    agent = cluster.agent(zone)
    agent.end(signal.SIGTERM)
    for one in here:
        docker_says("kill", of(one, "app")["runtimeId"])
    # Only one of them left something behind.
    docker_says("rm", of(here[0], "app")["runtimeId"])
    ledger = agent.data / "ledger.json"
    kept = json.loads(ledger.read_text())
    assert kept["boot_id"] != ""
    ledger.write_text(json.dumps({**kept, "boot_id": "the boot before"}))
    agent.start()
    for one in here:
        ended = wait(cluster.client, one["taskArn"], "STOPPED")
        assert ended["stopCode"] == "EssentialContainerExited"
        assert ended["stoppedReason"].startswith("The container instance was restarted"), ended["stoppedReason"]
    after = cluster.steady("rebooted")
    kept_tasks = arns(before) - arns(here)
    assert kept_tasks < arns(after) and len(arns(after) - arns(before)) == len(here)
    assert len(cluster.tasks("rebooted", "STOPPED")) == len(here), "each was replaced once"
    delete(cluster, "rebooted")


def test_a_cluster_waits_as_long_as_its_operator_says(cluster):
    zone = cluster.zones[0]
    patient = cluster.trireme("cluster", "set", "default", "--lost-after", "40s")
    assert "silent for 40 s" in patient
    try:
        before = create(cluster, "patient")
        agent = cluster.agent(zone)
        agent.end(signal.SIGKILL)
        gone = time.monotonic()
        until("it is silent long enough", lambda: time.monotonic() - gone, lambda away: away > 12, 30)
        assert arns(cluster.tasks("patient")) == arns(before), "nobody is lost yet"
        agent.start()
        agent.wait_back(cluster, zone)
        assert arns(cluster.steady("patient")) == arns(before)

        assert "silent for 3 s" in cluster.trireme("cluster", "set", "default", "--lost-after", "3s")
        agent = cluster.agent(zone)
        agent.end(signal.SIGKILL)
        here = of_zone(before, zone)
        ended = [wait(cluster.client, one["taskArn"], "STOPPED") for one in here]
        assert all("not heard for" in one["stoppedReason"] for one in ended), ended
        agent.start()
        cluster.steady("patient")
    finally:
        assert "silent for 5 s" in cluster.trireme("cluster", "set", "default", "--lost-after", "default")
    delete(cluster, "patient")


def labelled(arn: str) -> list[str]:
    """All containers that the engine has of a task."""
    return docker_says("ps", "-aq", "--no-trunc", "--filter", f"label=io.trireme.task-id={arn.rsplit('/', 1)[1]}").split()


def test_an_agent_that_is_killed_while_it_pulls_starts_its_task_once(cluster):
    zone = cluster.zones[0]
    with open_registry() as registry:
        digest = registry.push_large("slow:1")
        way = Stalling(registry)
        try:
            app = container(script=f"echo started; {STAY}") | {"image": way.name("slow:1"), "stopTimeout": 2}
            register(cluster.client, "slow", app)
            agent = cluster.agent(zone)
            arn = cluster.start_task("slow", zone)
            assert way.stalled.wait(LIMIT), "the layer is asked for"
            agent.end(signal.SIGKILL)
            assert labelled(arn) == [] and docker_says("images", "-q", way.name("slow")) == ""
            agent.start()
            agent.wait_back(cluster, zone)
            found = wait(cluster.client, arn, "RUNNING")
            (one,) = found["containers"]
            assert one["imageDigest"] == digest
            assert labelled(arn) == [one["runtimeId"]], "one container"
            said = until("it has spoken", lambda: docker_says("logs", one["runtimeId"]), bool, LIMIT)
            assert said == "started", "once"
            assert inspected(found)["RestartCount"] == 0
            cluster.client.stop_task(task=arn)
            wait(cluster.client, arn, "STOPPED")
            until("nothing of it is left", lambda: labelled(arn), lambda left: left == [], LIMIT)
        finally:
            way.close()


# Docker counts by a clock of its own; the time to look takes its part.
SLACK = 10
# What a container must be up for so that it comes again, in seconds: of one that will not, and of one that will.
LONG, SHORT = 1_800, 60


def restarting(period: int) -> dict:
    policy = {"enabled": True, "restartAttemptPeriod": period}
    return container(restartPolicy=policy, stopTimeout=2)


def takes_to_stop(cluster: Cluster, arn: str, meanwhile) -> float:
    begun = time.monotonic()
    cluster.client.stop_task(task=arn)
    until("it is being stopped", lambda: task(cluster.client, arn), lambda found: found["lastStatus"] == "STOPPING", LIMIT)
    meanwhile()
    wait(cluster.client, arn, "STOPPED")
    return time.monotonic() - begun


def test_an_agents_clock_may_jump(cluster, tmp_path):
    zone, clock, stop_timeout = cluster.zones[1], WallClock(tmp_path), 6
    before = create(cluster, "clocked")
    begun = {one["taskArn"]: inspected(one)["State"]["StartedAt"] for one in of_zone(before, zone)}
    agent = cluster.agent(zone)
    agent.end(signal.SIGKILL)
    agent.start(variables=clock.variables)
    agent.wait_back(cluster, zone)
    check = {"command": ["CMD-SHELL", "test ! -e /tmp/ill"], "interval": 5, "timeout": 5, "retries": 1}

    def refusal() -> str:
        try:
            register(cluster.client, "long", restarting(LONG))
        except ClientError as error:
            return str(error)
        return ""

    until("the cluster takes what is new", refusal, lambda words: words == "", LIMIT)
    register(cluster.client, "short", restarting(SHORT))
    register(cluster.client, "checked", container(healthCheck=check, stopTimeout=2))
    register(cluster.client, "stubborn", container(script="trap '' TERM; while :; do sleep 1; done", stopTimeout=stop_timeout))
    made = {family: cluster.start_task(family, zone) for family in ("short", "long", "checked")}
    stubborn = [cluster.start_task("stubborn", zone) for _ in range(2)]
    found = {family: wait(cluster.client, arn, "RUNNING") for family, arn in made.items()}
    ups = time.monotonic()
    for arn in stubborn:
        wait(cluster.client, arn, "RUNNING")

    def healthy(status: str) -> None:
        look = lambda: task(cluster.client, made["checked"])["healthStatus"]
        until(f"its health is {status}", look, lambda seen: seen == status, LIMIT)

    healthy("HEALTHY")
    for arn, hours, ill in ((stubborn[0], 1, True), (stubborn[1], -1, False)):
        took = takes_to_stop(cluster, arn, lambda: clock.move(hours))
        assert stop_timeout - 1 < took < stop_timeout + SLACK, f"{hours:+} h: stopped in {took} s"
        docker_says("exec", of(found["checked"], "app")["runtimeId"], *(["touch"] if ill else ["rm"]), "/tmp/ill")
        healthy("UNHEALTHY" if ill else "HEALTHY")

    def restart_agent() -> None:
        running = cluster.agent(zone)
        running.end(signal.SIGKILL)
        running.start(variables=clock.variables)
        running.wait_back(cluster, zone)

    # It is an hour back, and an agent that is new does not take that for the time that a container was up.
    until("it was up long enough", lambda: time.monotonic() - ups, lambda up: up > SHORT + 2, SHORT + LIMIT)
    restart_agent()
    app = of(found["short"], "app")["runtimeId"]
    first = inspected(found["short"])["State"]["StartedAt"]
    docker_says("kill", app)
    until("it runs again", lambda: inspected(found["short"])["State"]["StartedAt"], lambda at: at > first, LIMIT)
    now = task(cluster.client, made["short"])
    assert (now["lastStatus"], of(now, "app")["runtimeId"]) == ("RUNNING", app)
    # Nor an hour ahead.
    clock.move(1)
    restart_agent()
    docker_says("kill", of(found["long"], "app")["runtimeId"])
    ended = wait(cluster.client, made["long"], "STOPPED")
    assert ended["stopCode"] == "EssentialContainerExited"

    after = cluster.steady("clocked")
    assert arns(after) == arns(before), "zero tasks replaced"
    assert cluster.tasks("clocked", "STOPPED") == []
    assert {one["taskArn"]: inspected(one)["State"]["StartedAt"] for one in of_zone(after, zone)} == begun
    for family in ("short", "checked"):
        assert task(cluster.client, made[family])["lastStatus"] == "RUNNING"
        cluster.client.stop_task(task=made[family])
    delete(cluster, "clocked")
    agent = cluster.agent(zone)
    agent.end(signal.SIGTERM)
    agent.start()
    agent.wait_back(cluster, zone)
