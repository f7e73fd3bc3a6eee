"""Tasks with a network namespace and an address of their own (network mode awsvpc), on a real Docker Engine."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import development, environment
from metadata import asked
from until import until
from wire import Wire

# Stays until it is asked to go.
STAY = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
SERVE = "mkdir -p /www; hostname > /www/index.html; httpd -p 80 -h /www"
LIMIT = 60
# How long a deployment may take.
DEPLOYED = 150
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


@pytest.fixture(scope="module")
def folder():
    """The data folder of a cluster whose containers are real."""
    with development() as data:
        yield data


@pytest.fixture(scope="module")
def client(folder: Path):
    return Wire(environment(folder)).client()


def trireme(folder: Path, *arguments: str) -> str:
    command = [os.environ["TRIREME_BIN"], *arguments, "--data", str(folder)]
    output = subprocess.run(command, capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    return output.stdout.strip()


@pytest.fixture(scope="module")
def subnets(folder: Path) -> dict[str, str]:
    """The subnet that `trireme dev` made in each zone."""
    listed = json.loads(trireme(folder, "subnet", "list", "--json"))
    in_order = [one["id"] for one in sorted(listed, key=lambda one: one["zone"])]
    assert environment(folder)["TRIREME_SUBNETS"].split(",") == in_order
    return {one["zone"]: one["id"] for one in listed}


def container(name: str = "app", script: str = STAY, **members) -> dict:
    return {"name": name, "image": "busybox:1", "memory": 16, "command": ["sh", "-c", script], **members}


def register(client, family: str, *containers: dict, **members) -> dict:
    made = client.register_task_definition(
        family=family, networkMode="awsvpc", containerDefinitions=list(containers), **members
    )
    return made["taskDefinition"]


def inside_of(*subnets: str, **members) -> dict:
    return {"awsvpcConfiguration": {"subnets": list(subnets), **members}}


def task(client, arn: str) -> dict:
    return client.describe_tasks(tasks=[arn])["tasks"][0]


def wait(client, arn: str, status: str) -> dict:
    return until(f"{arn} is {status}", lambda: task(client, arn), lambda found: found["lastStatus"] == status, LIMIT)


def started(client, family: str, *subnets: str) -> dict:
    ran = client.run_task(taskDefinition=family, networkConfiguration=inside_of(*subnets))
    assert ran["failures"] == []
    return wait(client, ran["tasks"][0]["taskArn"], "RUNNING")


def stop(client, found: dict) -> dict:
    client.stop_task(task=found["taskArn"])
    return wait(client, found["taskArn"], "STOPPED")


def details(found: dict) -> dict[str, str]:
    return {one["name"]: one["value"] for one in found["attachments"][0]["details"]}


def docker_says(*arguments: str) -> str:
    output = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert output.returncode == 0, f"docker {arguments}: {output.stderr}"
    return output.stdout.strip()


def inside(found: dict, script: str, name: str = "app") -> str:
    runtime = next(one for one in found["containers"] if one["name"] == name)["runtimeId"]
    return docker_says("exec", runtime, "sh", "-c", script)


def containers_of(found: dict, state: str = "") -> list[str]:
    """What Docker has of a task: the container that holds its network namespace too."""
    label = f"label=io.trireme.task-id={found['taskArn'].rsplit('/', 1)[1]}"
    filters = ["--filter", label, *(["--filter", f"status={state}"] if state else [])]
    return docker_says("ps", "-aq", "--no-trunc", *filters).split()


def networks(folder: Path) -> list[str]:
    uuid = json.loads(trireme(folder, "status", "--json"))["cluster_uuid"]
    return docker_says("network", "ls", "-q", "--filter", f"label=io.trireme.cluster-uuid={uuid}").split()


def test_tasks_of_two_zones_reach_each_other(client, subnets):
    mapping = {"containerPort": 80}
    made = register(client, "web", container("app", f"{SERVE}; {STAY}", portMappings=[mapping]), container("side"))
    assert made["networkMode"] == "awsvpc"
    assert made["compatibilities"] == ["EC2", "MANAGED_INSTANCES"]
    assert made["containerDefinitions"][0]["portMappings"][0]["hostPort"] == 80
    assert "ecs.capability.task-eni" in [one["name"] for one in made["requiresAttributes"]]
    one, two = (started(client, "web", subnets[zone]) for zone in ZONES[:2])
    assert [one["availabilityZone"], two["availabilityZone"]] == ZONES[:2], "a task's subnets choose its zone"

    attachment = one["attachments"][0]
    assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "ATTACHED")
    said = details(one)
    assert said["subnetId"] == subnets[ZONES[0]] and said["networkInterfaceId"].startswith("eni-")
    for running in one["containers"]:
        assert running["networkInterfaces"] == [
            {"attachmentId": attachment["id"], "privateIpv4Address": said["privateIPv4Address"]}
        ]
        assert running["networkBindings"] == []
    shown = inside(one, "ip addr show eth0; hostname")
    assert f"inet {said['privateIPv4Address']}/" in shown and said["macAddress"] in shown
    assert said["privateDnsName"] in shown.splitlines()

    # From the other zone by its address, and from the container beside it as from within.
    fetch = "timeout 5 wget -q -O - http://{}/"
    for asking, address, name in [(two, said["privateIPv4Address"], "app"), (one, "127.0.0.1", "side")]:
        found = until(
            f"{address} serves",
            lambda: inside(asking, fetch.format(address) + " || true", name),
            lambda text: text != "",
        )
        assert found == said["privateDnsName"]
    assert details(two)["privateIPv4Address"] in inside(two, "ip addr show eth0", "side"), "they share it"
    network = asked(one, name="side")["Networks"][0]
    assert (network["NetworkMode"], network["IPv4Addresses"]) == ("awsvpc", [said["privateIPv4Address"]])
    uri = inside(one, "echo $ECS_CONTAINER_METADATA_URI_V4")
    assert inside(two, f"wget -q -O - {uri} || echo refused") == "refused", "it is told of itself only"

    over = stop(client, one)
    assert over["attachments"][0]["status"] == "DELETED"
    assert details(over) == said
    stop(client, two)
    until("nothing of it is left", lambda: containers_of(one) + containers_of(two), lambda left: left == [])


def test_tasks_on_one_machine_use_the_same_port(client, subnets):
    register(client, "same-port", container("app", f"{SERVE}; {STAY}", portMappings=[{"containerPort": 80}]))
    both = [started(client, "same-port", subnets[ZONES[2]]) for _ in range(2)]
    assert both[0]["containerInstanceArn"] == both[1]["containerInstanceArn"]
    addresses = {details(one)["privateIPv4Address"] for one in both}
    assert len(addresses) == 2
    for one in both:
        listens = lambda text: "0.0.0.0:80" in text or ":::80" in text
        until("it listens", lambda: inside(one, "netstat -ltn"), listens)
        stop(client, one)
    again = started(client, "same-port", subnets[ZONES[2]])
    assert details(again)["privateIPv4Address"] not in addresses, "a freed address is used late"
    stop(client, again)


def test_what_is_asked_for_wrongly(client, subnets):
    register(client, "own", container())
    client.register_task_definition(family="bridged", networkMode="bridge", containerDefinitions=[container()])
    unknown = "subnet-00000000000000000"
    for family, network, words in [
        ("own", {}, "Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        ("own", {"networkConfiguration": inside_of()}, "subnets can not be empty."),
        ("own", {"networkConfiguration": inside_of(subnets[ZONES[0]], assignPublicIp="ENABLED")}, "Assign public IP is not supported"),
        ("own", {"networkConfiguration": inside_of(unknown)}, f"The subnet ID '{unknown}' does not exist"),
        ("own", {"networkConfiguration": inside_of(*[subnets[ZONES[0]]] * 17)}, "subnets"),
        ("own", {"networkConfiguration": inside_of(subnets[ZONES[0]], securityGroups=["sg"] * 6)}, "securityGroups"),
        (
            "bridged",
            {"networkConfiguration": inside_of(subnets[ZONES[0]])},
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ),
    ]:
        for call in [
            lambda: client.run_task(taskDefinition=family, **network),
            lambda: client.create_service(serviceName="wrong", taskDefinition=family, desiredCount=1, **network),
        ]:
            with pytest.raises(ClientError) as refused:
                call()
            assert refused.value.response["Error"]["Code"] == "InvalidParameterException"
            assert words in refused.value.response["Error"]["Message"]
    for wrong, words in [
        ({"portMappings": [{"containerPort": 80, "hostPort": 81}]}, "When networkMode=awsvpc, the host ports"),
        ({"hostname": "oars"}, "'hostname' is not supported"),
        ({"extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.1"}]}, "'extraHosts' is not supported"),
        ({"links": ["other"]}, "links"),
    ]:
        with pytest.raises(ClientError) as refused:
            register(client, "wrong", container(**wrong), container("other"))
        assert words in refused.value.response["Error"]["Message"]


def test_settings_of_the_network_are_the_tasks(client, subnets):
    control = {"namespace": "net.ipv4.ip_unprivileged_port_start", "value": "79"}
    register(client, "controls", container(systemControls=[control]), container("side"))
    found = started(client, "controls", subnets[ZONES[0]])
    assert inside(found, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "side") == "79"
    stop(client, found)


def test_a_full_subnet(client, folder: Path, subnets):
    register(client, "full", container())
    whole = json.loads(trireme(folder, "subnet", "list", "--json"))[0]["network"]
    last = whole.split("/")[0].rsplit(".", 2)
    # The end of the range, which the zones' subnets leave free.
    cidr = f"{last[0]}.{int(last[1]) + 1}.240/28"
    made = trireme(folder, "subnet", "add", "--zone", ZONES[1], "--cidr", cidr)
    again = ["subnet", "add", "--zone", ZONES[1], "--cidr", cidr, "--id", made]
    assert trireme(folder, *again) == made, "the same twice is one"
    tasks = []
    # Sixteen addresses, of which five are the subnet's own.
    for count in (10, 1):
        ran = client.run_task(taskDefinition="full", networkConfiguration=inside_of(made), count=count)
        assert ran["failures"] == []
        tasks += [one["taskArn"] for one in ran["tasks"]]
    ran = client.run_task(taskDefinition="full", networkConfiguration=inside_of(made))
    reasons = {(one["reason"], one["detail"]) for one in ran["failures"]}
    assert ran["tasks"] == [] and ("RESOURCE:ENI", f"no address is free in the task's subnets in {ZONES[1]}") in reasons
    assert ("ATTRIBUTE", f"no subnet of the task is in {ZONES[0]}") in reasons
    busy = subprocess.run(
        [os.environ["TRIREME_BIN"], "subnet", "remove", made, "--data", str(folder)], capture_output=True, text=True
    )
    assert busy.returncode != 0 and "is in use by task" in busy.stderr
    for arn in tasks:
        client.stop_task(task=arn)
    for arn in tasks:
        wait(client, arn, "STOPPED")
    trireme(folder, "subnet", "remove", made)


def test_a_service(client, subnets):
    register(client, "served", container())
    network = inside_of(*subnets.values(), securityGroups=["sg-1"])
    kept = {"awsvpcConfiguration": {**network["awsvpcConfiguration"], "assignPublicIp": "DISABLED"}}
    made = client.create_service(serviceName="own", taskDefinition="served", desiredCount=3, networkConfiguration=network)
    assert made["service"]["networkConfiguration"] == kept
    assert made["service"]["deployments"][0]["networkConfiguration"] == kept
    client.get_waiter("services_stable").wait(services=["own"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def running() -> list[dict]:
        arns = client.list_tasks(serviceName="own")["taskArns"]
        found = client.describe_tasks(tasks=arns)["tasks"] if arns else []
        return [one for one in found if one["lastStatus"] == "RUNNING"]

    first = running()
    ended = client.list_tasks(serviceName="own", desiredStatus="STOPPED")["taskArns"]
    reasons = [one.get("stoppedReason") for one in client.describe_tasks(tasks=ended)["tasks"]] if ended else []
    assert reasons == [], "none failed"
    assert sorted(one["availabilityZone"] for one in first) == ZONES, "one in each zone"
    assert len({details(one)["privateIPv4Address"] for one in first}) == 3

    deployment = made["service"]["deployments"][0]["id"]
    same = client.update_service(service="own", networkConfiguration=network)["service"]
    assert same["deployments"][0]["id"] == deployment, "the same configuration deploys nothing"
    moved = inside_of(subnets[ZONES[0]])
    changed = client.update_service(service="own", desiredCount=1, networkConfiguration=moved)["service"]
    assert changed["deployments"][0]["id"] != deployment
    until(
        "its task is in the one zone",
        lambda: [one["availabilityZone"] for one in running()],
        lambda zones: zones == [ZONES[0]],
        DEPLOYED,
    )
    client.delete_service(service="own", force=True)
    until("its tasks are gone", running, lambda left: left == [])


def agent_of(folder: Path, zone: str) -> int:
    return int((folder / zone / "agent-1.pid").read_text().split()[0])


def test_an_agent_that_was_killed_keeps_its_tasks_networks(client, folder: Path, subnets):
    register(client, "adopted", container())
    found = started(client, "adopted", subnets[ZONES[1]])
    before = sorted(containers_of(found))
    assert len(before) == 2
    pause = docker_says("inspect", "-f", "{{.State.Pid}}", *before).split()
    os.kill(agent_of(folder, ZONES[1]), 9)
    trireme(folder, "dev", "start", ZONES[1])
    assert sorted(containers_of(found)) == before
    assert docker_says("inspect", "-f", "{{.State.Pid}}", *before).split() == pause, "neither was started again"
    assert task(client, found["taskArn"])["lastStatus"] == "RUNNING"
    stop(client, found)
    until("nothing of it is left", lambda: containers_of(found), lambda left: left == [])


def test_a_task_stops_when_its_network_ends(client, subnets):
    register(client, "cut-off", container())
    found = started(client, "cut-off", subnets[ZONES[0]])
    holder = next(one for one in containers_of(found) if one != found["containers"][0]["runtimeId"])
    docker_says("rm", "-f", holder)
    over = wait(client, found["taskArn"], "STOPPED")
    assert over["stopCode"] == "EssentialContainerExited"
    assert "what held the task's namespaces ended" in over["stoppedReason"]
    until("nothing of it is left", lambda: containers_of(found), lambda left: left == [])


def test_nothing_is_left_of_a_cluster_that_ends():
    with development("--zones", "1") as data:
        client = Wire(environment(data)).client()
        subnet = environment(data)["TRIREME_SUBNETS"]
        register(client, "left", container())
        found = started(client, "left", subnet)
        assert len(containers_of(found)) == 2 and len(networks(data)) == 1
        uuid = json.loads(trireme(data, "status", "--json"))["cluster_uuid"]
    filters = ["--filter", f"label=io.trireme.cluster-uuid={uuid}"]
    assert docker_says("network", "ls", "-q", *filters) == docker_says("ps", "-aq", *filters) == ""
