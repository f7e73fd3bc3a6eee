"""What an infrastructure tool does: it makes what its configuration says, waits, reads it back and compares. The second plan is
empty, and so is one after an update. The calls, waits and comparisons are those of Terraform's provider for AWS, which cannot run
here."""

from typing import Any

import pytest

from until import until
from wire import Wire

CLUSTER = {"clusterName": "planned", "settings": [{"name": "containerInsights", "value": "enhanced"}]}
TAGS = [{"key": "Environment", "value": "test"}, {"key": "Name", "value": "planned"}]
CONTAINERS = [
    {
        "name": "app",
        "image": "busybox",
        "cpu": 10,
        "memory": 32,
        "essential": True,
        "command": ["sleep", "1000"],
        "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
    },
    {"name": "side", "image": "busybox", "memoryReservation": 16, "essential": False},
]
LIMIT = 60
# How long a deployment may take.
DEPLOYED = 150


@pytest.fixture(scope="session")
def client(wire: Wire):
    return wire.client()


def without_defaults(container: dict[str, Any]) -> dict[str, Any]:
    """A container as the provider compares it: without what ECS fills in, the environment in order."""
    kept = dict(container)
    for member, default in {"cpu": 0, "essential": True}.items():
        if kept.get(member) == default:
            del kept[member]
    for member in ("environment", "mountPoints", "portMappings", "systemControls", "volumesFrom"):
        if kept.get(member) == []:
            del kept[member]
    ports = [dict(port) for port in kept.get("portMappings", [])]
    for port in ports:
        if port.get("protocol") == "tcp":
            del port["protocol"]
        if port.get("hostPort") == 0:
            del port["hostPort"]
    if ports:
        kept["portMappings"] = ports
    if "environment" in kept:
        kept["environment"] = sorted(kept["environment"], key=lambda pair: pair["name"])
    return kept


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A plan: what is wanted and is not as found."""
    return {name: (value, found.get(name)) for name, value in wanted.items() if found.get(name) != value}


def read_cluster(client) -> dict[str, Any]:
    include = ["TAGS", "CONFIGURATIONS", "SETTINGS"]
    return client.describe_clusters(clusters=["planned"], include=include)["clusters"][0]


def test_a_cluster(client):
    client.create_cluster(**CLUSTER, tags=TAGS)
    until("the cluster", lambda: read_cluster(client), lambda cluster: cluster["status"] == "ACTIVE")
    assert difference({**CLUSTER, "tags": TAGS}, read_cluster(client)) == {}

    disabled = [{"name": "containerInsights", "value": "disabled"}]
    client.update_cluster(cluster="planned", settings=disabled)
    assert difference({"settings": disabled, "tags": TAGS}, read_cluster(client)) == {}

    providers = {
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 100, "base": 1}],
    }
    client.put_cluster_capacity_providers(cluster="planned", **providers)
    assert difference(providers, read_cluster(client)) == {}
    client.put_cluster_capacity_providers(
        cluster="planned", capacityProviders=[], defaultCapacityProviderStrategy=[]
    )


def test_a_capacity_provider(client):
    scaling = {"status": "ENABLED", "targetCapacity": 90, "maximumScalingStepSize": 10, "minimumScalingStepSize": 1}
    group = {"autoScalingGroupArn": "planned", "managedScaling": scaling, "managedTerminationProtection": "ENABLED"}
    client.create_capacity_provider(name="planned", autoScalingGroupProvider=group, tags=TAGS)

    def read() -> dict[str, Any]:
        described = client.describe_capacity_providers(capacityProviders=["planned"], include=["TAGS"])
        return described["capacityProviders"][0]

    found = read()
    assert difference({"name": "planned", "status": "ACTIVE", "tags": TAGS}, found) == {}
    assert difference(scaling, found["autoScalingGroupProvider"]["managedScaling"]) == {}
    client.update_capacity_provider(
        name="planned", autoScalingGroupProvider={"managedScaling": {**scaling, "targetCapacity": 50}}
    )
    until("the update", read, lambda provider: provider["updateStatus"] == "UPDATE_COMPLETE")
    assert read()["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 50
    client.delete_capacity_provider(capacityProvider="planned")
    gone = client.describe_capacity_providers(capacityProviders=["planned"])
    assert gone["capacityProviders"] == [] and gone["failures"][0]["reason"] == "MISSING"


def test_a_task_definition(client):
    client.register_task_definition(family="planned", containerDefinitions=CONTAINERS, tags=TAGS)
    read = client.describe_task_definition(taskDefinition="planned", include=["TAGS"])
    found = read["taskDefinition"]
    assert read["tags"] == TAGS and found["status"] == "ACTIVE"
    assert [without_defaults(one) for one in found["containerDefinitions"]] == [
        without_defaults(one) for one in CONTAINERS
    ]
    for member in ("networkMode", "requiresCompatibilities", "taskRoleArn", "ipcMode", "pidMode"):
        assert member not in found, member


def test_a_service(client):
    wanted = {
        "serviceName": "planned",
        "desiredCount": 2,
        "launchType": "EC2",
        "schedulingStrategy": "REPLICA",
        "enableECSManagedTags": False,
        "enableExecuteCommand": False,
        "propagateTags": "NONE",
    }
    limits = {"maximumPercent": 200, "minimumHealthyPercent": 100}
    given = {name: value for name, value in wanted.items() if name != "propagateTags"}
    made = client.create_service(
        **given,
        clientToken="plan-1",
        deploymentConfiguration=limits,
        taskDefinition="planned",
        tags=TAGS,
    )["service"]
    steady = {"Delay": 1, "MaxAttempts": LIMIT}
    client.get_waiter("services_stable").wait(services=["planned"], WaiterConfig=steady)

    def read() -> dict[str, Any]:
        return client.describe_services(services=["planned"], include=["TAGS"])["services"][0]

    assert difference({**wanted, "tags": TAGS}, read()) == {}
    assert difference(limits, read()["deploymentConfiguration"]) == {}
    assert read()["taskDefinition"].split("/")[-1].split(":")[0] == "planned"
    assert read()["loadBalancers"] == read()["serviceRegistries"] == []

    # The provider finds the deployment's record by its number, and waits until that is done.
    deployment = read()["deployments"][0]["id"]
    number = deployment.removeprefix("ecs-svc/")

    def record() -> dict[str, Any]:
        records = client.list_service_deployments(service=made["serviceArn"], cluster=made["clusterArn"])
        found = [one for one in records["serviceDeployments"] if number in one["targetServiceRevisionArn"]]
        return found[0]

    until("the deployment's record", record, lambda one: one["status"] == "SUCCESSFUL", DEPLOYED)
    client.update_service(service=made["serviceArn"], cluster=made["clusterArn"], desiredCount=1)
    assert difference({"desiredCount": 1}, read()) == {}
    assert read()["deployments"][0]["id"] == deployment

    client.update_service(service="planned", desiredCount=0)
    client.delete_service(service="planned", force=True)
    until("the end", read, lambda service: service["status"] == "INACTIVE")


def test_all_of_it_goes_again(client):
    arn = client.describe_task_definition(taskDefinition="planned")["taskDefinition"]["taskDefinitionArn"]
    client.deregister_task_definition(taskDefinition=arn)
    gone = client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert gone["status"] == "INACTIVE" and "deregisteredAt" in gone
    client.delete_cluster(cluster="planned")
    until("the cluster's end", lambda: read_cluster(client), lambda cluster: cluster["status"] == "INACTIVE")
