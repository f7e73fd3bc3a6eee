"""Tools that users of ECS have, unchanged: Ansible's modules of community.aws, and ecs-deploy."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from until import until
from wire import Wire
from world import CONTAINER

BIN = Path(sys.executable).parent
PLAYBOOKS = Path(__file__).with_name("ansible")


@pytest.fixture(scope="session")
def run(cluster):
    """Runs a program of the Python environment against the cluster."""

    def run(program: str, *arguments: str, **more: str) -> str:
        variables = {**os.environ, **cluster, **more, "AWS_DEFAULT_REGION": cluster["AWS_REGION"]}
        variables["PATH"] = f"{BIN}{os.pathsep}{variables['PATH']}"
        command = [str(BIN / program), *arguments]
        result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    return run


@pytest.fixture(scope="session")
def play(run):
    """Runs a playbook; for each task its name and what it says of itself."""

    def play(playbook: str) -> list[tuple[str, dict[str, Any]]]:
        settings = {
            "ANSIBLE_COLLECTIONS_PATH": os.environ["TRIREME_ANSIBLE"],
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        }
        told = json.loads(run("ansible-playbook", str(PLAYBOOKS / playbook), **settings))
        tasks = [task for play in told["plays"] for task in play["tasks"]]
        return [(task["task"]["name"], task["hosts"]["localhost"]) for task in tasks]

    return play


def changed(tasks: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, result in tasks if result["changed"]]


def test_a_playbook_makes_what_it_says_and_then_changes_nothing(play, wire: Wire):
    made = ["a cluster", "a task definition", "a service", "tags"]
    assert changed(play("story.yml")) == made
    before = wire.done("DescribeServices", {"services": ["ansible"]})["services"][0]
    assert changed(play("story.yml")) == []
    after = wire.done("DescribeServices", {"services": ["ansible"]})["services"][0]
    assert [one["id"] for one in after["deployments"]] == [one["id"] for one in before["deployments"]]
    assert changed(play("end.yml")) == ["the service", "the task definition", "the cluster"]


def test_ecs_deploy_rolls_out_scales_and_runs(run, wire: Wire):
    definition = {"family": "deployed", "containerDefinitions": [CONTAINER]}
    wire.done("RegisterTaskDefinition", definition)
    wire.done("CreateService", {"serviceName": "deployed", "taskDefinition": "deployed", "desiredCount": 1})

    def described() -> Any:
        return wire.done("DescribeServices", {"services": ["deployed"]})["services"][0]

    until("the service runs", described, lambda one: one["runningCount"] == 1, 60)
    out = run("ecs", "deploy", "default", "deployed", "--env", "app", "VERSION", "2", "--timeout", "120")
    assert "Deployment successful" in out, out
    found = wire.done("DescribeTaskDefinition", {"taskDefinition": described()["taskDefinition"]})
    container = found["taskDefinition"]["containerDefinitions"][0]
    assert container["environment"] == [{"name": "VERSION", "value": "2"}]
    assert found["taskDefinition"]["revision"] == 2

    out = run("ecs", "scale", "default", "deployed", "2", "--timeout", "120")
    assert "Scaling successful" in out, out
    assert described()["runningCount"] == 2
    out = run("ecs", "run", "default", "deployed")
    assert "Successfully started 1 instances of task" in out, out
    wire.done("DeleteService", {"service": "deployed", "force": True})
