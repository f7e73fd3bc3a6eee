"""Where a task's image comes from, and that a service's tasks run the same: with a registry on loopback that wants credentials."""

import json
import os
import uuid

import pytest

from conftest import development, environment
from registry import RIGHT, Registry, build, docker, locked_registry
from until import until
from wire import Wire

STAY = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
LIMIT = 90


@pytest.fixture(scope="module")
def registry():
    with locked_registry() as registry:
        yield registry


@pytest.fixture(scope="module")
def folder(registry, tmp_path_factory):
    """Docker's configuration folder of the agents, with a credential helper that knows the registry."""
    folder = tmp_path_factory.mktemp("agents-docker")
    user, secret = RIGHT.split(":")
    answer = json.dumps({"ServerURL": registry.address, "Username": user, "Secret": secret})
    helper = folder / "docker-credential-quayside"
    helper.write_text(f"#!/bin/sh\nread -r server\n[ \"$server\" = {registry.address} ] && echo '{answer}'\n")
    helper.chmod(0o700)
    (folder / "config.json").write_text(json.dumps({"credHelpers": {registry.address: "quayside"}}))
    return folder


@pytest.fixture(scope="module")
def client(folder):
    before = dict(os.environ)
    os.environ.update(DOCKER_CONFIG=str(folder), PATH=f"{folder}:{os.environ['PATH']}")
    try:
        with development() as data:
            yield Wire(environment(data)).client()
    finally:
        os.environ.clear()
        os.environ.update(before)


def register(client, family: str, image: str, **members) -> dict:
    app = {"name": "app", "image": image, "memory": 16, "command": ["sh", "-c", STAY], **members}
    return client.register_task_definition(family=family, containerDefinitions=[app])["taskDefinition"]


def create(client, name: str) -> None:
    """A service of one task, whose old tasks go before new ones come: that is quick."""
    limits = {"minimumHealthyPercent": 0, "maximumPercent": 100}
    client.create_service(serviceName=name, taskDefinition=name, desiredCount=1, deploymentConfiguration=limits)


def tasks(client, service: str, status: str = "RUNNING") -> list[dict]:
    arns = client.list_tasks(serviceName=service, desiredStatus=status)["taskArns"]
    found = client.describe_tasks(tasks=arns)["tasks"] if arns else []
    return [task for task in found if task["lastStatus"] == status]


def digests(client, service: str) -> list[str]:
    return [task["containers"][0].get("imageDigest") for task in tasks(client, service)]


def run_all(client, service: str, *wanted: str) -> list[dict]:
    """The service's tasks, once they are as many as there are digests, of these images."""
    until(f"{service} runs {wanted}", lambda: sorted(digests(client, service)), lambda seen: seen == sorted(wanted), LIMIT)
    return tasks(client, service)


def content(task: dict) -> str:
    return docker("exec", task["containers"][0]["runtimeId"], "sh", "-c", "echo $CONTENT")


def completed(client, service: str) -> None:
    def rollouts() -> list[str]:
        found = client.describe_services(services=[service])["services"][0]
        return [one["rolloutState"] for one in found["deployments"]]

    until(f"{service} is rolled out", rollouts, lambda seen: seen == ["COMPLETED"], LIMIT)


def revision(client, service: str) -> dict:
    """What the service's primary deployment runs."""
    found = client.describe_services(services=[service])["services"][0]
    arn = found["currentServiceRevisions"][0]["arn"]
    return client.describe_service_revisions(serviceRevisionArns=[arn])["serviceRevisions"][0]


def replaced(client, service: str) -> None:
    """Kills one task's container, and waits until another task runs in its place."""
    before = tasks(client, service)
    gone = before[0]
    docker("kill", gone["containers"][0]["runtimeId"])
    arns = {task["taskArn"] for task in before}

    def new() -> int:
        return sum(task["taskArn"] not in arns for task in tasks(client, service))

    until("the task is replaced", new, lambda count: count == 1, LIMIT)


def delete(client, service: str) -> None:
    client.delete_service(service=service, force=True)
    until("its tasks are gone", lambda: tasks(client, service), lambda left: left == [], LIMIT)


