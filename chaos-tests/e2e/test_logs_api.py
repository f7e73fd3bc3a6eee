"""The awslogs driver on a real Docker Engine, and boto3's client for logs: what containers say is there when they are gone, page by page,
by pattern, from any control node; and what leaves the node is there though its zone is lost."""

import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

import ports
from conftest import development, environment
from until import until
from wire import Wire

STAY = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
LIMIT = 60


@pytest.fixture(scope="module")
def ecs(docker: Wire):
    return docker.client()


@pytest.fixture(scope="module")
def logs(docker: Wire):
    return docker.client(service="logs")


def register(ecs, family: str, script: str, group: str, **options: str) -> None:
    given = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs"}
    given |= {name.replace("_", "-"): value for name, value in options.items()}
    container = {
        "name": "app",
        "image": "busybox:1",
        "memory": 16,
        "stopTimeout": 2,
        "command": ["sh", "-c", script],
        "logConfiguration": {"logDriver": "awslogs", "options": given},
    }
    ecs.register_task_definition(family=family, containerDefinitions=[container])


def run(ecs, family: str) -> str:
    ran = ecs.run_task(taskDefinition=family)
    assert ran["failures"] == []
    return ran["tasks"][0]["taskArn"]


def wait(ecs, arn: str, status: str) -> dict:
    look = lambda: ecs.describe_tasks(tasks=[arn])["tasks"][0]
    return until(f"{arn} is {status}", look, lambda found: found["lastStatus"] == status, LIMIT)


def stream_of(arn: str) -> str:
    return f"ecs/app/{arn.rsplit('/', 1)[1]}"


def messages(answer: dict) -> list[str]:
    return [event["message"] for event in answer["events"]]


def refused(code: str, call, **parameters) -> str:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def test_groups_are_made_kept_and_deleted(logs):
    logs.create_log_group(logGroupName="/g/one", tags={"team": "rowers"})
    said = refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName="/g/one")
    assert said == "The specified log group already exists"
    for name in ("/g/three", "/g/two"):
        logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName="/g/one", retentionInDays=7)
    refused("InvalidParameterException", logs.put_retention_policy, logGroupName="/g/one", retentionInDays=8)
    first = logs.describe_log_groups(logGroupNamePrefix="/g/", limit=2)
    rest = logs.describe_log_groups(logGroupNamePrefix="/g/", limit=2, nextToken=first["nextToken"])
    assert [group["logGroupName"] for group in first["logGroups"] + rest["logGroups"]] == ["/g/one", "/g/three", "/g/two"]
    one = first["logGroups"][0]
    assert one["retentionInDays"] == 7
    assert one["arn"] == "arn:aws:logs:us-east-1:123456789012:log-group:/g/one:*"
    logs.delete_retention_policy(logGroupName="/g/one")
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix="/g/one")["logGroups"][0]
    assert logs.list_tags_log_group(logGroupName="/g/one")["tags"] == {"team": "rowers"}
    for name in ("/g/one", "/g/two", "/g/three"):
        logs.delete_log_group(logGroupName=name)
    assert refused("ResourceNotFoundException", logs.delete_log_group, logGroupName="/g/one") == (
        "The specified log group does not exist."
    )
    refused("InvalidParameterException", logs.create_log_group, logGroupName="a b")
    refused("UnsupportedOperationException", logs.describe_queries)


