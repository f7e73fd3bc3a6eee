"""Services keep their promises, on real Docker: an update under load, a revision that does not work, a drained instance."""

import threading

import pytest

import history
from containers import container
from services import LIMIT, gone, register, running, said, service, steady, tasks, trireme, zones
from until import until


@pytest.fixture(scope="module")
def client(docker):
    return docker.client()


class Load:
    """Writes and short tasks, one after the other, while the block lasts."""

    def __init__(self, client):
        self.client, self.calls, self.over = client, 0, threading.Event()
        self.thread = threading.Thread(target=self.pour)

    def pour(self) -> None:
        while not self.over.is_set():
            self.client.tag_resource(resourceArn=self.arn, tags=[{"key": "calls", "value": str(self.calls)}])
            if self.calls % 10 == 0:
                self.client.run_task(taskDefinition="short")
            self.calls += 1

    def __enter__(self):
        register(self.client, "short", "exit 0")
        self.arn = self.client.describe_clusters()["clusters"][0]["clusterArn"]
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_a_rolling_update_under_load_never_leaves_too_few(client, docker_data):
    register(client, "web")
    client.create_service(serviceName="web", taskDefinition="web", desiredCount=4)
    steady(client, "web", 4)
    second = register(client, "web")
    with Load(client) as load:
        client.update_service(service="web", taskDefinition="web")
        found = steady(client, "web", 4)
    assert load.calls > 10
    assert found["taskDefinition"] == second
    assert all(task["taskDefinitionArn"] == second for task in running(client, "web"))
    stops = history.judge(history.events(docker_data), "web", minimum=4, maximum=8, checked=True)
    assert stops >= 4, "each of the old tasks was stopped by the service"
    gone(client, "web")


def test_a_revision_whose_image_is_nowhere_is_rolled_back_and_touches_nothing(client):
    register(client, "shop")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    client.create_service(serviceName="shop", taskDefinition="shop", desiredCount=2, deploymentConfiguration=breaker)
    first = steady(client, "shop", 2)
    before = {task["taskArn"] for task in running(client, "shop")}
    bad = client.register_task_definition(family="shop", containerDefinitions=[container() | {"image": "127.0.0.1:9/nowhere:1"}])
    client.update_service(service="shop", taskDefinition=bad["taskDefinition"]["taskDefinitionArn"])
    deployment = service(client, "shop")["currentServiceDeployment"]

    def status() -> str:
        return client.describe_service_deployments(serviceDeploymentArns=[deployment])["serviceDeployments"][0]["status"]

    until("the bad revision is rolled back", status, lambda seen: seen == "ROLLBACK_SUCCESSFUL", LIMIT)
    after = steady(client, "shop", 2)
    assert after["taskDefinition"] == first["taskDefinition"]
    assert {task["taskArn"] for task in running(client, "shop")} == before, "not one of them was stopped"
    assert said(client, "shop", "deployment failed: tasks failed to start.")
    told = client.describe_service_deployments(serviceDeploymentArns=[deployment])["serviceDeployments"][0]
    assert told["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert told["deploymentCircuitBreaker"]["failureCount"] >= told["deploymentCircuitBreaker"]["threshold"] == 3
    assert told["rollback"]["serviceRevisionArn"] != told["targetServiceRevision"]["arn"]
    gone(client, "shop")


def test_a_drained_instance_is_left_start_first_and_gets_work_again(client, docker_data):
    register(client, "drained")
    client.create_service(serviceName="drained", taskDefinition="drained", desiredCount=3)
    steady(client, "drained", 3)
    instance = running(client, "drained")[0]["containerInstanceArn"]
    foreseen = trireme(docker_data, "drain", instance.rsplit("/", 1)[1], "--plan", code=1)
    assert "drained" in foreseen
    client.update_container_instances_state(containerInstances=[instance], status="DRAINING")
    until("it is empty", lambda: [task["containerInstanceArn"] for task in tasks(client, "drained")],
          lambda seen: instance not in seen and len(seen) == 3, LIMIT)
    steady(client, "drained", 3)
    history.judge(history.events(docker_data), "drained", minimum=3, maximum=6, checked=True)
    client.update_container_instances_state(containerInstances=[instance], status="ACTIVE")
    until("its zone is as full as the others", lambda: sorted(zones(client, "drained").values()),
          lambda seen: seen == [1, 1, 1], LIMIT)
    assert said(client, "drained", "is not AZ balanced with")
    gone(client, "drained")
