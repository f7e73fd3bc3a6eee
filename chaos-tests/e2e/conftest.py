"""A development cluster for all that one worker runs: three zones, control nodes as they are, containers only pretended; and another
one with real containers for each file that asks for it."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

import ports
from until import until
from wire import Wire

READY_LIMIT = 120
# The files that take longest begin first: else the others wait for one of them at the end. The rest follows by name.
LONGEST = ["managed_scaling", "schedules", "services_zone", "services", "tools", "limits_and_restarts", "images", "cli_story", "explain_story", "standing_firm", "autoscaling", "events", "exec_and_logs", "node_story", "awsvpc", "plan_story"]
# Tests whose body passed.
CALLED: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes each test that passed to its very end, for `cargo xtask coverage`. Workers tell what they ran to the process that started
    them, which alone writes."""
    if "TRIREME_PASSED" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.passed and report.when == "call":
        CALLED.add(report.nodeid)
    elif report.passed and report.when == "teardown" and report.nodeid in CALLED:
        with open(os.environ["TRIREME_PASSED"], "a", encoding="utf-8") as passed:
            print(Path(report.location[0]).name, report.nodeid.split("::", 1)[1], sep="::", file=passed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which workers are given files."""
    names = [f"test_{name}" for name in LONGEST]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))


def wait_ready(process: subprocess.Popen, log: Path) -> None:
    def told(text: str) -> bool:
        assert process.poll() is None, f"trireme dev ended:\n{text}"
        return "ready" in text.splitlines()

    until("trireme dev is ready", log.read_text, told, READY_LIMIT)


def levels(data: Path) -> list[int | None]:
    """The feature level of each control node."""
    command = [os.environ["TRIREME_BIN"], "status", "--json", "--data", str(data)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=READY_LIMIT)
    return [node["feature_level"] for node in json.loads(told.stdout)["nodes"]] if told.returncode == 0 else []


def agreed(levels: list[int | None]) -> bool:
    """A new cluster is at the first level, and rises to its last in one step."""
    return levels != [] and all(level is not None and level > 1 for level in levels)


def environment(data: Path) -> dict[str, str]:
    """What `DIR/env` exports."""
    lines = (line.removeprefix("export ") for line in (data / "env").read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name: shlex.split(value)[0] if value != '""' else "" for name, value in pairs if name != "PATH"}


@contextmanager
def development(*arguments: str):
    """The data folder of a development cluster, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="trireme-e2e-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        command = [os.environ["TRIREME_BIN"], "dev", "--data", str(data), "--port", str(ports.free(2)), *arguments]
        with log.open("w") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            wait_ready(process, log)
            until("the control nodes agree on what all can read", lambda: levels(data), agreed, READY_LIMIT)
            yield data
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def data():
    """Its data folder."""
    with development("--runtime", "fake", "--agents-per-zone", "2") as data:
        yield data


@pytest.fixture(scope="module")
def docker_data():
    """The data folder of a cluster of its own whose containers are real."""
    with development() as data:
        yield data


@pytest.fixture(scope="module")
def docker(docker_data) -> Wire:
    """Signed calls to that cluster."""
    return Wire(environment(docker_data))


@pytest.fixture(scope="session")
def cluster(data) -> dict[str, str]:
    """The variables with which a client finds it."""
    return environment(data)


@pytest.fixture(scope="session")
def wire(cluster) -> Wire:
    """Signed calls, with whatever body."""
    return Wire(cluster)


@pytest.fixture(scope="session")
def node(data, cluster) -> Wire:
    """The same, straight to one control node, without the front door before it."""
    zones = json.loads((data / "cluster.json").read_text())["zones"]
    return Wire({**cluster, "AWS_ENDPOINT_URL": f"http://{zones[0]['api']}"})
