"""FARGATE: tasks and services of a user who has no container instances, on the agents of the managed pool, on a real Docker Engine."""

import json
import subprocess
import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import development, environment
from containers import container, docker_says, inside, register, stop, task, wait
from until import until
from wire import Wire

LIMIT = 60
SIZE = {"cpu": "256", "memory": "512"}


@pytest.fixture(scope="module")
def folder():
    """A cluster without container instances: one agent in each zone, of the managed pool."""
    with development("--agents-per-zone", "0", "--managed-agents", "1") as data:
        yield data


@pytest.fixture(scope="module")
def client(folder: Path):
    return Wire(environment(folder)).client()


@pytest.fixture(scope="module")
def network(folder: Path) -> dict:
    """The subnets that `trireme dev` made."""
    command = [os.environ["TRIREME_BIN"], "subnet", "list", "--json", "--data", str(folder)]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"awsvpcConfiguration": {"subnets": [one["id"] for one in listed], "assignPublicIp": "ENABLED"}}


@pytest.fixture(scope="module")
def family(client) -> str:
    client.create_cluster()
    made = register(client, "web", container(), networkMode="awsvpc", requiresCompatibilities=["FARGATE"], **SIZE)
    assert made["requiresCompatibilities"] == ["FARGATE"] and "FARGATE" in made["compatibilities"]
    return made["family"]


def test_a_task_runs_without_a_container_instance(client, family, network):
    assert client.list_container_instances()["containerInstanceArns"] == []
    ran = client.run_task(taskDefinition=family, launchType="FARGATE", networkConfiguration=network)
    assert ran["failures"] == []
    found = wait(client, ran["tasks"][0]["taskArn"], "RUNNING")
    assert (found["launchType"], found["platformVersion"], found["platformFamily"]) == ("FARGATE", "1.4.0", "Linux")
    assert (found["cpu"], found["memory"]) == ("256", "512")
    assert "containerInstanceArn" not in found and found["clusterArn"].endswith("cluster/default")
    address = next(one["value"] for one in found["attachments"][0]["details"] if one["name"] == "privateIPv4Address")
    assert address in inside(found, "ip -4 addr show")
    # The task's own size is its limit, and its metadata are its cluster's.
    told = json.loads(inside(found, 'wget -qO- "$ECS_CONTAINER_METADATA_URI_V4/task"'))
    assert (told["Cluster"], told["LaunchType"], told["Limits"]["Memory"]) == ("default", "FARGATE", 512)
    assert inside(found, "echo $AWS_EXECUTION_ENV") == "AWS_ECS_FARGATE"
    assert stop(client, found)["stopCode"] == "UserInitiated"
    label = f"label=io.trireme.task-id={found['taskArn'].rsplit('/', 1)[1]}"
    until("its containers are gone", lambda: docker_says("ps", "-q", "--filter", label), lambda ids: ids == "", LIMIT)


def test_a_service_is_spread_over_the_pool_and_mended(client, family, network):
    client.create_service(
        serviceName="web", taskDefinition=family, desiredCount=3, launchType="FARGATE", networkConfiguration=network
    )
    client.get_waiter("services_stable").wait(services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    arns = client.list_tasks(serviceName="web", launchType="FARGATE")["taskArns"]
    tasks = client.describe_tasks(tasks=arns)["tasks"]
    assert len({one["availabilityZone"] for one in tasks}) == 3
    docker_says("kill", tasks[0]["containers"][0]["runtimeId"])
    until("it stopped", lambda: task(client, tasks[0]["taskArn"]), lambda one: one["lastStatus"] == "STOPPED", LIMIT)

    def running() -> int:
        return client.describe_services(services=["web"])["services"][0]["runningCount"]

    until("another one runs", running, lambda count: count == 3, LIMIT)
    found = client.describe_services(services=["web"])["services"][0]
    assert (found["launchType"], found["platformVersion"]) == ("FARGATE", "LATEST")
    client.delete_service(service="web", force=True)


def test_the_pool_is_for_what_is_launched_on_it(client, family, network):
    private = {"awsvpcConfiguration": {"subnets": network["awsvpcConfiguration"]["subnets"]}}
    with pytest.raises(ClientError, match="No Container Instances were found in your cluster"):
        client.run_task(taskDefinition=family, networkConfiguration=private)
    register(client, "own", container())
    with pytest.raises(ClientError, match="Task definition does not support launch_type FARGATE"):
        client.run_task(taskDefinition="own", launchType="FARGATE")
    with pytest.raises(ClientError, match="Cluster not found"):
        client.list_tasks(cluster="managed")


def test_a_default_strategy_of_spot_is_the_same_pool(client, family, network):
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    client.create_cluster(
        clusterName="spot", capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=strategy
    )
    ran = client.run_task(cluster="spot", taskDefinition=family, networkConfiguration=network, count=2)
    assert ran["failures"] == []
    names = {one["capacityProviderName"] for one in ran["tasks"]}
    assert names == {"FARGATE_SPOT"}
    for one in ran["tasks"]:
        arn = one["taskArn"]
        until("it runs", lambda: client.describe_tasks(cluster="spot", tasks=[arn])["tasks"][0]["lastStatus"], lambda status: status == "RUNNING", LIMIT)
        client.stop_task(cluster="spot", task=arn)


def test_a_rule_runs_its_tasks_on_the_pool(folder, client, family, network):
    events = Wire(environment(folder)).client(service="events")
    definition = client.describe_task_definition(taskDefinition=family)["taskDefinition"]["taskDefinitionArn"]
    vpc = network["awsvpcConfiguration"]
    parameters = {
        "TaskDefinitionArn": definition,
        "TaskCount": 1,
        "LaunchType": "FARGATE",
        "PlatformVersion": "1.4.0",
        "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": vpc["subnets"], "AssignPublicIp": "ENABLED"}},
    }
    cluster = client.describe_clusters()["clusters"][0]["clusterArn"]
    target = {"Id": "web", "Arn": cluster, "EcsParameters": parameters}
    events.put_rule(Name="pooled", ScheduleExpression="rate(1 minute)")
    both = target | {"EcsParameters": parameters | {"CapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]}}
    with pytest.raises(ClientError, match="both a launch type and capacity provider strategy"):
        events.put_targets(Rule="pooled", Targets=[both])
    assert events.put_targets(Rule="pooled", Targets=[target])["FailedEntryCount"] == 0
    assert events.list_targets_by_rule(Rule="pooled")["Targets"] == [target]

    def started() -> list[str]:
        return client.list_tasks(startedBy="events-rule/pooled")["taskArns"]

    until("its time has come", started, bool, 60 + LIMIT)
    events.disable_rule(Name="pooled")
    found = wait(client, started()[0], "RUNNING")
    assert (found["launchType"], found["platformVersion"]) == ("FARGATE", "1.4.0")
    assert "containerInstanceArn" not in found and found["startedBy"] == "events-rule/pooled"
    assert client.list_container_instances()["containerInstanceArns"] == []
    events.remove_targets(Rule="pooled", Ids=["web"])
    events.delete_rule(Name="pooled")
    for arn in started():
        client.stop_task(task=arn)
