"""Waiting for a condition, with a limit: the only place that pauses between two looks."""

import time
from typing import Any, Callable

# Seconds between two looks.
PAUSE = 0.1


def until(what: str, look: Callable[[], Any], wanted: Callable[[Any], bool], limit: float = 60) -> Any:
    """What `look` finds as soon as it is `wanted`; after `limit` seconds the test fails and tells what was seen last."""
    end = time.monotonic() + limit
    while not wanted(found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit} s; last seen: {found}")
        time.sleep(PAUSE)
    return found
