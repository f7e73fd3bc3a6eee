"""Commands in containers and what containers write, by way of any control node, with real containers."""

import hashlib
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import development, environment
from services import control_node
from until import until
from wire import Wire

TRIREME = os.environ["TRIREME_BIN"]
LIMIT = 60
# The same for what moves much.
LONG = 240
# Stays until it is asked to go.
STAY = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


class Cluster:
    """A development cluster with real containers."""

    def __init__(self, data) -> None:
        self.data = data
        self.client = Wire(environment(data)).client()
        self.zones = json.loads((data / "cluster.json").read_text())["zones"]

    @property
    def nodes(self) -> list[str]:
        return [zone["grpc"] for zone in self.zones]

    def run(self, family: str, *containers: dict, **members) -> str:
        """The ARN of a task that runs."""
        self.client.register_task_definition(family=family, containerDefinitions=list(containers))
        ran = self.client.run_task(taskDefinition=family, **{"enableExecuteCommand": True, **members})
        assert ran["failures"] == []
        arn = ran["tasks"][0]["taskArn"]
        self.wait(arn, "RUNNING")
        return arn

    def task(self, arn: str) -> dict:
        return self.client.describe_tasks(tasks=[arn])["tasks"][0]

    def wait(self, arn: str, status: str) -> dict:
        look = lambda: self.task(arn)
        return until(f"{arn} is {status}", look, lambda found: found["lastStatus"] == status, LIMIT)

    def command(self, verb: str, *arguments: str, node: str | None = None) -> list[str]:
        target = ["--endpoint", node] if node else ["--data", str(self.data)]
        return [TRIREME, verb, *target, *arguments]

    def exec(self, arn: str, *command: str, node: str | None = None, options: tuple = (), **run):
        full = self.command("exec", *options, arn, "--", *command, node=node)
        given = {"stdin": subprocess.DEVNULL, "timeout": LIMIT, **run}
        return subprocess.run(full, capture_output=True, **given)

    def logs(self, *arguments: str, node: str | None = None):
        return subprocess.run(self.command("logs", *arguments, node=node), capture_output=True, timeout=LIMIT)

    def events(self, kind: str, **wanted) -> list[dict]:
        said = subprocess.run(self.command("events", "--json"), capture_output=True, check=True, timeout=LIMIT)
        all = [json.loads(line) for line in said.stdout.splitlines()]
        found = [one["event"] for one in all if one["kind"] == kind]
        return [one for one in found if all_in(one, wanted)]


def all_in(event: dict, wanted: dict) -> bool:
    return all(event.get(name) == value for name, value in wanted.items())


@pytest.fixture(scope="module")
def cluster():
    with development() as data:
        yield Cluster(data)


def container(name: str = "app", script: str = STAY, **members) -> dict:
    return {"name": name, "image": "busybox:1", "memory": 16, "command": ["sh", "-c", script], **members}


@pytest.fixture(scope="module")
def stays(cluster) -> str:
    """A task that runs and allows commands."""
    return cluster.run("stays", container())


def runs(cluster: Cluster, arn: str, command: str) -> bool:
    """Whether a command runs in the task's container."""
    script = "for one in /proc/[0-9]*; do tr '\\0' ' ' <$one/cmdline; echo; done 2>/dev/null"
    said = cluster.exec(arn, "sh", "-c", script).stdout.decode()
    return any(line.startswith(command) for line in said.splitlines())


def id_of(arn: str) -> str:
    return arn.rsplit("/", 1)[1]


def test_output_errors_input_and_exit_codes(cluster, stays):
    for node in cluster.nodes:
        said = cluster.exec(stays, "sh", "-c", "echo out; echo err >&2; exit 3", node=node)
        assert (said.stdout, said.stderr, said.returncode) == (b"out\n", b"err\n", 3), node
    assert cluster.exec(stays, "true").returncode == 0
    said = cluster.exec(stays, "cat", input=b"one\0two\n", stdin=None)
    assert (said.stdout, said.returncode) == (b"one\0two\n", 0)
    assert cluster.exec(stays, "no-such-command").returncode in (126, 127)


