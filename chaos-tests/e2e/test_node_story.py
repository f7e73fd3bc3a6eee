"""AWS's SDK for JavaScript through its story, `node/story.mjs`."""

import os
import subprocess
from pathlib import Path

STORY = Path(__file__).with_name("node") / "story.mjs"


def test_the_story(cluster):
    # An import is looked for beside the file that imports: where the SDK is installed there is a copy of the story.
    installed = Path(os.environ["TRIREME_NODE"])
    story = installed / "story.mjs"
    story.write_text(STORY.read_text())
    command = [str(installed / "bin" / "node"), str(story)]
    result = subprocess.run(command, env={**os.environ, **cluster}, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "the end"
