"""What a task definition says of its containers, on a real Docker Engine: it has its effect inside, and is described as it was given."""

import subprocess

import pytest
from botocore.exceptions import ClientError

from containers import (
    LIMIT,
    STAY,
    container,
    described_as_given,
    docker_says,
    inside,
    inspected,
    of,
    page,
    register,
    run,
    started,
    stop,
    task,
    wait,
)
from until import until
from wire import Wire


@pytest.fixture(scope="module")
def client(docker: Wire):
    return docker.client()


def test_what_runs_and_how(client):
    given = container(
        entryPoint=["sh", "-c"],
        command=[f"echo $COLOUR $PWD $(id -u) $(hostname) > /tmp/said; {STAY}"],
        environment=[{"name": "COLOUR", "value": "deep blue"}],
        workingDirectory="/etc",
        user="7",
        hostname="oars",
        dockerLabels={"team": "rowers"},
        interactive=True,
        pseudoTerminal=True,
    )
    described_as_given(register(client, "how", given), given)
    found = started(client, "how")
    said = until("it has spoken", lambda: inside(found, "cat /tmp/said 2>/dev/null || true"), bool, LIMIT)
    assert said == "deep blue /etc 7 oars"
    known = inspected(found)
    assert known["Config"]["Labels"]["team"] == "rowers"
    assert (known["Config"]["Tty"], known["Config"]["OpenStdin"]) == (True, True)
    stop(client, found)

    given = container(readonlyRootFilesystem=True)
    described_as_given(register(client, "read-only", given), given)
    found = started(client, "read-only")
    assert inside(found, "touch /file 2>/dev/null; echo $?") == "1"
    stop(client, found)


def test_limits_push_back(client):
    # With memory enough it ends well.
    eater = "head -c 60000000 /dev/zero | tail >/dev/null && exit 0; exit 9"
    given = container(script=eater, cpu=64, memory=8, memoryReservation=6)
    described_as_given(register(client, "limits", given), given)
    arn = run(client, "limits")
    ended = wait(client, arn, "STOPPED")
    # What is killed for lack of memory is the shell's child: the shell says so, or is killed itself.
    assert of(ended, "app")["exitCode"] in (9, 137)
    assert ended["stopCode"] == "EssentialContainerExited"
    assert (ended["cpu"], ended["memory"]) == ("64", "6")

    register(client, "shares", container(cpu=64, memory=32, memoryReservation=16))
    found = started(client, "shares")
    limits = inspected(found)["HostConfig"]
    assert (limits["CpuShares"], limits["Memory"], limits["MemoryReservation"]) == (64, 32 << 20, 16 << 20)
    stop(client, found)


def test_ports_and_networks(client):
    server = f"echo hello > /tmp/index.html; httpd -p 80 -h /tmp; {STAY}"
    given = container(script=server, portMappings=[{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}])
    described_as_given(register(client, "ports", given), given)
    found = started(client, "ports")
    (bound,) = of(found, "app")["networkBindings"]
    assert (bound["containerPort"], bound["protocol"]) == (80, "tcp")
    assert page(f"http://127.0.0.1:{bound['hostPort']}/index.html") == b"hello\n"
    stop(client, found)

    for mode in ["host", "none"]:
        assert register(client, mode, container(), networkMode=mode)["networkMode"] == mode
        found = started(client, mode)
        assert inspected(found)["HostConfig"]["NetworkMode"] == mode
        stop(client, found)


