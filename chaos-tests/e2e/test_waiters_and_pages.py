"""The waiters and paginators of boto3, as every user of it has them."""

import itertools

import pytest
from botocore.exceptions import WaiterError

from wire import Wire
from world import CONTAINER

QUICK = {"Delay": 1, "MaxAttempts": 60}
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def client(wire: Wire):
    made = wire.client()
    made.register_task_definition(family="waits", containerDefinitions=[CONTAINER])
    return made


def service(client, count: int) -> str:
    name = f"waits-{next(NUMBERS)}"
    client.create_service(serviceName=name, taskDefinition="waits", desiredCount=count)
    return name


def test_services_stable_and_inactive(client):
    name = service(client, 2)
    client.get_waiter("services_stable").wait(services=[name], WaiterConfig=QUICK)
    assert client.describe_services(services=[name])["services"][0]["runningCount"] == 2
    client.delete_service(service=name, force=True)
    client.get_waiter("services_inactive").wait(services=[name], WaiterConfig=QUICK)
    with pytest.raises(WaiterError, match="MISSING|DRAINING|INACTIVE|failure"):
        client.get_waiter("services_stable").wait(services=[name], WaiterConfig=QUICK)
    with pytest.raises(WaiterError):
        client.get_waiter("services_inactive").wait(services=["no-such-service"], WaiterConfig=QUICK)


def test_tasks_running_and_stopped(client):
    task = client.run_task(taskDefinition="waits")["tasks"][0]["taskArn"]
    client.get_waiter("tasks_running").wait(tasks=[task], WaiterConfig=QUICK)
    client.stop_task(task=task)
    client.get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig=QUICK)
    with pytest.raises(WaiterError):
        client.get_waiter("tasks_running").wait(tasks=[task], WaiterConfig=QUICK)
    running = client.run_task(taskDefinition="waits")["tasks"][0]["taskArn"]
    with pytest.raises(WaiterError):
        never = {"Delay": 1, "MaxAttempts": 2}
        client.get_waiter("tasks_stopped").wait(tasks=[running], WaiterConfig=never)
    client.stop_task(task=running)


def pages_while(client, operation: str, key: str, change, **given) -> list[list[str]]:
    """The pages of a list, two items each, with a change after the first page."""
    pages = []
    for page in client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **given):
        pages.append(page[key])
        if len(pages) == 1:
            change()
    return pages


def check(pages: list[list], there: set) -> None:
    """Three pages at least; what was there all the time is there once."""
    seen = [repr(one) for page in pages for one in page]
    assert len(pages) >= 3, pages
    assert all(len(page) == 2 for page in pages[:-1]), pages
    assert len(seen) == len(set(seen)), seen
    assert {repr(one) for one in there} <= set(seen), seen


def test_clusters(client):
    names = [f"page-{letter}" for letter in "abcde"]
    arns = [client.create_cluster(clusterName=name)["cluster"]["clusterArn"] for name in names]

    def change():
        client.create_cluster(clusterName="page-a0")
        client.delete_cluster(cluster="page-e")

    check(pages_while(client, "list_clusters", "clusterArns", change), set(arns[:4]))


def test_task_definitions_and_families(client):
    def register(family: str) -> str:
        made = client.register_task_definition(family=family, containerDefinitions=[CONTAINER])
        return made["taskDefinition"]["taskDefinitionArn"]

    arns = [register("paged") for _ in range(6)]
    pages = pages_while(
        client, "list_task_definitions", "taskDefinitionArns", lambda: register("paged"), familyPrefix="paged"
    )
    check(pages, set(arns))
    families = [f"paged-{letter}" for letter in "abcdef"]
    for family in families:
        register(family)
    pages = pages_while(
        client,
        "list_task_definition_families",
        "families",
        lambda: register("paged-a0"),
        familyPrefix="paged-",
    )
    check(pages, set(families))


def test_services(client):
    client.create_cluster(clusterName="paged")
    def create(name: str) -> str:
        made = client.create_service(
            cluster="paged", serviceName=name, taskDefinition="waits", desiredCount=0
        )
        return made["service"]["serviceArn"]

    arns = [create(f"page-{letter}") for letter in "abcdef"]
    pages = pages_while(client, "list_services", "serviceArns", lambda: create("page-a0"), cluster="paged")
    check(pages, set(arns))


def test_services_of_a_namespace(client):
    client.create_cluster(clusterName="connected", serviceConnectDefaults={"namespace": "pages"})

    def create(name: str) -> str:
        made = client.create_service(
            cluster="connected",
            serviceName=name,
            taskDefinition="waits",
            desiredCount=0,
            serviceConnectConfiguration={"enabled": True},
        )
        return made["service"]["serviceArn"]

    arns = [create(f"page-{letter}") for letter in "abcdef"]
    pages = pages_while(
        client, "list_services_by_namespace", "serviceArns", lambda: create("page-a0"), namespace="pages"
    )
    check(pages, set(arns))


def test_tasks(client):
    def run(count: int) -> list[str]:
        made = client.run_task(taskDefinition="waits", count=count, startedBy="pages")
        return [task["taskArn"] for task in made["tasks"]]

    arns = run(6)
    check(pages_while(client, "list_tasks", "taskArns", lambda: run(1), startedBy="pages"), set(arns))
    for arn in client.list_tasks(startedBy="pages")["taskArns"]:
        client.stop_task(task=arn)


def test_container_instances_and_attributes(client):
    listed = client.list_container_instances()["containerInstanceArns"]
    pages = pages_while(client, "list_container_instances", "containerInstanceArns", lambda: None)
    check(pages, set(listed))

    def put(name: str) -> None:
        client.put_attributes(attributes=[{"name": name, "targetId": listed[0]}])

    for letter in "abcdef":
        put(f"page-{letter}")
    pages = pages_while(
        client,
        "list_attributes",
        "attributes",
        lambda: put("page-a0"),
        targetType="container-instance",
    )
    names = [one["name"] for page in pages for one in page if one["targetId"] == listed[0]]
    assert len(pages) >= 3 and {f"page-{letter}" for letter in "abcdef"} <= set(names)


def test_account_settings(client):
    pages = pages_while(
        client, "list_account_settings", "settings", lambda: None, effectiveSettings=True
    )
    assert len(pages) == 6 and sum(map(len, pages)) == 11
