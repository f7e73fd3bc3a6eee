"""The front of a real control node: many connections, slow senders, and bodies that no SDK would send. Whatever comes, others are
served, and the answer is an error that clients understand."""

import json
import socket
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from model import PROTOCOL_ERRORS
from wire import CONTENT_TYPE, TARGET, Wire

# A request's body in bytes, by Trireme's own limit; what is longer is refused before it is read.
BODY_LIMIT = 1024 * 1024
# Less than the ten seconds after which a node lets slow and silent senders go: nobody waits for those.
SOON = 8
# Fewer than a node reads at once: none waits, and none is told to come again.
AT_ONCE = 50


def connect(node: Wire) -> socket.socket:
    address = urlsplit(node.endpoint)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def head(node: Wire, length: int) -> bytes:
    lines = [
        "POST / HTTP/1.1",
        f"Host: {urlsplit(node.endpoint).netloc}",
        f"X-Amz-Target: {TARGET}.ListClusters",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> tuple[int, dict]:
    """The status and the JSON of one answer. The connection stays."""
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        length = 0
        while line := file.readline().strip():
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                length = int(value)
        return status, json.loads(file.read(length))


def call_soon(node: Wire) -> None:
    began = time.monotonic()
    node.done("ListClusters", {})
    took = time.monotonic() - began
    assert took < SOON, f"a call took {took:.1f} s"


def test_a_thousand_open_connections_each_get_their_answers(node: Wire):
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(node)) for _ in range(1_000)]
        for _ in range(2):
            for first in range(0, len(connections), AT_ONCE):
                some = connections[first : first + AT_ONCE]
                for connection in some:
                    connection.sendall(head(node, 2) + b"{}")
                for connection in some:
                    # Unsigned, but answered.
                    status, body = answer(connection)
                    assert (status, body["__type"]) == (400, "MissingAuthenticationTokenException")
            call_soon(node)


def test_slow_senders_delay_nobody_and_are_let_go(node: Wire):
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(node)) for _ in range(100)]
        over = threading.Event()

        def trickle() -> None:
            for connection in slow:
                connection.sendall(head(node, BODY_LIMIT))
            while not over.wait(0.5):
                for connection in slow:
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        pass

        sender = threading.Thread(target=trickle)
        sender.start()
        try:
            for _ in range(5):
                call_soon(node)
            answers = [answer(connection) for connection in slow]
        finally:
            over.set()
            sender.join()
        assert {status for status, _ in answers} == {408}
        assert {body["__type"] for _, body in answers} == {"RequestTimeoutException"}
        call_soon(node)


def test_those_who_connect_and_say_nothing_are_let_go(node: Wire):
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(node)) for _ in range(1_000)]
        call_soon(node)
        assert {connection.recv(1) for connection in silent} == {b""}


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}",
        b'{"nextToken": "\xc3\x28"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"nextToken": "\\ud800"}',
        b"null",
        b'{"maxResults": 1e999}',
        b'{"nextToken": "' + b"x" * 500_000 + b'"}',
    ],
    ids=["not-utf-8", "broken-utf-8", "deep-lists", "deep-objects", "half-a-surrogate", "null", "infinite", "long-token"],
)
def test_bytes_that_no_sdk_sends(node: Wire, body: bytes):
    refused = node.call("ListClusters", body)
    assert refused.status == 400, refused
    assert refused.error in {*PROTOCOL_ERRORS, "InvalidParameterException"}, refused
    call_soon(node)


def test_a_body_as_large_as_it_may_be_and_one_byte_more(node: Wire):
    largest = b"{}" + b" " * (BODY_LIMIT - 2)
    assert node.call("ListClusters", largest).status == 200
    with connect(node) as connection:
        connection.sendall(head(node, BODY_LIMIT + 1))
        status, body = answer(connection)
    assert (status, body["__type"]) == (413, "RequestEntityTooLargeException")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-amz-json-1.0", "x"])
def test_other_content_types_are_refused(node: Wire, content_type: str):
    refused = node.call("ListClusters", {}, content_type)
    assert (refused.status, refused.error) == (400, "SerializationException"), refused