def test_much_and_binary_output_arrives_whole(cluster, stays):
    size = 24 << 20
    made = "dd if=/dev/urandom of=/tmp/much bs=1M count=24 2>/dev/null; md5sum </tmp/much"
    digest = cluster.exec(stays, "sh", "-c", made, timeout=LONG).stdout.split()[0].decode()
    said = cluster.exec(stays, "cat", "/tmp/much", timeout=LONG)
    assert (len(said.stdout), hashlib.md5(said.stdout).hexdigest(), said.returncode) == (size, digest, 0)
    back = cluster.exec(stays, "md5sum", input=said.stdout, stdin=None, timeout=LONG)
    assert back.stdout.split()[0].decode() == digest


def test_it_is_in_the_history_and_only_where_it_is_allowed(cluster, stays):
    cluster.exec(stays, "sh", "-c", "exit 5")
    started = cluster.events("CommandStarted", task=id_of(stays), command=["sh", "-c", "exit 5"])
    assert len(started) == 1 and started[0]["by"] and not started[0]["forced"]
    of_it = lambda: cluster.events("CommandEnded", execution=started[0]["execution"])
    ended = until("its end is in the history", of_it, bool, LIMIT)
    assert [one["exit_code"] for one in ended] == [5]
    assert cluster.task(stays)["enableExecuteCommand"] is True

    closed = cluster.run("closed", container(), enableExecuteCommand=False)
    said = cluster.exec(closed, "true")
    assert said.returncode == 255 and b"enableExecuteCommand" in said.stderr
    assert cluster.events("CommandStarted", task=id_of(closed)) == []
    assert cluster.exec(closed, "true", options=("--force",)).returncode == 0
    assert [one["forced"] for one in cluster.events("CommandStarted", task=id_of(closed))] == [True]
    with pytest.raises(ClientError, match="TargetNotConnectedException"):
        cluster.client.execute_command(task=stays, interactive=True, command="sh")
    with pytest.raises(ClientError, match="InvalidParameterException"):
        cluster.client.execute_command(task=closed, interactive=True, command="sh")
    cluster.client.stop_task(task=closed)


class Terminal:
    """`trireme exec` on a terminal."""

    def __init__(self, command: list[str], rows: int = 33, columns: int = 77) -> None:
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execv(command[0], command)
            finally:
                os._exit(99)
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def read(self) -> bytes:
        while select.select([self.fd], [], [], 0)[0]:
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                break
            if not part:
                break
            self.text += part
        return self.text

    def reads(self, wanted: bytes) -> None:
        until(f"the terminal shows {wanted!r}", self.read, lambda text: wanted in text, LIMIT)

    def exit_code(self) -> int:
        def ended():
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if pid else None

        return until("it ends", ended, lambda code: code is not None, LIMIT)


def test_a_terminal_has_its_size_its_signals_and_its_exit_code(cluster, stays):
    terminal = Terminal(cluster.command("exec", stays, "--", "sh"))
    terminal.type("echo tty=$(test -t 0 && echo yes)\n")
    terminal.reads(b"tty=yes")
    until_size = lambda: (terminal.type("stty size\n"), terminal.read())[1]
    until("the terminal has its size", until_size, lambda text: b"33 77" in text, LIMIT)
    terminal.resize(44, 132)
    until("the terminal has its new size", until_size, lambda text: b"44 132" in text, LIMIT)
    # It reaches the command, not this side.
    terminal.type("i=0; while :; do i=$((i+1)); echo spin $i; sleep 0.1; done\n")
    terminal.reads(b"spin 5")
    terminal.type("\x03")
    terminal.type("echo alive=$((40+2))\n")
    terminal.reads(b"alive=42")
    terminal.type("exit 7\n")
    assert terminal.exit_code() == 7