def test_groups_have_tags(logs):
    logs.create_log_group(logGroupName="/tagged", tags={"a": "1", "b": "2"})
    arn = logs.describe_log_groups(logGroupNamePrefix="/tagged")["logGroups"][0]["logGroupArn"]
    logs.tag_log_group(logGroupName="/tagged", tags={"b": "3", "c": "4"})
    logs.untag_log_group(logGroupName="/tagged", tags=["a"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3", "c": "4"}
    logs.tag_resource(resourceArn=arn, tags={"d": "5"})
    logs.untag_resource(resourceArn=arn, tagKeys=["b", "c"])
    assert logs.list_tags_log_group(logGroupName="/tagged")["tags"] == {"d": "5"}
    refused("InvalidParameterException", logs.tag_log_group, logGroupName="/tagged", tags={"aws:x": "1"})
    logs.delete_log_group(logGroupName="/tagged")


def test_a_clients_events_are_kept_in_order(logs):
    logs.create_log_group(logGroupName="/client")
    logs.create_log_stream(logGroupName="/client", logStreamName="a/b")
    said = refused(
        "ResourceAlreadyExistsException", logs.create_log_stream, logGroupName="/client", logStreamName="a/b"
    )
    assert said == "The specified log stream already exists"
    now = int(time.time() * 1000)
    events = [{"timestamp": now - 100 + number, "message": f"event {number}"} for number in range(25)]
    put = {"logGroupName": "/client", "logStreamName": "a/b"}
    assert "nextSequenceToken" in logs.put_log_events(logEvents=events, **put)
    old = [{"timestamp": now - 15 * 24 * 3600 * 1000, "message": "old"}]
    rejected = logs.put_log_events(logEvents=old, **put)["rejectedLogEventsInfo"]
    assert rejected["tooOldLogEventEndIndex"] == 1
    unordered = [{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}]
    assert "chronological" in refused("InvalidParameterException", logs.put_log_events, logEvents=unordered, **put)
    assert refused(
        "ResourceNotFoundException", logs.put_log_events, logEvents=events, logGroupName="/client", logStreamName="x"
    ) == ("The specified log stream does not exist.")

    # From the head, page by page; the token at the end stays.
    seen, token = [], None
    while True:
        more = {"nextToken": token} if token else {"startFromHead": True}
        page = logs.get_log_events(limit=10, **put, **more)
        if page["nextForwardToken"] == token:
            break
        seen, token = seen + messages(page), page["nextForwardToken"]
    assert seen == [event["message"] for event in events]
    assert logs.get_log_events(nextToken=token, **put)["nextForwardToken"] == token
    # From the end, back.
    last = logs.get_log_events(limit=10, **put)
    before = logs.get_log_events(limit=10, nextToken=last["nextBackwardToken"], **put)
    assert messages(before) + messages(last) == seen[-20:]
    part = logs.get_log_events(startTime=now - 90, endTime=now - 85, startFromHead=True, **put)
    assert messages(part) == [f"event {number}" for number in range(10, 15)]

    described = logs.describe_log_streams(logGroupName="/client")["logStreams"]
    assert [stream["logStreamName"] for stream in described] == ["a/b"]
    assert described[0]["lastEventTimestamp"] == now - 100 + 24
    logs.delete_log_stream(**put)
    refused("ResourceNotFoundException", logs.get_log_events, **put)
    # A group of the same name is another one.
    logs.delete_log_group(logGroupName="/client")
    logs.create_log_group(logGroupName="/client")
    assert logs.describe_log_streams(logGroupName="/client")["logStreams"] == []
    logs.delete_log_group(logGroupName="/client")


def test_what_a_task_said_is_there_when_it_is_gone(ecs, logs):
    logs.create_log_group(logGroupName="/tasks")
    register(ecs, "talks", "for i in $(seq 200); do echo line $i; done; echo oh no >&2; exit 3", "/tasks")
    arn = run(ecs, "talks")
    assert wait(ecs, arn, "STOPPED")["containers"][0]["exitCode"] == 3
    lines = [f"line {number}" for number in range(1, 201)]
    where = {"logGroupName": "/tasks", "logStreamName": stream_of(arn)}
    look = lambda: messages(logs.get_log_events(startFromHead=True, **where))
    found = until("everything is there", look, lambda found: len(found) == 201, LIMIT)
    assert sorted(found) == sorted(lines + ["oh no"])
    assert [line for line in found if line != "oh no"] == lines
    # Its container is gone by then, or goes now.
    task = arn.rsplit("/", 1)[1]
    containers = lambda: subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=io.trireme.task-id={task}"], capture_output=True, text=True
    ).stdout
    until("the container is gone", containers, lambda left: left == "", LIMIT)
    assert look() == found

    other = run(ecs, "talks")
    wait(ecs, other, "STOPPED")
    names = lambda: [
        stream["logStreamName"]
        for page in logs.get_paginator("describe_log_streams").paginate(
            logGroupName="/tasks", PaginationConfig={"PageSize": 1}
        )
        for stream in page["logStreams"]
    ]
    until("both have a stream", names, lambda found: found == sorted([stream_of(arn), stream_of(other)]), LIMIT)
    filtered = lambda pattern, **more: [
        event
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName="/tasks", filterPattern=pattern, PaginationConfig={"PageSize": 3}, **more
        )
        for event in page["events"]
    ]
    both = until("both were read", lambda: filtered('"oh no"'), lambda found: len(found) == 2, LIMIT)
    assert {event["logStreamName"] for event in both} == {stream_of(arn), stream_of(other)}
    assert len({event["eventId"] for event in both}) == 2
    some = filtered('?"line 7" ?"oh"', logStreamNames=[stream_of(arn)])
    assert sorted(event["message"] for event in some) == sorted(
        ["oh no", "line 7"] + [f"line {number}" for number in range(70, 80)]
    )
    assert filtered("line -1", logStreamNames=[stream_of(arn)])[0]["message"] == "line 2"
    said = refused("InvalidParameterException", logs.filter_log_events, logGroupName="/tasks", filterPattern="{ $.a = 1 }")
    assert "not supported yet" in said


