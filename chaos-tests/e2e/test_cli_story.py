"""The aws CLI, unchanged, through one story: cluster, definition, service, scale, update, stop, tags, pages, errors, delete."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from world import CONTAINER

AWS = Path(sys.executable).with_name("aws")
CLUSTER = "cli"


@pytest.fixture(scope="session")
def aws(cluster):
    variables = {**os.environ, **cluster, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [str(AWS), "ecs", *arguments, "--output", "json"]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)

    return run


def done(result: subprocess.CompletedProcess) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout) if result.stdout.strip() else None


def test_the_story(aws):
    in_cluster = ("--cluster", CLUSTER)
    made = done(aws("create-cluster", "--cluster-name", CLUSTER, "--tags", "key=team,value=a"))
    assert made["cluster"]["status"] == "ACTIVE"

    definition = json.dumps({"family": "cli", "containerDefinitions": [CONTAINER]})
    first = done(aws("register-task-definition", "--cli-input-json", definition))["taskDefinition"]
    assert (first["revision"], first["containerDefinitions"][0]["essential"]) == (1, True)

    # The development cluster's instances are in its default cluster: there the service finds places.
    create = ("create-service", "--service-name", "cli", "--task-definition", "cli", "--desired-count", "1")
    service = done(aws(*create))["service"]
    done(aws("wait", "services-stable", "--services", "cli"))
    scaled = done(aws("update-service", "--service", "cli", "--desired-count", "2"))["service"]
    assert (scaled["desiredCount"], len(scaled["deployments"])) == (2, 1)
    done(aws("wait", "services-stable", "--services", "cli"))

    second = done(aws("register-task-definition", "--cli-input-json", definition))["taskDefinition"]
    updated = done(aws("update-service", "--service", "cli", "--task-definition", "cli"))["service"]
    assert updated["taskDefinition"] == second["taskDefinitionArn"]
    done(aws("wait", "services-stable", "--services", "cli"))
    tasks = done(aws("list-tasks", "--service-name", "cli", "--page-size", "1"))["taskArns"]
    described = done(aws("describe-tasks", "--tasks", *tasks))["tasks"]
    assert {task["taskDefinitionArn"] for task in described} == {second["taskDefinitionArn"]}

    stopped = done(aws("stop-task", "--task", tasks[0], "--reason", "by hand"))["task"]
    assert (stopped["desiredStatus"], stopped["stoppedReason"]) == ("STOPPED", "by hand")
    done(aws("wait", "tasks-stopped", "--tasks", tasks[0]))

    arn = service["serviceArn"]
    done(aws("tag-resource", "--resource-arn", arn, "--tags", "key=stage,value=prod"))
    tags = done(aws("list-tags-for-resource", "--resource-arn", arn))["tags"]
    assert tags == [{"key": "stage", "value": "prod"}]
    done(aws("untag-resource", "--resource-arn", arn, "--tag-keys", "stage"))

    deleted = done(aws("delete-service", "--service", "cli", "--force"))["service"]
    assert deleted["status"] == "DRAINING"
    done(aws("wait", "services-inactive", "--services", "cli"))
    assert done(aws("delete-cluster", *in_cluster))["cluster"]["status"] == "INACTIVE"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("list-services", "--cluster", "nope"), "ClusterNotFoundException", "Cluster not found."),
        (("update-service", "--service", "nope"), "ServiceNotFoundException", "Service not found."),
        (("describe-task-definition", "--task-definition", "nope"), "ClientException", "Unable to describe"),
        (("run-task", "--task-definition", "nope"), "ClientException", "TaskDefinition not found."),
        (("stop-task", "--task", "0" * 32), "InvalidParameterException", "The referenced task was not found."),
        (("list-clusters", "--next-token", "altered"), "InvalidParameterException", "Invalid token."),
    ],
)
def test_errors_by_type(aws, arguments, error, message):
    result = aws(*arguments)
    assert result.returncode != 0, result
    assert f"({error})" in result.stderr and message in result.stderr