def test_nothing_is_left_when_the_caller_goes_away(cluster, stays):
    full = cluster.command("exec", stays, "--", "sleep", "2000")
    caller = subprocess.Popen(full, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    running = lambda: runs(cluster, stays, "sleep 2000")
    until("it runs", running, bool, LIMIT)
    caller.kill()
    caller.wait()
    until("it is gone", running, lambda found: not found, LIMIT)
    ended = lambda: cluster.events("CommandEnded", task=id_of(stays), reason="the caller is gone")
    until("its end is in the history", ended, bool, LIMIT)


def test_a_command_ends_with_its_container(cluster):
    arn = cluster.run("ends", container())
    full = cluster.command("exec", arn, "--", "sleep", "3000")
    caller = subprocess.Popen(full, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until("it runs", lambda: runs(cluster, arn, "sleep 3000"), bool, LIMIT)
    cluster.client.stop_task(task=arn)
    assert caller.wait(LIMIT) in (137, 255)


def test_logs_of_several_containers(cluster):
    chatter = lambda name: f"echo {name} out; echo {name} err >&2; {STAY}"
    arn = cluster.run("two", container("left", chatter("left")), container("right", chatter("right")))
    for node in cluster.nodes:
        look = lambda: cluster.logs(arn, node=node)
        said = until("both have spoken", look, lambda said: said.stdout.count(b"\n") + said.stderr.count(b"\n") == 4)
        assert sorted(said.stdout.splitlines()) == [b"left  | left out", b"right | right out"]
        assert sorted(said.stderr.splitlines()) == [b"left  | left err", b"right | right err"]
        assert said.returncode == 0
    only = cluster.logs(arn, "--container", "left")
    assert (only.stdout, only.stderr) == (b"left out\n", b"left err\n")
    last = cluster.logs(arn, "--container", "left", "--tail", "1")
    assert last.stdout + last.stderr in (b"left out\n", b"left err\n")
    assert cluster.logs(arn, "--since", "2020-01-01T00:00:00Z").stdout != b""
    assert cluster.logs(arn, "--since", "2999-01-01T00:00:00Z").stdout == b""
    other = cluster.logs(arn, "--container", "nope")
    assert other.returncode == 1 and b"nope" in other.stderr
    # Of a task that is over, while its containers are there; then a clear answer, of each that is gone.
    cluster.client.stop_task(task=arn)
    cluster.wait(arn, "STOPPED")
    said = cluster.logs(arn)
    if said.returncode != 0:
        assert re.search(rb"there is no container (left|right) any more", said.stderr), said.stderr


def test_what_cannot_be_read_names_its_driver(cluster):
    given = container(logConfiguration={"logDriver": "syslog", "options": {"syslog-address": "udp://127.0.0.1:9"}})
    arn = cluster.run("elsewhere", given)
    said = cluster.logs(arn)
    assert said.returncode == 1 and b"syslog" in said.stderr, said
    cluster.client.stop_task(task=arn)


def test_a_service_is_read_as_one(cluster):
    cluster.client.register_task_definition(family="many", containerDefinitions=[container(script=f"echo hello; {STAY}")])
    cluster.client.create_service(serviceName="many", taskDefinition="many", desiredCount=3, enableExecuteCommand=True)
    look = lambda: cluster.logs("--service", "many")
    said = until("all have spoken", look, lambda said: said.stdout.count(b"hello\n") == 3)
    assert len({line.split(b" | ")[0] for line in said.stdout.splitlines()}) == 3
    service = cluster.client.describe_services(services=["many"])["services"][0]
    assert service["enableExecuteCommand"] is True
    arn = cluster.client.list_tasks(serviceName="many")["taskArns"][0]
    assert cluster.exec(arn, "true").returncode == 0
    cluster.client.delete_service(service="many", force=True)


# A line each 5 ms, numbered without gaps, 2,000 of them.
COUNT = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; sleep 0.005; done"


def test_logs_are_followed_over_the_death_of_a_control_node():
    with development() as data:
        cluster = Cluster(data)
        arn = cluster.run("counts", container(script=f"sleep 1; {COUNT}"))
        command = cluster.command("logs", "-f", arn)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
            lines = [follower.stdout.readline() for _ in range(200)]
            # It reads by way of the first one that it knows.
            os.kill(control_node(data, cluster.zones[0]["name"]), signal.SIGKILL)
            lines += follower.stdout.readlines()
            said = follower.stderr.read()
            assert follower.wait(LIMIT) == 0, said
        assert lines == [f"line {number}\n".encode() for number in range(1, 2001)]
        assert b"trying on" in said


def test_a_reader_that_stands_still_stops_no_task(cluster):
    flood = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); head -c 65536 /dev/zero | tr '\\0' x; echo; done; echo done >/tmp/done"
    arn = cluster.run("floods", container(script=f"{flood}; {STAY}"))
    with subprocess.Popen(cluster.command("logs", "-f", arn), stdout=subprocess.PIPE) as follower:
        follower.stdout.read(1)
        until("it wrote all", lambda: cluster.exec(arn, "cat", "/tmp/done").stdout, bool, LONG)
        cluster.client.stop_task(task=arn)
        cluster.wait(arn, "STOPPED")
        follower.kill()
