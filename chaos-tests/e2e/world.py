"""What there is before an operation is tried, and for each operation a call that succeeds."""

import itertools
from typing import Any, Callable

from until import until
from wire import Wire

CLUSTER = "conformance"
CONTAINER = {"name": "app", "image": "busybox", "memory": 16, "portMappings": [{"containerPort": 80}]}


class World:
    """Makes what a call needs; whatever may be made anew is made anew."""

    def __init__(self, wire: Wire):
        self.wire = wire
        self.numbers = itertools.count(1)
        self.definition = self.register("web")
        wire.done("CreateCluster", {"clusterName": CLUSTER})
        self.cluster_arn = f"{self.definition.rsplit(':', 2)[0]}:cluster/{CLUSTER}"
        self.instances = wire.done("ListContainerInstances", {})["containerInstanceArns"]
        self.service = self.create_service("stays")["serviceName"]
        self.task = self.wait_for_task(self.service)
        self.external = self.external_service()
        self.task_set = self.new_task_set(self.external)

    def name(self, prefix: str = "n") -> str:
        return f"{prefix}-{next(self.numbers)}"

    def register(self, family: str) -> str:
        given = {"family": family, "containerDefinitions": [CONTAINER]}
        return self.wire.done("RegisterTaskDefinition", given)["taskDefinition"]["taskDefinitionArn"]

    def deregistered(self) -> str:
        arn = self.register(self.name("gone"))
        self.wire.done("DeregisterTaskDefinition", {"taskDefinition": arn})
        return arn

    def new_cluster(self) -> str:
        return self.wire.done("CreateCluster", {"clusterName": self.name("c")})["cluster"]["clusterName"]

    def provider(self) -> str:
        name = self.name("machines")
        group = {"autoScalingGroupArn": name}
        self.wire.done("CreateCapacityProvider", {"name": name, "autoScalingGroupProvider": group})
        return name

    def create_service(self, name: str, count: int = 1) -> Any:
        given = {"serviceName": name, "taskDefinition": "web", "desiredCount": count}
        return self.wire.done("CreateService", given)["service"]

    def new_service(self) -> str:
        return self.create_service(self.name("s"), 0)["serviceName"]

    def external_service(self) -> str:
        """A service whose deployments are task sets."""
        given = {"serviceName": self.name("x"), "deploymentController": {"type": "EXTERNAL"}}
        return self.wire.done("CreateService", given)["service"]["serviceName"]

    def new_task_set(self, service: str) -> str:
        given = {"cluster": "default", "service": service, "taskDefinition": "web"}
        return self.wire.done("CreateTaskSet", given)["taskSet"]["taskSetArn"]

    def of_task_set(self) -> dict[str, str]:
        return {"cluster": "default", "service": self.external}

    def run(self) -> str:
        return self.wire.done("RunTask", {"taskDefinition": "web"})["tasks"][0]["taskArn"]

    def wait_for_task(self, service: str) -> str:
        def look() -> list[str]:
            return self.wire.done("ListTasks", {"serviceName": service})["taskArns"]

        return until(f"service {service} starts a task", look, bool)[0]

    def wait_until_steady(self, service: str) -> None:
        def look() -> list[str]:
            found = self.wire.done("DescribeServices", {"services": [service]})["services"][0]
            return [one["rolloutState"] for one in found["deployments"]]

        until(f"service {service} gets steady", look, lambda states: states == ["COMPLETED"], 90)

    def under_way(self) -> str:
        """A service deployment that has something to go back to and is not over."""
        name = self.new_service()
        self.wait_until_steady(name)
        self.wire.done("UpdateService", {"service": name, "forceNewDeployment": True, "desiredCount": 1})
        listed = self.wire.done("ListServiceDeployments", {"service": name})
        return listed["serviceDeployments"][0]["serviceDeploymentArn"]

    def attribute(self) -> dict[str, str]:
        return {"name": "stack", "value": "prod", "targetId": self.instances[0]}

    def deployment(self) -> Any:
        listed = self.wire.done("ListServiceDeployments", {"service": self.service})
        return listed["serviceDeployments"][0]


