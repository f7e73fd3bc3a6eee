"""What a container can ask about itself and its task, on a real Docker Engine: from inside, by the URIs in its environment."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from containers import container, inside, inspected, of, register, run, started, stop, task, wait
from metadata import V4, asked, status
from until import until
from wire import Wire

@pytest.fixture(scope="module")
def client(docker: Wire):
    return docker.client()


def test_a_container_and_its_task(client):
    ports = [{"containerPort": 80}, {"containerPort": 53, "protocol": "udp"}]
    check = {"command": ["CMD-SHELL", "echo fine"], "interval": 5}
    registered = register(
        client,
        "asks",
        container(cpu=64, portMappings=ports, healthCheck=check, dockerLabels={"team": "rowers"}),
        container("side", essential=False),
        cpu="512",
        memory="64",
    )
    found = started(client, "asks")
    # The check has run once.
    found = until("it is healthy", lambda: task(client, found["taskArn"]), lambda it: it["healthStatus"] == "HEALTHY", 60)
    docker = inspected(found)

    document = asked(found)
    app = of(found, "app")
    assert document["DockerId"] == app["runtimeId"]
    assert document["ContainerARN"] == app["containerArn"]
    assert document["Name"] == "app"
    assert f"/{document['DockerName']}" == docker["Name"]
    assert document["Image"] == "busybox:1" and document["ImageID"] == docker["Image"]
    assert document["Limits"] == {"CPU": 64, "Memory": 16}
    assert "RestartCount" not in document, "it does not come again"
    assert (document["DesiredStatus"], document["KnownStatus"], document["Type"]) == ("RUNNING", "RUNNING", "NORMAL")
    assert document["CreatedAt"] == docker["Created"] and document["StartedAt"] == docker["State"]["StartedAt"]
    assert "FinishedAt" not in document and "ExitCode" not in document
    assert document["Labels"]["team"] == "rowers"
    assert document["Labels"]["com.amazonaws.ecs.task-arn"] == found["taskArn"]
    assert document["Labels"]["com.amazonaws.ecs.container-name"] == "app"
    assert document["LogDriver"] == "json-file"
    assert document["Health"]["status"] == "HEALTHY" and document["Health"]["output"] == "fine\n"
    address = docker["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert document["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": [address]}]
    bound = {(one["containerPort"], one["protocol"]): one["hostPort"] for one in app["networkBindings"]}
    told = {(one["ContainerPort"], one["Protocol"]): one["HostPort"] for one in document["Ports"]}
    assert told == bound and len(bound) == 2

    whole = asked(found, "/task")
    assert whole["Cluster"] == "default"
    assert whole["TaskARN"] == found["taskArn"]
    assert (whole["Family"], whole["Revision"]) == ("asks", str(registered["revision"]))
    assert (whole["DesiredStatus"], whole["KnownStatus"]) == ("RUNNING", "RUNNING")
    assert whole["Limits"] == {"CPU": 0.5, "Memory": 64}
    assert whole["AvailabilityZone"] == found["availabilityZone"]
    assert whole["LaunchType"] == "EC2"
    # As text .8 is later than .802.
    assert datetime.fromisoformat(whole["PullStartedAt"]) <= datetime.fromisoformat(whole["PullStoppedAt"])
    assert "TaskTags" not in whole and "ServiceName" not in whole
    by_name = {one["Name"]: one for one in whole["Containers"]}
    # A health check may have run between the two questions.
    assert {**by_name["app"], "Health": None} == {**document, "Health": None}
    assert by_name["side"]["DockerId"] == of(found, "side")["runtimeId"]
    # A container of the same task is asked about by its own URI.
    assert asked(found, name="side")["Name"] == "side"
    assert inside(found, "echo $AWS_EXECUTION_ENV") == "AWS_ECS_EC2"
    stop(client, found)


def test_tags(client):
    register(client, "tagged", container())
    ran = client.run_task(taskDefinition="tagged", tags=[{"key": "team", "value": "rowers"}])
    found = wait(client, ran["tasks"][0]["taskArn"], "RUNNING")
    instance = found["containerInstanceArn"]
    client.tag_resource(resourceArn=instance, tags=[{"key": "rack", "value": "7"}])
    whole = until(
        "the instance's tag is told",
        lambda: asked(found, "/taskWithTags"),
        lambda it: it["ContainerInstanceTags"] == {"rack": "7"},
        20,
    )
    assert whole["TaskTags"] == {"team": "rowers"} and whole["TaskARN"] == found["taskArn"]
    client.untag_resource(resourceArn=instance, tagKeys=["rack"])
    stop(client, found)


def test_statistics(client):
    register(client, "measured", container(), container("side", essential=False))
    found = started(client, "measured")
    stats = asked(found, "/stats")
    assert stats["memory_stats"]["limit"] == 16 << 20
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] >= stats["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert set(asked(found, "/task/stats")) == {one["runtimeId"] for one in found["containers"]}
    stop(client, found)


def test_each_agent_of_one_engine_answers_for_its_own(client):
    """Three agents share the machine and its address. Also tasks on the machine's own network reach it."""
    instances = client.list_container_instances()["containerInstanceArns"]
    assert len(instances) == 3
    register(client, "everywhere", container())
    register(client, "host", container(), networkMode="host")
    found = []
    for family in ["everywhere", "host"]:
        tasks = client.start_task(taskDefinition=family, containerInstances=instances)["tasks"]
        found += [wait(client, one["taskArn"], "RUNNING") for one in tasks]
    # The kernel gives each connection to any of the agents: all of them are met.
    with ThreadPoolExecutor(6) as pool:
        for one in found:
            documents = pool.map(lambda _, one=one: asked(one, "/task"), range(8))
            assert {it["TaskARN"] for it in documents} == {one["taskArn"]}
    assert asked(found[-1])["Networks"] == [{"NetworkMode": "host"}]
    for one in found:
        stop(client, one)


