"""A registry on loopback, Debian's `docker-registry`, and images that only one run has."""

import base64
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import ports
from until import until

# `oars`, as the registry keeps it for the user `rower`.
HASHED = "rower:$2b$04$G5SwUvfG7HiJaqipupKJguF8eGnjzK/1MCXyURHy70i.XlgcpReQ6\n"
RIGHT = "rower:oars"
# A layer that does not compress: one in the middle of which a way to the registry can stop.
NOISE = 500_000
# Bytes of an answer after which a stalling way says no more: more than a manifest, less than that layer.
STALLED_AFTER = 100_000


def docker(*arguments: str, input: str | None = None) -> str:
    output = subprocess.run(["docker", *arguments], capture_output=True, text=True, input=input)
    assert output.returncode == 0, f"docker {arguments}: {output.stderr}"
    return output.stdout.strip()


def build(name: str, content: str, base: str = "busybox:1") -> str:
    """An image that says `content`; gives its id."""
    recipe = f"FROM {base}\nENV CONTENT={content}\n"
    docker("build", "-q", "--force-rm", "-t", name, "-", input=recipe)
    return docker("image", "inspect", "--format", "{{.Id}}", name)


def build_large(name: str) -> None:
    """An image with a layer of its own that takes a while to come."""
    with tempfile.TemporaryDirectory(prefix="trireme-image-") as folder:
        Path(folder, "noise").write_bytes(os.urandom(NOISE))
        Path(folder, "Dockerfile").write_text("FROM busybox:1\nCOPY noise /noise\n")
        docker("build", "-q", "--force-rm", "-t", name, folder)


class Registry:
    """A registry; a locked one is for `rower` with the password `oars` only."""

    def __init__(self, address: str, folder: Path):
        self.address = address
        self.folder = folder

    def name(self, image: str) -> str:
        return f"{self.address}/{image}"

    def configuration(self, credentials: str) -> dict:
        """Docker's, with these credentials."""
        encoded = base64.b64encode(credentials.encode()).decode()
        return {"auths": {self.address: {"auth": encoded}}}

    def push(self, image: str, content: str, base: str = "busybox:1") -> str:
        """Makes an image and pushes it; gives its digest. Nothing of it stays on the engine."""
        # What tasks run keeps its own name: without one the engine would keep it as long as they run.
        build(self.name(image), content, base)
        return self._send(self.name(image))

    def push_large(self, image: str) -> str:
        """The same with an image that takes a while to come."""
        build_large(self.name(image))
        return self._send(self.name(image))

    def _send(self, name: str) -> str:
        client = self.folder / "client"
        client.mkdir(exist_ok=True)
        (client / "config.json").write_text(json.dumps(self.configuration(RIGHT)))
        pushed = docker("--config", str(client), "push", name)
        docker("rmi", name)
        return re.search(r"digest: (sha256:[0-9a-f]{64})", pushed)[1]


def remove_images(address: str) -> None:
    """Removes what the engine has of a registry."""
    for shape in ("{{.Repository}}:{{.Tag}}", "{{.Repository}}@{{.Digest}}"):
        for reference in docker("images", "--digests", "--format", shape, f"{address}/*").splitlines():
            if "<none>" not in reference:
                subprocess.run(["docker", "rmi", "-f", reference], capture_output=True)


class Stalling:
    """A way to a registry on which the first long answer stops in its middle."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self.stalled = threading.Event()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def name(self, image: str) -> str:
        return f"{self.address}/{image}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # It is closed.
                return
            host, port = self.registry.address.split(":")
            server = socket.create_connection((host, int(port)))
            threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        carried = 0
        try:
            while part := source.recv(16 * 1024):
                carried += len(part)
                if answers and carried > STALLED_AFTER and not self.stalled.is_set():
                    self.stalled.set()
                    # It keeps the connection, and says no more.
                    self._over.wait()
                    return
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # One end is gone.
            pass

    def close(self) -> None:
        self._over.set()
        self._listener.close()
        remove_images(self.address)


@contextmanager
def open_registry():
    with _registry({}) as registry:
        yield registry


@contextmanager
def locked_registry():
    with _registry({"htpasswd": {"realm": "trireme", "path": "passwords"}}) as registry:
        yield registry


@contextmanager
def _registry(auth: dict):
    with tempfile.TemporaryDirectory(prefix="trireme-registry-") as name:
        folder, port = Path(name), ports.free()
        (folder / "passwords").write_text(HASHED)
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "http": {"addr": f"127.0.0.1:{port}"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        }
        if auth:
            config["auth"] = auth
        # JSON is YAML.
        (folder / "config.yml").write_text(json.dumps(config))
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        registry = Registry(f"127.0.0.1:{port}", folder)

        def listens() -> bool:
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0

        try:
            until("the registry listens", listens, bool)
            yield registry
        finally:
            process.terminate()
            process.wait(30)
            remove_images(registry.address)