def test_a_deployment_keeps_its_image_while_the_tag_moves(client, registry: Registry):
    image = registry.name("moving:latest")
    first = registry.push("moving:latest", "first")
    register(client, "moving", image, versionConsistency="enabled")
    create(client, "moving")
    run_all(client, "moving", first)
    [shown] = revision(client, "moving")["containerImages"]
    assert shown == {"containerName": "app", "image": image, "imageDigest": first}

    # The tag moves in the middle: more tasks, on the other agents, and replaced ones run what the first one found.
    second = registry.push("moving:latest", "second")
    client.update_service(service="moving", desiredCount=3)
    assert {content(task) for task in run_all(client, "moving", first, first, first)} == {"first"}
    replaced(client, "moving")
    run_all(client, "moving", first, first, first)

    # A new deployment looks again.
    client.update_service(service="moving", forceNewDeployment=True)
    assert {content(task) for task in run_all(client, "moving", second, second, second)} == {"second"}
    completed(client, "moving")
    assert revision(client, "moving")["containerImages"][0]["imageDigest"] == second

    # One that does not come up goes back to the images that were, not to the tag.
    third = registry.push("moving:latest", "third")
    register(client, "moving", image, command=["/nowhere"])
    client.update_service(service="moving", taskDefinition="moving")
    under_way = until(
        "the deployment finds its image",
        lambda: revision(client, "moving")["containerImages"][0].get("imageDigest"),
        lambda digest: digest != second and digest is not None,
        LIMIT,
    )
    assert under_way == third
    arn = client.describe_services(services=["moving"])["services"][0]["currentServiceDeployment"]
    client.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    run_all(client, "moving", second, second, second)
    replaced(client, "moving")
    run_all(client, "moving", second, second, second)
    assert revision(client, "moving")["containerImages"][0]["imageDigest"] == second
    delete(client, "moving")


def test_without_version_consistency_each_task_looks_at_the_tag(client, registry: Registry):
    image = registry.name("loose:latest")
    first = registry.push("loose:latest", "first")
    given = register(client, "loose", image, versionConsistency="disabled")
    assert given["containerDefinitions"][0]["versionConsistency"] == "disabled"
    create(client, "loose")
    run_all(client, "loose", first)
    assert "imageDigest" not in revision(client, "loose")["containerImages"][0]
    second = registry.push("loose:latest", "second")
    # Spread over the other zones, whose agents have not asked for the tag within this minute.
    client.update_service(service="loose", desiredCount=3)
    run_all(client, "loose", first, second, second)
    delete(client, "loose")


def test_an_image_of_this_machine_is_pinned_by_its_id(client):
    image = f"trireme-local-{uuid.uuid4().hex}:1"
    first = build(image, "first")
    try:
        register(client, "local", image)
        create(client, "local")
        run_all(client, "local", first)
        second = build(image, "second")
        client.update_service(service="local", desiredCount=2)
        for task in run_all(client, "local", first, first):
            assert docker("inspect", "--format", "{{.Image}}", task["containers"][0]["runtimeId"]) == first
        client.update_service(service="local", forceNewDeployment=True)
        assert {content(task) for task in run_all(client, "local", second, second)} == {"second"}
        delete(client, "local")
    finally:
        docker("rmi", "-f", image, first)


def run_until_stopped(client, family: str) -> str:
    """Why the task's container did not come up."""
    arn = client.run_task(taskDefinition=family)["tasks"][0]["taskArn"]
    look = lambda: client.describe_tasks(tasks=[arn])["tasks"][0]  # noqa: E731
    stopped = until("the task is over", look, lambda found: found["lastStatus"] == "STOPPED", LIMIT)
    assert stopped["stopCode"] == "TaskFailedToStart"
    return stopped["containers"][0]["reason"]


def test_what_cannot_be_pulled_says_why(client, registry: Registry, folder):
    missing = registry.name("missing:1")
    register(client, "missing", missing)
    reason = run_until_stopped(client, "missing")
    assert reason.startswith("CannotPullContainerError: ") and missing in reason and "not found" in reason

    # Credentials that were changed meanwhile count at once.
    registry.push("closed:1", "closed")
    register(client, "closed", registry.name("closed:1"))
    right = (folder / "config.json").read_text()
    (folder / "config.json").write_text(json.dumps(registry.configuration("rower:sails")))
    try:
        reason = run_until_stopped(client, "closed")
    finally:
        (folder / "config.json").write_text(right)
    assert reason.startswith("CannotPullContainerError: ") and "unauthorized" in reason
    assert "sails" not in reason
