"""A registry on loopback, Debian's `docker-registry`, and images that only one run has."""

import base64
import json
import re
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import ports
from until import until

# `oars`, as the registry keeps it for the user `rower`.
HASHED = "rower:$2b$04$G5SwUvfG7HiJaqipupKJguF8eGnjzK/1MCXyURHy70i.XlgcpReQ6\n"
RIGHT = "rower:oars"


def docker(*arguments: str, input: str | None = None) -> str:
    output = subprocess.run(["docker", *arguments], capture_output=True, text=True, input=input)
    assert output.returncode == 0, f"docker {arguments}: {output.stderr}"
    return output.stdout.strip()


def build(name: str, content: str, base: str = "busybox:1") -> str:
    """An image that says `content`; gives its id."""
    recipe = f"FROM {base}\nENV CONTENT={content}\n"
    docker("build", "-q", "--force-rm", "-t", name, "-", input=recipe)
    return docker("image", "inspect", "--format", "{{.Id}}", name)


class Registry:
    """Locked: for `rower` with the password `oars` only."""

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
        name = self.name(image)
        client = self.folder / "client"
        client.mkdir(exist_ok=True)
        (client / "config.json").write_text(json.dumps(self.configuration(RIGHT)))
        # What tasks run keeps its own name: without one the engine would keep it as long as they run.
        build(name, content, base)
        pushed = docker("--config", str(client), "push", name)
        docker("rmi", name)
        return re.search(r"digest: (sha256:[0-9a-f]{64})", pushed)[1]

    def remove_images(self) -> None:
        for shape in ("{{.Repository}}:{{.Tag}}", "{{.Repository}}@{{.Digest}}"):
            for reference in docker("images", "--digests", "--format", shape, f"{self.address}/*").splitlines():
                if "<none>" not in reference:
                    subprocess.run(["docker", "rmi", "-f", reference], capture_output=True)


@contextmanager
def locked_registry():
    with tempfile.TemporaryDirectory(prefix="trireme-registry-") as name:
        folder, port = Path(name), ports.free()
        (folder / "passwords").write_text(HASHED)
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "http": {"addr": f"127.0.0.1:{port}"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "auth": {"htpasswd": {"realm": "trireme", "path": str(folder / "passwords")}},
        }
        # JSON is YAML.
        (folder / "config.yml").write_text(json.dumps(config))
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
            registry.remove_images()
