"""AWS's service model as botocore brings it: which operations are served, which errors they declare, what shapes answers have."""

from pathlib import Path
from typing import Any, Iterator

import botocore.session
from botocore.model import Shape

SERVICE = botocore.session.get_session().get_service_model("ecs")
COVERAGE = Path(__file__).parents[2] / "crates/ecs-api/src/coverage.txt"

# What every operation may answer besides what it declares: the protocol's own.
PROTOCOL_ERRORS = {"SerializationException"}

# Members that ECS always sends, empty or not.
PRESENT = {
    "Cluster": {
        "clusterArn", "clusterName", "status", "registeredContainerInstancesCount", "runningTasksCount",
        "pendingTasksCount", "activeServicesCount", "statistics", "tags", "settings", "capacityProviders",
        "defaultCapacityProviderStrategy",
    },
    "TaskDefinition": {
        "taskDefinitionArn", "containerDefinitions", "family", "revision", "volumes", "status",
        "requiresAttributes", "placementConstraints", "compatibilities", "registeredAt", "registeredBy",
    },
    "ContainerDefinition": {
        "name", "image", "cpu", "portMappings", "essential", "environment", "mountPoints", "volumesFrom",
        "systemControls",
    },
    "Service": {
        "serviceArn", "serviceName", "clusterArn", "loadBalancers", "serviceRegistries", "status",
        "desiredCount", "runningCount", "pendingCount", "launchType", "taskDefinition",
        "deploymentConfiguration", "deployments", "events", "createdAt", "placementConstraints",
        "placementStrategy", "schedulingStrategy", "deploymentController", "createdBy",
        "enableECSManagedTags", "propagateTags", "enableExecuteCommand",
    },
    "Deployment": {
        "id", "status", "taskDefinition", "desiredCount", "pendingCount", "runningCount", "failedTasks",
        "createdAt", "updatedAt", "launchType", "rolloutState", "rolloutStateReason",
    },
    "Task": {
        "attachments", "attributes", "availabilityZone", "clusterArn", "connectivity", "containerInstanceArn",
        "containers", "cpu", "createdAt", "desiredStatus", "enableExecuteCommand", "group", "healthStatus",
        "inferenceAccelerators", "lastStatus", "launchType", "memory", "overrides", "tags", "taskArn",
        "taskDefinitionArn", "version",
    },
    "Container": {
        "containerArn", "taskArn", "name", "image", "lastStatus", "networkInterfaces", "healthStatus", "cpu",
    },
    "TaskOverride": {"containerOverrides", "inferenceAcceleratorOverrides"},
    "ContainerInstance": {
        "containerInstanceArn", "ec2InstanceId", "version", "versionInfo", "registeredResources",
        "remainingResources", "status", "agentConnected", "runningTasksCount", "pendingTasksCount",
        "attributes", "registeredAt", "attachments", "tags",
    },
    "CapacityProvider": {"capacityProviderArn", "name", "status", "tags"},
    "ServiceDeployment": {
        "serviceDeploymentArn", "serviceArn", "clusterArn", "createdAt", "startedAt", "updatedAt",
        "sourceServiceRevisions", "targetServiceRevision", "status", "deploymentConfiguration",
    },
    "ServiceRevision": {"serviceRevisionArn", "serviceArn", "clusterArn", "taskDefinition", "createdAt"},
    "Setting": {"name", "value", "principalArn", "type"},
}


def served() -> list[str]:
    """The operations that are served, real or stored."""
    lines = (line.split("#")[0] for line in COVERAGE.read_text().splitlines())
    return [line.split("=")[0].strip() for line in lines if "=" in line]


def declared(operation: str) -> set[str]:
    return {shape.name for shape in SERVICE.operation_model(operation).error_shapes}


def input_shape(operation: str) -> Shape:
    return SERVICE.operation_model(operation).input_shape


def problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Where an answer's JSON is not what the model says: unknown keys, wrong types, null, unknown values of enums, and members
    that are left out although ECS always sends them."""
    if value is None:
        yield f"{path}: null"
    elif shape.type_name == "structure":
        yield from of_structure(shape, value, path)
    elif shape.type_name == "list":
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for index, one in enumerate(value):
            yield from problems(shape.member, one, f"{path}[{index}]")
    elif shape.type_name == "map":
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no map"
            return
        for key, one in value.items():
            yield from problems(shape.value, one, f"{path}.{key}")
    elif not is_scalar(shape, value):
        yield f"{path}: {value!r} is no {shape.type_name}"


def of_structure(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no structure"
        return
    for name in PRESENT.get(shape.name, set()) - value.keys():
        yield f"{path}: {name} is left out"
    for name, one in value.items():
        if name not in shape.members:
            yield f"{path}: {name} is unknown"
        else:
            yield from problems(shape.members[name], one, f"{path}.{name}")


def is_scalar(shape: Shape, value: Any) -> bool:
    if shape.type_name == "string":
        return isinstance(value, str) and (not shape.enum or value in shape.enum)
    if shape.type_name == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if shape.type_name in ("integer", "long"):
        return isinstance(value, int)
    # Timestamps are seconds since 1970.
    return isinstance(value, (int, float))


def wrong_type(shape: Shape) -> Any:
    """A value that no member of this type can have."""
    if shape.type_name in ("structure", "map"):
        return "text"
    if shape.type_name == "list":
        return {"not": "a list"}
    if shape.type_name == "string":
        return {"not": "a text"}
    return ["not a scalar"]