def test_a_missing_group_fails_the_task_unless_it_is_to_be_made(ecs, logs):
    register(ecs, "no-group", STAY, "/missing")
    stopped = wait(ecs, run(ecs, "no-group"), "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    reason = stopped["stoppedReason"]
    assert reason.startswith("ResourceInitializationError: failed to validate logger args:"), reason
    assert "The specified log group does not exist." in reason
    register(ecs, "makes-group", f"echo made; {STAY}", "/made", awslogs_create_group="true")
    arn = run(ecs, "makes-group")
    wait(ecs, arn, "RUNNING")
    assert logs.describe_log_groups(logGroupNamePrefix="/made")["logGroups"][0]["logGroupName"] == "/made"
    look = lambda: messages(logs.get_log_events(logGroupName="/made", logStreamName=stream_of(arn)))
    until("its line", look_or(look, []), lambda found: found == ["made"], LIMIT)
    ecs.stop_task(task=arn)
    for options, words in (
        ({"awslogs_endpoint": "x"}, "disallows options: awslogs-endpoint"),
        ({"mode": "fast"}, "mode"),
    ):
        with pytest.raises(ClientError, match=words):
            register(ecs, "bad", STAY, "/made", **options)


def look_or(look, otherwise):
    """What is seen, also while a stream is not there yet."""

    def found():
        try:
            return look()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ResourceNotFoundException", error
            return otherwise

    return found


def test_events_of_several_lines(ecs, logs):
    logs.create_log_group(logGroupName="/lines")
    script = "echo 'INFO one'; echo '  more'; echo 'INFO two'"
    register(ecs, "lines", script, "/lines", awslogs_multiline_pattern="^INFO")
    arn = run(ecs, "lines")
    look = lambda: messages(logs.get_log_events(logGroupName="/lines", logStreamName=stream_of(arn)))
    until("two events", look_or(look, []), lambda found: found == ["INFO one\n  more", "INFO two"], LIMIT)


class Taker:
    """Takes what is shipped, over HTTP or as syslog over TCP or UDP, and says what lines came. It may hang instead."""

    def __init__(self):
        self.lines: list[tuple[str, float]] = []
        self.answers = threading.Event()
        self.answers.set()
        # Requests that were left without an answer.
        self.held = 0

    def take(self, line: str) -> None:
        self.lines.append((line, time.time()))

    def said(self) -> list[str]:
        return [line for line, _ in self.lines]


@contextmanager
def http_taker(port: int = 0):
    taker = Taker()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            if not taker.answers.is_set():
                taker.held += 1
                taker.answers.wait()
                return
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            for line in body.splitlines():
                taker.take(json.loads(line)["message"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield taker, f"http://127.0.0.1:{server.server_port}/logs"
    finally:
        server.shutdown()
        server.server_close()
        taker.answers.set()


def test_every_line_older_than_5_s_is_off_the_node_when_its_zone_is_lost(monkeypatch):
    with http_taker() as (taker, address):
        monkeypatch.setenv("TRIREME_LOG_FORWARD", address)
        with development("--agent-memory", "512") as data:
            wire = Wire(environment(data))
            ecs, logs = wire.client(), wire.client(service="logs")
            logs.create_log_group(logGroupName="/ship")
            script = "i=0; while :; do i=$((i+1)); echo line $i $(date +%s); sleep 0.1; done"
            register(ecs, "ships", script, "/ship")
            # What goes to no log group leaves the node too.
            plain = {"name": "app", "image": "busybox:1", "memory": 16, "command": ["sh", "-c", "echo plain; sleep 600"]}
            ecs.register_task_definition(family="plain", containerDefinitions=[plain])
            arn = run(ecs, "ships")
            wait(ecs, run(ecs, "plain"), "RUNNING")
            found = wait(ecs, arn, "RUNNING")
            until("lines are shipped", taker.said, lambda said: "plain" in said and len(said) > 60, LIMIT)
            # Any control node reads from the agent, wherever that has its session.
            zones = json.loads((data / "cluster.json").read_text())["zones"]
            for near in (Wire({**environment(data), "AWS_ENDPOINT_URL": f"http://{one['api']}"}) for one in zones):
                head = near.client(service="logs").get_log_events(
                    logGroupName="/ship", logStreamName=stream_of(arn), startFromHead=True, limit=1
                )
                assert [message.split()[:2] for message in messages(head)] == [["line", "1"]]
            container = found["containers"][0]["runtimeId"]
            instance = ecs.describe_container_instances(containerInstances=[found["containerInstanceArn"]])
            attributes = instance["containerInstances"][0]["attributes"]
            zone = next(one["value"] for one in attributes if one["name"] == "ecs.availability-zone")
            lost = time.time()
            said = subprocess.run(["docker", "logs", container], capture_output=True, text=True).stdout.split("\n")
            binary = os.environ["TRIREME_BIN"]
            subprocess.run([binary, "dev", "kill", zone, "--data", str(data)], check=True, capture_output=True)
            old = [line for line in said if line and int(line.split()[2]) < lost - 5]
            assert len(old) > 10, said
            missing = [line for line in old if line not in taker.said()]
            assert missing == []
            # What is left answers without what was lost, and counts that.
            living = [other["api"] for other in zones if other["name"] != zone]
            before = incomplete(living)
            assert "line 1 " not in str(logs.filter_log_events(logGroupName="/ship")["events"])
            until("it is counted", lambda: incomplete(living), lambda count: count > before, LIMIT)


def incomplete(nodes: list[str]) -> float:
    """How many answers of these control nodes lacked something."""
    count = 0.0
    for node in nodes:
        with urllib.request.urlopen(f"http://{node}/metrics", timeout=10) as metrics:
            lines = metrics.read().decode().splitlines()
        count += sum(float(line.split()[1]) for line in lines if line.startswith("trireme_logs_incomplete_total "))
    return count


def test_tasks_run_on_while_the_sink_hangs_and_while_it_is_gone(monkeypatch):
    port = ports.free()
    monkeypatch.setenv("TRIREME_LOG_FORWARD", f"http://127.0.0.1:{port}/logs")
    with development("--zones", "1") as data:
        wire = Wire(environment(data))
        ecs, logs = wire.client(), wire.client(service="logs")
        logs.create_log_group(logGroupName="/sink")
        register(ecs, "lasts", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done", "/sink")
        register(ecs, "ends", "echo done", "/sink")
        with http_taker(port) as (before, _):
            arn = run(ecs, "lasts")
            container = wait(ecs, arn, "RUNNING")["containers"][0]["runtimeId"]
            started = started_at(container)
            until("lines are shipped", before.said, lambda said: len(said) > 10, LIMIT)

            def newest() -> int:
                tail = logs.get_log_events(logGroupName="/sink", logStreamName=stream_of(arn), limit=1)
                return int(messages(tail)[0].split()[1])

            def goes_on() -> None:
                now = newest()
                until("it says more", newest, lambda number: number > now + 20, LIMIT)
                stopped = wait(ecs, run(ecs, "ends"), "STOPPED")
                assert stopped["containers"][0]["exitCode"] == 0
                found = ecs.describe_tasks(tasks=[arn])["tasks"][0]
                assert (found["lastStatus"], found["containers"][0]["runtimeId"]) == ("RUNNING", container)
                assert started_at(container) == started

            before.answers.clear()
            # The second is held when the first was given up.
            until("the sink hangs", lambda: before.held, lambda held: held >= 2, LIMIT)
            goes_on()
        # Nobody listens any more.
        goes_on()
        with http_taker(port) as (after, _):
            last = newest()
            # What was said while nobody took it, by the tasks that ended too.
            shipped = lambda said: f"line {last}" in said and said.count("done") >= 2
            until("all is shipped", after.said, shipped, LIMIT)
        numbers = [int(line.split()[1]) for line in before.said() + after.said() if line.startswith("line ")]
        # Some may come twice; none is missing, and none comes before an earlier one.
        first = list(dict.fromkeys(numbers))
        assert first == list(range(1, len(first) + 1)) and len(first) >= last


def started_at(container: str) -> str:
    shape = "{{.State.StartedAt}} {{.RestartCount}}"
    inspected = subprocess.run(["docker", "inspect", "--format", shape, container], capture_output=True, text=True)
    assert inspected.returncode == 0, inspected.stderr
    return inspected.stdout


def test_syslog_over_tcp_and_what_waits_while_nobody_takes_it(monkeypatch):
    port = ports.free()
    monkeypatch.setenv("TRIREME_LOG_FORWARD", f"syslog+tcp://127.0.0.1:{port}")
    with development("--zones", "1") as data:
        ecs = Wire(environment(data)).client()
        script = "for i in $(seq 20); do echo line $i; done"
        container = {"name": "app", "image": "busybox:1", "memory": 16, "command": ["sh", "-c", script]}
        ecs.register_task_definition(family="late", containerDefinitions=[container])
        wait(ecs, run(ecs, "late"), "STOPPED")
        # Nobody listened so far.
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(LIMIT)
            connection, _ = server.accept()
            connection.settimeout(LIMIT)
            received = b""
            while received.count(b"line ") < 20:
                received += connection.recv(65536)
        frames = []
        while received:
            length, received = received.split(b" ", 1)
            frame, received = received[: int(length)], received[int(length) :]
            frames.append(frame.decode())
        assert [frame.rsplit(" - - ", 1)[1] for frame in frames] == [f"line {number}" for number in range(1, 21)]
        assert frames[0].startswith("<14>1 20") and " late app/" in frames[0]