def test_settings_hold_inside(client):
    given = container(
        ulimits=[{"name": "nofile", "softLimit": 111, "hardLimit": 222}],
        extraHosts=[{"hostname": "db", "ipAddress": "10.9.8.7"}],
        dnsServers=["10.9.8.6"],
        dnsSearchDomains=["trireme.test"],
        systemControls=[{"namespace": "net.core.somaxconn", "value": "77"}],
        dockerSecurityOptions=["no-new-privileges"],
        logConfiguration={"logDriver": "json-file", "options": {"max-size": "1m"}},
        linuxParameters={
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["CHOWN"]},
            "initProcessEnabled": True,
            "sharedMemorySize": 7,
            "maxSwap": 0,
            "swappiness": 10,
            "tmpfs": [{"containerPath": "/scratch", "size": 3, "mountOptions": ["noexec"]}],
        },
    )
    described_as_given(register(client, "settings", given), given)
    found = started(client, "settings")
    assert inside(found, "ulimit -Sn; ulimit -Hn") == "111\n222"
    assert "10.9.8.7\tdb" in inside(found, "cat /etc/hosts")
    resolver = inside(found, "cat /etc/resolv.conf")
    assert "nameserver 10.9.8.6" in resolver and "search trireme.test" in resolver
    assert inside(found, "cat /proc/sys/net/core/somaxconn") == "77"
    assert inside(found, "grep NoNewPrivs /proc/1/status").split() == ["NoNewPrivs:", "1"]
    assert inside(found, "touch /f; chown 1:1 /f 2>/dev/null; echo $?") == "1"
    assert inside(found, "ip link set lo mtu 1400 && echo done") == "done"
    assert "init" in inside(found, "cat /proc/1/comm")
    mounts = {line.split()[1]: line for line in inside(found, "cat /proc/mounts").splitlines()}
    assert "size=7168k" in mounts["/dev/shm"]
    assert "noexec" in mounts["/scratch"] and "size=3072k" in mounts["/scratch"]
    limits = inspected(found)["HostConfig"]
    assert limits["MemorySwap"] == 16 << 20
    assert limits["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "4"}
    stop(client, found)


def test_containers_need_each_other(client):
    init = container("init", "echo ready > /data/state", essential=False, startTimeout=60)
    init["mountPoints"] = [{"sourceVolume": "data", "containerPath": "/data"}]
    db = container(
        "db",
        f"touch /tmp/well; {STAY}",
        dependsOn=[{"containerName": "init", "condition": "SUCCESS"}],
        healthCheck={"command": ["CMD-SHELL", "test -f /tmp/well"], "interval": 5, "timeout": 2, "retries": 1},
    )
    app = container(
        dependsOn=[{"containerName": "db", "condition": "HEALTHY"}],
        links=["db:database"],
        volumesFrom=[{"sourceContainer": "init", "readOnly": True}],
    )
    definition = register(client, "together", app, db, init, volumes=[{"name": "data"}])
    described_as_given(definition, app, db, init)
    assert definition["volumes"] == [{"name": "data", "host": {}}]
    required = {attribute["name"] for attribute in definition["requiresAttributes"]}
    assert {"ecs.capability.container-health-check", "ecs.capability.container-ordering"} <= required

    arn = run(client, "together")
    assert task(client, arn)["healthStatus"] == "UNKNOWN"
    until(
        "the database runs before the task does",
        lambda: task(client, arn),
        lambda found: (found["lastStatus"], of(found, "db")["lastStatus"]) == ("PENDING", "RUNNING"),
        LIMIT,
    )
    found = wait(client, arn, "RUNNING")
    assert (of(found, "init")["exitCode"], of(found, "init")["lastStatus"]) == (0, "STOPPED")
    found = until("it is healthy", lambda: task(client, arn), lambda one: one["healthStatus"] == "HEALTHY", LIMIT)
    health = {one["name"]: one["healthStatus"] for one in found["containers"]}
    assert health == {"app": "UNKNOWN", "db": "HEALTHY", "init": "UNKNOWN"}
    assert inside(found, "cat /data/state; touch /data/other 2>/dev/null; echo $?") == "ready\n1"
    assert "database" in inside(found, "cat /etc/hosts")
    inside(found, "rm /tmp/well", "db")
    until("it is unhealthy", lambda: task(client, arn)["healthStatus"], lambda health: health == "UNHEALTHY", LIMIT)
    stop(client, found)
    label = f"label=io.trireme.task-id={arn.rsplit('/', 1)[-1]}"
    left = lambda: docker_says("volume", "ls", "-q", "--filter", label)
    until("its volume goes with it", left, lambda names: names == "", LIMIT)


def test_what_waits_in_vain_says_for_what(client):
    init = container("init", "exit 3", essential=False)
    app = container(dependsOn=[{"containerName": "init", "condition": "SUCCESS"}])
    register(client, "vain", app, init)
    ended = wait(client, run(client, "vain"), "STOPPED")
    assert (ended["stopCode"], ended["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    assert "exitCode" not in of(ended, "app")
    assert of(ended, "app")["reason"] == (
        "TaskDependencyError: container app needs init to be SUCCESS, which exited with 3"
    )
    with pytest.raises(ClientError) as caught:
        register(client, "ring", container("a", links=["b"]), container("b", links=["a"]))
    assert caught.value.response["Error"]["Message"] == "Container links should not have a cycle"


def test_who_does_not_stop_in_time_is_killed(client):
    given = container(script="trap '' TERM; while :; do sleep 0.1; done", stopTimeout=2)
    described_as_given(register(client, "stubborn", given), given)
    ended = stop(client, started(client, "stubborn"))
    assert of(ended, "app")["exitCode"] == 137


def test_the_tasks_own_limits(client):
    given = container()
    del given["memory"]
    definition = register(client, "whole", given, cpu="128", memory="32")
    assert (definition["cpu"], definition["memory"]) == ("128", "32")
    found = started(client, "whole")
    assert (found["cpu"], found["memory"]) == ("128", "32")
    assert inspected(found)["HostConfig"]["Memory"] == 32 << 20
    stop(client, found)


def test_a_shared_volume_stays(client):
    name = f"e2e-shared-{client.meta.endpoint_url.rsplit(':', 1)[-1]}"
    volume = {"name": name, "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True, "driver": "local"}}
    points = [{"sourceVolume": name, "containerPath": "/data", "readOnly": False}]
    register(client, "writes", container(script="echo kept > /data/file", mountPoints=points), volumes=[volume])
    wait(client, run(client, "writes"), "STOPPED")
    definition = register(client, "reads", container(mountPoints=points), volumes=[volume])
    assert definition["volumes"] == [volume]
    # A volume is where it was made: the tasks may be on any machine, which is one and the same here.
    found = started(client, "reads")
    assert inside(found, "cat /data/file") == "kept"
    stop(client, found)
    gone = lambda: subprocess.run(["docker", "volume", "rm", name], capture_output=True).returncode
    until("nobody uses it any more", gone, lambda code: code == 0, LIMIT)


def test_what_is_not_there_yet_stops_its_task(client):
    name = {"sourceVolume": "far", "containerPath": "/far"}
    secret = [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/token"}]
    credentials = {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:123456789012:secret:registry"}
    efs = {"efsVolumeConfiguration": {"fileSystemId": "fs-1"}}
    s3 = {"s3filesVolumeConfiguration": {"fileSystemArn": "arn:aws:s3files:us-east-1:123456789012:file-system/fs-1"}}
    fsx = {
        "fsxWindowsFileServerVolumeConfiguration": {
            "fileSystemId": "fs-1",
            "rootDirectory": "/",
            "authorizationConfig": {"credentialsParameter": "arn", "domain": "example"},
        }
    }
    router = {"firelensConfiguration": {"type": "fluentbit"}}
    told = {"logDriver": "json-file", "secretOptions": secret}
    for number, (members, volume, words) in enumerate([
        ({"secrets": secret}, None, "container app has secrets, which are"),
        ({"logConfiguration": told}, None, "container app has secrets, which are"),
        ({"repositoryCredentials": credentials}, None, "container app has repositoryCredentials, which are"),
        (router, None, "container app has logs for FireLens, which are"),
        ({"mountPoints": [name]}, efs, "volume far is of EFS, which is"),
        ({"mountPoints": [name]}, s3, "volume far is of S3 Files, which is"),
        ({"mountPoints": [name]}, fsx, "volume far is of FSx, which is"),
        ({"mountPoints": [name]}, {"configuredAtLaunch": True}, "volume far is configured at launch, which is"),
    ]):
        volumes = [{"name": "far", **volume}] if volume else []
        given = container(**members)
        role = "arn:aws:iam::123456789012:role/reader"
        definition = register(client, f"later-{number}", given, volumes=volumes, executionRoleArn=role)
        described_as_given(definition, given)
        assert definition["volumes"] == volumes
        ended = wait(client, run(client, f"later-{number}"), "STOPPED")
        assert ended["stopCode"] == "TaskFailedToStart"
        assert ended["stoppedReason"] == f"ResourceInitializationError: {words} not supported yet"
        assert "runtimeId" not in of(ended, "app"), "nothing of it was made"


def test_what_no_agent_allows_is_placed_nowhere(client):
    device = {"linuxParameters": {"devices": [{"hostPath": "/dev/zero"}]}}
    path = [{"name": "etc", "host": {"sourcePath": "/etc"}}]
    for family, given, volumes, missing in [
        ("rights", {"privileged": True}, [], "privileged-container"),
        ("devices", device, [], "host-devices"),
        ("paths", {"mountPoints": [{"sourceVolume": "etc", "containerPath": "/etc"}]}, path, "host-paths"),
        ("arm", {}, [], "ecs.cpu-architecture"),
    ]:
        platform = {"runtimePlatform": {"cpuArchitecture": "ARM64"}} if family == "arm" else {}
        register(client, family, container(**given), volumes=volumes, **platform)
        ran = client.run_task(taskDefinition=family)
        assert ran["tasks"] == []
        assert [failure["reason"] for failure in ran["failures"]] == ["ATTRIBUTE"] * 3, "each of the three says why"
        assert all(missing in failure["detail"] for failure in ran["failures"]), ran["failures"]
