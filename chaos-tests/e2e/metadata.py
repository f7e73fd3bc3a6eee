"""What a container asks about itself and its task, from inside, by the URIs in its environment."""

import json

from containers import inside
from until import until

V4 = "ECS_CONTAINER_METADATA_URI_V4"


def asked(found: dict, path: str = "", name: str = "app") -> dict:
    code, answer = status(found, f"${V4}{path}", name=name)
    assert code == 200, answer
    return answer


def status(found: dict, url: str, method: str = "GET", body: str = "", name: str = "app") -> tuple[int, dict | str]:
    """The status and body of an answer, by nc: busybox's wget has no PUT, and says nothing of a status."""
    script = f"""url={url}; rest=${{url#http://}}; host=${{rest%%/*}}; path=/${{rest#*/}}
        printf '{method} %s HTTP/1.0\\r\\nHost: %s\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n%s' "$path" "$host" '{body}' \\
        | nc -w 20 "$host" 80 || true"""
    # An agent that ends takes the connections that it was given with it, and other clusters' agents are on this machine too.
    said = until("it is answered", lambda: inside(found, script, name), bool, 60)
    head, _, content = said.replace("\r\n", "\n").partition("\n\n")
    return int(head.split()[1]), json.loads(content)
