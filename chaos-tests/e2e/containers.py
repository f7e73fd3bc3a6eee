"""Tasks on a real Docker Engine, for the tests of what their containers are and can do."""

import json
import subprocess
import urllib.request

from until import until

# Stays until it is asked to go.
STAY = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
LIMIT = 60


def container(name: str = "app", script: str = STAY, **members) -> dict:
    return {"name": name, "image": "busybox:1", "memory": 16, "command": ["sh", "-c", script], **members}


def register(client, family: str, *containers: dict, **members) -> dict:
    made = client.register_task_definition(family=family, containerDefinitions=list(containers), **members)
    return made["taskDefinition"]


def described_as_given(definition: dict, *containers: dict) -> None:
    for given, described in zip(containers, definition["containerDefinitions"], strict=True):
        assert {member: described[member] for member in given} == given


def task(client, arn: str) -> dict:
    return client.describe_tasks(tasks=[arn])["tasks"][0]


def run(client, family: str) -> str:
    ran = client.run_task(taskDefinition=family)
    assert ran["failures"] == []
    return ran["tasks"][0]["taskArn"]


def wait(client, arn: str, status: str) -> dict:
    return until(f"{arn} is {status}", lambda: task(client, arn), lambda found: found["lastStatus"] == status, LIMIT)


def started(client, family: str) -> dict:
    return wait(client, run(client, family), "RUNNING")


def stop(client, found: dict) -> dict:
    client.stop_task(task=found["taskArn"])
    return wait(client, found["taskArn"], "STOPPED")


def of(found: dict, name: str) -> dict:
    return next(one for one in found["containers"] if one["name"] == name)


def docker_says(*arguments: str) -> str:
    output = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert output.returncode == 0, f"docker {arguments}: {output.stderr}"
    return output.stdout.strip()


def inside(found: dict, script: str, name: str = "app") -> str:
    return docker_says("exec", of(found, name)["runtimeId"], "sh", "-c", script)


def page(url: str) -> bytes:
    """What a container serves, as soon as it answers: it is RUNNING before what is in it listens."""

    def look() -> bytes | OSError:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read()
        except OSError as error:
            return error

    return until(f"{url} answers", look, lambda found: isinstance(found, bytes), LIMIT)


def inspected(found: dict, name: str = "app") -> dict:
    return json.loads(docker_says("inspect", of(found, name)["runtimeId"]))[0]
