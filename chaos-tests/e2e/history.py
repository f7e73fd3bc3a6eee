"""What the history says of a service, event by event: was a stop of ours ever too many?"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# ECS: without a health check a task is healthy once it has been RUNNING for so long.
PROVEN = 40.0


def events(data: Path) -> list[dict]:
    """All that happened, in order."""
    command = [os.environ["TRIREME_BIN"], "events", "--json", "--data", str(data)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


@dataclass
class Tasks:
    """The tasks of one service after each event."""

    # By id: whether its definition has a health check.
    checked: dict[str, bool] = field(default_factory=dict)
    # By id: since when it is RUNNING.
    running: dict[str, float] = field(default_factory=dict)
    healthy: set[str] = field(default_factory=set)
    # Those that are to stop, or have stopped.
    leaving: set[str] = field(default_factory=set)

    def count(self, now: float) -> int:
        def well(task: str, since: float) -> bool:
            return task in self.healthy if self.checked[task] else now - since >= PROVEN

        return sum(well(task, since) for task, since in self.running.items() if task not in self.leaving)

    def wanted(self) -> int:
        return len(self.checked) - len(self.leaving)


def judge(history: list[dict], service: str, minimum: int, maximum: int, checked: bool) -> int:
    """Sees after every event that no stop that the service decided left fewer healthy tasks than the minimum, and no start more tasks
    than the maximum. Gives how many stops there were."""
    tasks, stops = Tasks(), 0
    for event in history:
        body, kind, now = event["event"], event["kind"], event["at"]
        if kind == "TaskCreated" and body["task"]["group"] == f"service:{service}":
            tasks.checked[body["task"]["id"]] = checked
            assert tasks.wanted() <= maximum, f"event {event['sequence']}: {tasks.wanted()} tasks of at most {maximum}"
        task = body.get("task") if isinstance(body.get("task"), str) else body.get("report", {}).get("task")
        if task not in tasks.checked:
            continue
        if kind == "TaskProgressed":
            status = body["report"]["status"]
            if status == "Running":
                tasks.running.setdefault(task, now)
            elif status in ("Deactivating", "Stopping", "Deprovisioning", "Stopped"):
                tasks.leaving.add(task)
        elif kind == "TaskHealthChanged":
            well = bool(body["health"]) and all(one == "Healthy" for one in body["health"].values())
            (tasks.healthy.add if well else tasks.healthy.discard)(task)
        elif kind == "TaskLost":
            tasks.leaving.add(task)
        elif kind == "TaskStopRequested":
            before = tasks.count(now)
            tasks.leaving.add(task)
            if body["code"] == "ServiceSchedulerInitiated":
                stops += 1
                left = tasks.count(now)
                assert left >= min(minimum, before), f"event {event['sequence']}: {left} healthy, {minimum} are the minimum"
    return stops