TAG = {"key": "team", "value": "a"}
INSIGHTS = {"name": "containerInsights", "value": "enabled"}
SCALING = {"managedScaling": {"status": "ENABLED", "targetCapacity": 90}}

# For each operation a call that succeeds, as often as it is made.
CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "CreateCluster": lambda w: {"clusterName": w.name("c"), "tags": [TAG], "settings": [INSIGHTS]},
    "DescribeClusters": lambda w: {"clusters": [CLUSTER], "include": ["TAGS", "SETTINGS", "STATISTICS"]},
    "ListClusters": lambda w: {"maxResults": 10},
    "DeleteCluster": lambda w: {"cluster": w.new_cluster()},
    "UpdateCluster": lambda w: {"cluster": CLUSTER, "serviceConnectDefaults": {"namespace": "web"}},
    "UpdateClusterSettings": lambda w: {"cluster": CLUSTER, "settings": [INSIGHTS]},
    "PutClusterCapacityProviders": lambda w: {
        "cluster": CLUSTER,
        "capacityProviders": ["FARGATE"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}],
    },
    "CreateCapacityProvider": lambda w: {
        "name": w.name("machines"),
        "autoScalingGroupProvider": {"autoScalingGroupArn": w.name("group"), **SCALING},
    },
    "UpdateCapacityProvider": lambda w: {"name": w.provider(), "autoScalingGroupProvider": SCALING},
    "DescribeCapacityProviders": lambda w: {"capacityProviders": ["FARGATE", w.provider()], "include": ["TAGS"]},
    "DeleteCapacityProvider": lambda w: {"capacityProvider": w.provider()},
    "RegisterTaskDefinition": lambda w: {"family": "other", "containerDefinitions": [CONTAINER], "tags": [TAG]},
    "DescribeTaskDefinition": lambda w: {"taskDefinition": "web", "include": ["TAGS"]},
    "DeregisterTaskDefinition": lambda w: {"taskDefinition": w.register(w.name("f"))},
    "DeleteTaskDefinitions": lambda w: {"taskDefinitions": [w.deregistered()]},
    "ListTaskDefinitions": lambda w: {"familyPrefix": "web"},
    "ListTaskDefinitionFamilies": lambda w: {"status": "ALL"},
    "CreateService": lambda w: {
        "serviceName": w.name("s"),
        "taskDefinition": "web",
        "desiredCount": 0,
        "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 50},
        "tags": [TAG],
    },
    "UpdateService": lambda w: {"service": w.service, "forceNewDeployment": False, "desiredCount": 1},
    "DescribeServices": lambda w: {"services": [w.service], "include": ["TAGS"]},
    "ListServices": lambda w: {"maxResults": 5},
    "ListServicesByNamespace": lambda w: {"namespace": "local"},
    "DeleteService": lambda w: {"service": w.new_service()},
    "DescribeServiceDeployments": lambda w: {
        "serviceDeploymentArns": [w.deployment()["serviceDeploymentArn"]]
    },
    "DescribeServiceRevisions": lambda w: {
        "serviceRevisionArns": [w.deployment()["targetServiceRevisionArn"]]
    },
    "ListServiceDeployments": lambda w: {"service": w.service, "createdAt": {"after": 1}},
    "StopServiceDeployment": lambda w: {"serviceDeploymentArn": w.under_way(), "stopType": "ROLLBACK"},
    "CreateTaskSet": lambda w: {
        "cluster": "default",
        "service": w.external_service(),
        "taskDefinition": "web",
        "externalId": "release-7",
        "scale": {"value": 33.3, "unit": "PERCENT"},
        "tags": [TAG],
    },
    "UpdateTaskSet": lambda w: {
        **w.of_task_set(), "taskSet": w.task_set, "scale": {"value": 50.0, "unit": "PERCENT"}
    },
    "DescribeTaskSets": lambda w: {**w.of_task_set(), "taskSets": [w.task_set], "include": ["TAGS"]},
    "UpdateServicePrimaryTaskSet": lambda w: {**w.of_task_set(), "primaryTaskSet": w.task_set},
    "DeleteTaskSet": lambda w: {**w.of_task_set(), "taskSet": w.new_task_set(w.external), "force": True},
    "RunTask": lambda w: {
        "taskDefinition": "web",
        "count": 1,
        "overrides": {"containerOverrides": [{"name": "app", "environment": [{"name": "A", "value": "b"}]}]},
        "tags": [TAG],
    },
    "StartTask": lambda w: {"taskDefinition": "web", "containerInstances": [w.instances[0]]},
    "StopTask": lambda w: {"task": w.run(), "reason": "enough"},
    "DescribeTasks": lambda w: {"tasks": [w.task], "include": ["TAGS"]},
    "ListTasks": lambda w: {"family": "web"},
    "GetTaskProtection": lambda w: {"cluster": "default", "tasks": [w.task]},
    "UpdateTaskProtection": lambda w: {
        "cluster": "default", "tasks": [w.task], "protectionEnabled": True, "expiresInMinutes": 5
    },
    "ListContainerInstances": lambda w: {"filter": "agentConnected == true"},
    "DescribeContainerInstances": lambda w: {"containerInstances": w.instances[:2], "include": ["TAGS"]},
    "RegisterContainerInstance": lambda w: {
        "cluster": CLUSTER,
        "totalResources": [{"name": "CPU", "type": "INTEGER", "integerValue": 1024}],
        "attributes": [{"name": "ecs.os-type", "value": "linux"}],
        "versionInfo": {"agentVersion": "1.105.1"},
    },
    "UpdateContainerInstancesState": lambda w: {"containerInstances": w.instances[-1:], "status": "ACTIVE"},
    "DeregisterContainerInstance": lambda w: {"containerInstance": w.instances[-1], "force": True},
    "DiscoverPollEndpoint": lambda w: {"cluster": "default", "containerInstance": w.instances[0]},
    "SubmitTaskStateChange": lambda w: {
        "task": w.task, "status": "RUNNING", "containers": [{"containerName": "app", "status": "RUNNING"}]
    },
    "SubmitContainerStateChange": lambda w: {"task": w.task, "containerName": "app", "status": "RUNNING"},
    "SubmitAttachmentStateChanges": lambda w: {"attachments": []},
    "PutAttributes": lambda w: {"attributes": [w.attribute()]},
    "DeleteAttributes": lambda w: {"attributes": [w.attribute()]},
    "ListAttributes": lambda w: {"targetType": "container-instance", "attributeName": "stack"},
    "PutAccountSetting": lambda w: {"name": "awsvpcTrunking", "value": "enabled"},
    "PutAccountSettingDefault": lambda w: {"name": "awsvpcTrunking", "value": "enabled"},
    "DeleteAccountSetting": lambda w: {"name": "awsvpcTrunking"},
    "ListAccountSettings": lambda w: {"effectiveSettings": True},
    "TagResource": lambda w: {"resourceArn": w.cluster_arn, "tags": [TAG]},
    "UntagResource": lambda w: {"resourceArn": w.cluster_arn, "tagKeys": ["team"]},
    "ListTagsForResource": lambda w: {"resourceArn": w.cluster_arn},
}

# Operations whose only answer is an error: its type, and a part of its message.
ALWAYS_REFUSED = {
    "ContinueServiceDeployment": ("InvalidParameterException", "does not wait at a lifecycle hook hook-1"),
    "ExecuteCommand": ("InvalidParameterException", "execute command was not enabled when the task was run"),
    "UpdateContainerAgent": ("NoUpdateAvailableException", "no update available"),
}
CALLS["ContinueServiceDeployment"] = lambda w: {
    "serviceDeploymentArn": w.deployment()["serviceDeploymentArn"], "hookId": "hook-1"
}
CALLS["ExecuteCommand"] = lambda w: {"task": w.task, "interactive": True, "command": "/bin/sh"}
CALLS["UpdateContainerAgent"] = lambda w: {"containerInstance": w.instances[0]}
