"""Free ports below those that the system gives to outgoing connections: nothing takes one by chance before it is listened on."""

import os
import random
import socket

FIRST, END = 20_000, 32_000
# Runs of tests side by side, each with ports of its own.
WORKERS = 8
WIDTH = (END - FIRST) // WORKERS


def free(count: int = 1) -> int:
    """The first of so many free ones in a row, on loopback."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    lowest = FIRST + worker % WORKERS * WIDTH
    # A development cluster takes the next free ones behind its first two, and would take a single one on which nobody listens yet: those
    # come from the window's other half. What is between the halves is for the clusters that begin late in theirs.
    half = lowest + (WIDTH // 2 + 50 if count == 1 else 0)
    start = random.randrange(half, half + WIDTH // 2 - 100)
    for first in range(start, lowest + WIDTH - count):
        if all(is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError(f"no free ports from {start} on")


def is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
