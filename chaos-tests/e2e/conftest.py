"""A development cluster for the whole run: three zones, control nodes as they are, containers only pretended; and another one with
real containers for who asks for it."""

import json
import os
import shlex
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from until import until
from wire import Wire

READY_LIMIT = 120


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes each test that passed, for `cargo xtask coverage`."""
    if report.when == "call" and report.passed and "TRIREME_PASSED" in os.environ:
        with open(os.environ["TRIREME_PASSED"], "a", encoding="utf-8") as passed:
            print(Path(report.location[0]).name, report.nodeid.split("::", 1)[1], sep="::", file=passed)


def free_ports() -> int:
    """A port whose successor is free too: the second is for the operator's verbs."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def wait_ready(process: subprocess.Popen, log: Path) -> None:
    def told(text: str) -> bool:
        assert process.poll() is None, f"trireme dev ended:\n{text}"
        return "ready" in text.splitlines()

    until("trireme dev is ready", log.read_text, told, READY_LIMIT)


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
        command = [os.environ["TRIREME_BIN"], "dev", "--data", str(data), "--port", str(free_ports()), *arguments]
        with log.open("w") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            wait_ready(process, log)
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
def docker() -> Wire:
    """Signed calls to a cluster of its own whose containers are real."""
    with development() as data:
        yield Wire(environment(data))


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
