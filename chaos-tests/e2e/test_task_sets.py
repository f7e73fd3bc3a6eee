"""A deployment that its user controls: two task sets of one service, as tools for blue-green deployments make them."""

import pytest
from botocore.exceptions import ClientError

from until import until
from wire import Wire
from world import CONTAINER

SERVICE = "external"
OF = {"cluster": "default", "service": SERVICE}


@pytest.fixture(scope="module")
def client(wire: Wire):
    made = wire.client()
    for _ in range(2):
        made.register_task_definition(family="sets", containerDefinitions=[CONTAINER])
    return made


def refused(call, **given) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def percent(value: float) -> dict:
    return {"value": value, "unit": "PERCENT"}


def steady(client, task_set: str) -> dict:
    """The set, once it is in a steady state."""
    def look() -> dict:
        return client.describe_task_sets(taskSets=[task_set], **OF)["taskSets"][0]

    return until(f"{task_set} gets steady", look, lambda set: set["stabilityStatus"] == "STEADY_STATE", 60)


def service(client) -> dict:
    return client.describe_services(services=[SERVICE])["services"][0]


def statuses(client) -> dict[str, str]:
    return {one["id"]: one["status"] for one in client.describe_task_sets(**OF)["taskSets"]}


def test_an_external_deployment(client):
    made = client.create_service(
        serviceName=SERVICE, desiredCount=3, deploymentController={"type": "EXTERNAL"}
    )["service"]
    assert made["deploymentController"] == {"type": "EXTERNAL"}
    assert (made["deployments"], made["taskSets"]) == ([], [])
    assert "taskDefinition" not in made

    given = {
        "taskDefinition": "sets:1",
        "externalId": "release-1",
        "scale": percent(100),
        "tags": [{"key": "colour", "value": "blue"}],
        "clientToken": "blue",
        **OF,
    }
    blue = client.create_task_set(**given)["taskSet"]
    assert (blue["status"], blue["stabilityStatus"], blue["computedDesiredCount"]) == ("ACTIVE", "STABILIZING", 3)
    assert blue["taskSetArn"].endswith(f":task-set/default/{SERVICE}/{blue['id']}")
    assert (blue["externalId"], blue["scale"], blue["launchType"]) == ("release-1", percent(100), "EC2")
    again = client.create_task_set(**given)["taskSet"]
    assert again["id"] == blue["id"], "a repeat makes no other"
    assert steady(client, blue["id"])["runningCount"] == 3
    chosen = client.update_service_primary_task_set(primaryTaskSet=blue["id"], **OF)["taskSet"]
    assert chosen["status"] == "PRIMARY"
    assert service(client)["taskDefinition"].endswith("/sets:1")

    # The next release comes up beside it, a part at first.
    green = client.create_task_set(taskDefinition="sets:2", **OF)["taskSet"]
    assert (green["scale"], green["computedDesiredCount"]) == (percent(0), 0)
    client.update_task_set(taskSet=green["taskSetArn"], scale=percent(34), **OF)
    assert steady(client, green["id"])["runningCount"] == 2, "34 % of 3 is rounded up"
    tasks = client.list_tasks(serviceName=SERVICE)["taskArns"]
    running = client.describe_tasks(tasks=tasks)["tasks"]
    by_set = sorted(task["startedBy"] for task in running)
    assert by_set == sorted([blue["id"]] * 3 + [green["id"]] * 2)
    assert service(client)["runningCount"] == 5

    client.update_task_set(taskSet=green["id"], scale=percent(100), **OF)
    assert steady(client, green["id"])["runningCount"] == 3
    client.update_service_primary_task_set(primaryTaskSet=green["id"], **OF)
    assert statuses(client) == {blue["id"]: "ACTIVE", green["id"]: "PRIMARY"}
    assert service(client)["taskDefinition"].endswith("/sets:2")

    # The old one goes.
    code, message = refused(client.delete_task_set, taskSet=green["id"], **OF)
    assert (code, message) == ("InvalidParameterException", "Primary TaskSet cannot be deleted.")
    code, message = refused(client.delete_task_set, taskSet=blue["id"], **OF)
    assert (code, "scaled above 0" in message) == ("InvalidParameterException", True)
    gone = client.delete_task_set(taskSet=blue["id"], force=True, **OF)["taskSet"]
    assert (gone["status"], gone["computedDesiredCount"]) == ("DRAINING", 0)
    until("the old set is gone", lambda: statuses(client), lambda found: found == {green["id"]: "PRIMARY"}, 60)
    assert service(client)["runningCount"] == 3
    told = [event["message"] for event in service(client)["events"]]
    assert any(text.startswith(f"(service {SERVICE}, taskSet {green['id']}) has started") for text in told), told
    answer = client.describe_task_sets(taskSets=[blue["id"]], **OF)
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]

    # The number of tasks is the service's.
    client.update_service(service=SERVICE, desiredCount=1)
    until("fewer run", lambda: service(client), lambda found: found["runningCount"] == 1, 60)