def test_nobody_is_told_of_another_task(client):
    register(client, "mine", container())
    register(client, "on-host", container(), networkMode="host")
    mine, other, on_host = started(client, "mine"), started(client, "mine"), started(client, "on-host")
    for victim in [other, on_host]:
        uri = inside(victim, f"echo ${V4}")
        assert status(victim, uri)[0] == 200
        for path in ["", "/task", "/taskWithTags", "/stats", "/task/stats"]:
            assert status(mine, uri + path)[0] == 403
        agent = inside(victim, "echo $ECS_AGENT_URI") + "/task-protection/v1/state"
        assert status(mine, agent)[0] == 403
    assert status(on_host, inside(mine, f"echo ${V4}"))[0] == 403
    # Who has no such number is told nothing at all.
    uri = inside(mine, f"echo ${V4}")
    for guess in [uri[:-1] + ("0" if uri[-1] != "0" else "1"), uri.rsplit("/", 1)[0] + "/x", uri.rsplit("/", 2)[0]]:
        assert status(mine, guess)[0] == 404
    assert status(mine, uri, "PUT", "{}")[0] == 405
    for one in [mine, other, on_host]:
        stop(client, one)


def test_protection(client):
    register(client, "protects", container())
    client.create_service(serviceName="protects", taskDefinition="protects", desiredCount=1)

    def running() -> list[str]:
        arns = client.list_tasks(serviceName="protects")["taskArns"]
        return [arn for arn in arns if task(client, arn)["lastStatus"] == "RUNNING"]

    (arn,) = until("the service's task runs", running, bool, 60)
    found = task(client, arn)
    assert asked(found, "/task")["ServiceName"] == "protects"
    uri = inside(found, "echo $ECS_AGENT_URI") + "/task-protection/v1/state"

    def described() -> dict:
        return client.get_task_protection(cluster="default", tasks=[arn])["protectedTasks"][0]

    assert status(found, uri) == (200, {"protection": {"ProtectionEnabled": False, "TaskArn": arn}})
    code, answer = status(found, uri, "PUT", '{"ProtectionEnabled":true,"ExpiresInMinutes":60}')
    assert code == 200 and answer["protection"]["ProtectionEnabled"] and answer["protection"]["TaskArn"] == arn
    assert described()["protectionEnabled"]
    told = datetime.fromisoformat(answer["protection"]["ExpirationDate"])
    assert abs(told - described()["expirationDate"]) < timedelta(seconds=1)
    assert timedelta(minutes=55) < told - datetime.now(timezone.utc) < timedelta(minutes=65)
    assert status(found, uri) == (200, answer)
    code, answer = status(found, uri, "PUT", '{"ProtectionEnabled":false}')
    assert (code, answer["protection"]["ProtectionEnabled"]) == (200, False)
    assert not described()["protectionEnabled"]
    for body, text in [
        ('{"ProtectionEnabled":true,"ExpiresInMinutes":0}', "between 1 and 2880"),
        ('{"ProtectionEnabled":true,"ExpiresInMinutes":-1}', "between 1 and 2880"),
        ('{"ExpiresInMinutes":5}', "ProtectionEnabled"),
        ('{"protected":true}', "decode"),
    ]:
        code, answer = status(found, uri, "PUT", body)
        assert (code, answer["error"]["Code"]) == (400, "InvalidParameterException"), body
        assert text in answer["error"]["Message"], body
    client.delete_service(service="protects", force=True)
    wait(client, arn, "STOPPED")

    alone = started(client, "protects")
    uri = inside(alone, "echo $ECS_AGENT_URI") + "/task-protection/v1/state"
    refused = (200, {"failure": {"Arn": alone["taskArn"], "Reason": "TASK_NOT_VALID"}})
    assert status(alone, uri, "PUT", '{"ProtectionEnabled":true}') == refused
    stop(client, alone)


def test_too_many_questions(client):
    register(client, "curious", container())
    found, other = started(client, "curious"), wait(client, run(client, "curious"), "RUNNING")
    # On one connection: then one of the machine's agents is asked, however many it has. What nobody has is answered quickest.
    path = inside(found, f"echo ${V4}").removeprefix("http://169.254.170.2")
    ask = "ask() { printf 'GET %s HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' $1; }"
    script = f"{ask}; (ask {path}; for i in $(seq 500); do ask /nothing; done) | nc -w 20 169.254.170.2 80 || true"
    codes = lambda: re.findall(r"HTTP/1\.1 (\d+)", inside(found, script))
    all_of_them = until("all are answered", codes, lambda answered: len(answered) == 501, 60)
    assert all_of_them[:60] == ["200"] + ["404"] * 59 and "429" in all_of_them[60:]
    assert set(all_of_them[60:]) <= {"404", "429"}
    # Another's questions are not its.
    assert asked(other)["KnownStatus"] == "RUNNING"
    for one in [found, other]:
        stop(client, one)
