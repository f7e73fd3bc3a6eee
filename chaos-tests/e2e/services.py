"""Services on real Docker, for the tests of what they promise."""

import os
import subprocess
from collections import Counter
from pathlib import Path

from containers import STAY, container
from until import until

LIMIT = 120
# Passes at once, and then every five seconds, however long a busy engine takes to run it.
CHECK = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 30, "retries": 3}


def trireme(folder, *arguments: str, code: int = 0) -> str:
    command = [os.environ["TRIREME_BIN"], *arguments, "--data", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert ran.returncode == code, f"{arguments}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def register(client, family: str, script: str = STAY, **members) -> str:
    app = container("app", script, healthCheck=CHECK, **members)
    return client.register_task_definition(family=family, containerDefinitions=[app])["taskDefinition"]["taskDefinitionArn"]


def service(client, name: str) -> dict:
    return client.describe_services(services=[name])["services"][0]


def tasks(client, name: str, status: str = "RUNNING") -> list[dict]:
    arns = client.list_tasks(serviceName=name, desiredStatus=status)["taskArns"]
    return client.describe_tasks(tasks=arns)["tasks"] if arns else []


def running(client, name: str) -> list[dict]:
    return [task for task in tasks(client, name) if task["lastStatus"] == "RUNNING"]


def steady(client, name: str, count: int) -> dict:
    """The service, once ECS's clients call it stable and its deployment is complete."""

    def look() -> tuple:
        found = service(client, name)
        return (len(found["deployments"]), found["runningCount"], found["deployments"][0]["rolloutState"])

    until(f"{name} is steady", look, lambda seen: seen == (1, count, "COMPLETED"), LIMIT)
    return service(client, name)


def zones(client, name: str) -> Counter:
    return Counter(task["availabilityZone"] for task in running(client, name))


def said(client, name: str, text: str) -> bool:
    return any(text in event["message"] for event in service(client, name)["events"])


def gone(client, name: str) -> None:
    client.delete_service(service=name, force=True)
    until(f"{name} is gone", lambda: service(client, name)["status"], lambda status: status == "INACTIVE", LIMIT)


def control_node(data: Path, zone: str) -> int:
    """The process of a zone's control node."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"server" in words and any(word.startswith(f"{data}/{zone}/".encode()) for word in words):
            return int(process.name)
    raise AssertionError(f"{zone} has no control node")