def test_what_is_the_sets_own_is_not_the_services(client):
    name = "external-refused"
    external = {"deploymentController": {"type": "EXTERNAL"}}
    code, message = refused(client.create_service, serviceName=name, taskDefinition="sets", desiredCount=1, **external)
    assert (code, message.startswith("taskDefinition cannot be specified")) == ("InvalidParameterException", True)
    client.create_service(serviceName=name, **external)
    code, message = refused(client.update_service, service=name, taskDefinition="sets:2")
    assert (code, message.startswith("Unable to update task definition on services with")) == (
        "InvalidParameterException", True
    )
    code, message = refused(client.update_service, service=name, forceNewDeployment=True)
    assert (code, message.startswith("Cannot force a new deployment")) == ("InvalidParameterException", True)
    of = {"cluster": "default", "service": name}
    assert client.describe_task_sets(**of)["taskSets"] == []
    code, _ = refused(client.update_task_set, taskSet="ecs-svc/1234567890123456789", scale=percent(1), **of)
    assert code == "TaskSetNotFoundException"
    code, message = refused(client.create_task_set, taskDefinition="sets", scale=percent(100.5), **of)
    assert (code, "between 0 and 100" in message) == ("InvalidParameterException", True)
    code, _ = refused(client.describe_task_sets, cluster="default", service="no-such-service")
    assert code == "ServiceNotFoundException"
    client.delete_service(service=name)

    client.create_service(serviceName="rolls", taskDefinition="sets", desiredCount=0)
    code, message = refused(client.create_task_set, cluster="default", service="rolls", taskDefinition="sets")
    assert (code, "external deployment controllers" in message) == ("InvalidParameterException", True)
    custom = {"maximumPercent": 150, "minimumHealthyPercent": 50}
    code, message = refused(
        client.create_service, serviceName=name + "-2", deploymentConfiguration=custom, **external
    )
    assert (code, message.startswith("A custom maximumPercent")) == ("InvalidParameterException", True)


def test_a_scale_of_nothing_and_a_set_that_is_gone_at_once(wire: Wire, client):
    client.create_service(serviceName="empty", desiredCount=2, deploymentController={"type": "EXTERNAL"})
    of = {"cluster": "default", "service": "empty"}
    # As some SDKs send 0.
    nothing = {"unit": "PERCENT"}
    made = wire.done("CreateTaskSet", {**of, "taskDefinition": "sets", "scale": nothing})["taskSet"]
    assert made["scale"] == percent(0)
    scaled = wire.done("UpdateTaskSet", {**of, "taskSet": made["id"], "scale": nothing})["taskSet"]
    assert scaled["scale"] == percent(0)
    for number in range(5):
        arn = client.create_task_set(taskDefinition="sets", **of)["taskSet"]["taskSetArn"] if number else made["taskSetArn"]
        gone = client.delete_task_set(taskSet=arn, **of)["taskSet"]
        assert (gone["status"], gone["computedDesiredCount"]) == ("DRAINING", 0)


def test_tags_of_a_set(client):
    client.create_service(serviceName="tagged", deploymentController={"type": "EXTERNAL"})
    of = {"cluster": "default", "service": "tagged"}
    tags = [{"key": "team", "value": "a"}]
    arn = client.create_task_set(taskDefinition="sets", tags=tags, **of)["taskSet"]["taskSetArn"]
    client.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "b"}])
    client.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "stage", "value": "b"}]
    without = client.describe_task_sets(taskSets=[arn], **of)["taskSets"][0]
    assert "tags" not in without
    with_tags = client.describe_task_sets(taskSets=[arn], include=["TAGS"], **of)["taskSets"][0]
    assert with_tags["tags"] == [{"key": "stage", "value": "b"}]
